"""Tables of our and the paper's metrics, as Markdown, CSV, LaTeX and JSON."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass

from slowfast_cli.metrics.registry import format_metric, metric_title


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One row: our values and the published ones, by metric."""

    name: str  # as in the paper
    ours: Mapping[str, float]
    published: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A titled table."""

    title: str
    rows: tuple[TableRow, ...]

    @property
    def metrics(self) -> list[str]:
        """Metrics to show: model size first, then the published metrics, or all of ours if none was published."""
        published = list(dict.fromkeys(key for row in self.rows for key in row.published))
        ours = list(dict.fromkeys(key for row in self.rows for key in row.ours))
        first = [key for key in ("params_m", "gflops") if key in ours or key in published]
        shown = [key for key in published if key not in first]
        return first + (shown or [key for key in ours if key not in first])

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Return header and body, with a column per metric and source; columns without any value are left out."""
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
    """Format as a GitHub-flavored Markdown table."""
    header, body = table.cells()
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *body]
    return f"**{table.title}**\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def to_csv(table: Table) -> str:
    """Format as CSV."""
    header, body = table.cells()
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([["row", *header[1:]], *body])
    return out.getvalue()


def latex(table: Table) -> str:
    """Format as a LaTeX tabular with booktabs."""
    header, body = table.cells()
    escaped = [
        [cell.replace("&", r"\&").replace("%", r"\%").replace("_", r"\_") for cell in line] for line in [header, *body]
    ]
    rows = [" & ".join(line) + r" \\" for line in escaped]
    columns = "l" + "r" * (len(header) - 1)
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}", r"\toprule", rows[0], r"\midrule", *rows[1:], r"\bottomrule",
            r"\end{tabular}", "",
        ]
    )  # fmt: skip


def to_dict(table: Table) -> dict[str, object]:
    """Convert to plain values for JSON."""
    rows = [{"name": row.name, "ours": dict(row.ours), "published": dict(row.published)} for row in table.rows]
    return {"title": table.title, "rows": rows}
