"""A table of the paper with our numbers beside: as Markdown, CSV, LaTeX and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass

# Digits after the point by metric; accuracies in percent have two.
DIGITS = {"map": 3, "auc": 3, "dprime": 3, "gflops": 2, "params_m": 2}
TITLES = {
    "params_m": "Params (M)",
    "gflops": "GFLOPs",
    "map": "mAP",
    "auc": "AUC",
    "dprime": "d'",
    "top1": "Top-1",
    "top5": "Top-5",
    "all_top1": "All sets Top-1",
    "told": "Told apart (%)",
    "hares": "HARES",
    "step_ms": "Step (ms)",
    "audioset": "AudioSet",
    "tut18": "TUT18",
    "esc50": "ESC-50",
    "speech_commands_v1": "Speech Commands v1",
    "speech_commands_v2": "Speech Commands v2",
    "fluent": "Fluent Speech Commands",
    "voxforge": "VoxForge",
    "voxceleb1": "VoxCeleb1",
    "nsynth_pitch": "NSynth pitch",
    "nsynth_instrument": "NSynth instrument",
    "magnatagatune": "MagnaTagATune",
}


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
        header = ["", *(f"{title(key)}{' (paper)' if source == 'published' else ''}" for key, source in columns)]
        body = [[row.name, *(text(key, getattr(row, source).get(key)) for key, source in columns)] for row in self.rows]
        return header, body

    def _has(self, key: str, source: str) -> bool:
        return any(key in getattr(row, source) for row in self.rows)


def title(metric: str) -> str:
    """A metric's name for people: ``verb_top1`` is Verb Top-1."""
    words = (
        [TITLES.get(word, word.capitalize()) for word in metric.split("_")]
        if metric not in TITLES
        else [TITLES[metric]]
    )
    return " ".join(words)


def text(metric: str, value: float | None) -> str:
    """A value with its metric's digits."""
    return "" if value is None else f"{value:.{DIGITS.get(metric.rpartition('_')[2], DIGITS.get(metric, 2))}f}"


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
