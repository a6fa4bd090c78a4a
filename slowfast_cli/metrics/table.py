"""A table of the paper with our numbers beside: as Markdown, CSV, LaTeX and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass

from slowfast_cli.metrics.registry import format_metric, metric_title


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One row: what we have, and what the paper printed.

    Attributes:
        name: As the paper calls it.
        ours: By metric.
        published: By metric.
    """

    name: str
    ours: Mapping[str, float]
    published: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under one title."""

    title: str
    rows: tuple[TableRow, ...]

    @property
    def metrics(self) -> list[str]:
        """Those that any row has: size first, then those that were published, in that order, then the others."""
        published = list(dict.fromkeys(key for row in self.rows for key in row.published))
        ours = list(dict.fromkeys(key for row in self.rows for key in row.ours))
        first = [key for key in ("params_m", "gflops") if key in ours or key in published]
        shown = [key for key in published if key not in first]
        return first + (shown or [key for key in ours if key not in first])

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Header and body; each metric has our column and, where the paper has one, its own."""
        columns = [(key, source) for key in self.metrics for source in ("ours", "published") if self._has(key, source)]
        header = ["", *(f"{metric_title(key)}{' (paper)' if source == 'published' else ''}" for key, source in columns)]
        body = [
            [row.name, *(format_metric(key, getattr(row, source).get(key)) for key, source in columns)]
            for row in self.rows
        ]
        return header, body

    def _has(self, key: str, source: str) -> bool:
        return any(key in getattr(row, source) for row in self.rows)


def markdown(table: Table) -> str:
    """A GitHub table."""
    header, body = table.cells()
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *body]
    return f"**{table.title}**\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def comma_separated(table: Table) -> str:
    """The same as CSV."""
    header, body = table.cells()
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([["row", *header[1:]], *body])
    return out.getvalue()


def latex(table: Table) -> str:
    """The same for a paper, with booktabs."""
    header, body = table.cells()
    escaped = [
        [cell.replace("&", r"\&").replace("%", r"\%").replace("_", r"\_") for cell in line] for line in [header, *body]
    ]
    rows = [" & ".join(line) + r" \\" for line in escaped]
    columns = "l" + "r" * (len(header) - 1)
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            rows[0],
            r"\midrule",
            *rows[1:],
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def plain(table: Table) -> dict[str, object]:
    """The same for JSON."""
    rows = [{"name": row.name, "ours": dict(row.ours), "published": dict(row.published)} for row in table.rows]
    return {"title": table.title, "rows": rows}
