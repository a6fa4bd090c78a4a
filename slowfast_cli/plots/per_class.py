"""Bar plot of the accuracy, or average precision, per class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slowfast_cli.metrics.per_class import ACCURACY, measure
from slowfast_cli.plots.canvas import COLORS, GRID, INK, NOTE, QUIET, figure, save, style_axes

if TYPE_CHECKING:
    from slowfast_cli.metrics.per_class import ClassRow

ROWS = 62  # classes per column


def per_class_plot(rows: Sequence[ClassRow], path: Path, *, title: str = "") -> Path:
    """Draw the accuracy of each class in descending order, with its number of segments; returns ``path``.

    Multi-label tables show the average precision instead. The figure fits a printed page: two columns, of the best and
    of the worst classes if there are more. Classes without segments are left out.
    """
    shown = sorted((row for row in rows if row.count), key=lambda row: (-row.value, row.name))
    count = f"{len(shown)} classes"
    if len(shown) > 2 * ROWS:
        count = f"the {ROWS} best and the {ROWS} worst of {len(shown)} classes"
        shown = [*shown[:ROWS], *shown[-ROWS:]]
    columns = max(1, math.ceil(len(shown) / ROWS))
    height = max(1, math.ceil(len(shown) / columns))
    name_width = 0.062 * max((len(row.name) for row in shown), default=1)  # inches, at 7.5 points
    fig = figure(columns * (2.5 + name_width), 0.165 * height + 1.1)
    panels = fig.subplots(1, columns, squeeze=False)[0]
    for index, axes in enumerate(panels):
        part = shown[index * height : (index + 1) * height]
        positions = range(len(part))
        axes.barh(positions, [100] * len(part), color=GRID, height=0.62, alpha=0.55)
        axes.barh(positions, [row.value for row in part], color=COLORS[0], height=0.62)
        axes.set_yticks(positions, [row.name for row in part], fontsize=NOTE)
        for position, row in zip(positions, part, strict=True):
            axes.text(102, position, f"{row.value:.0f}", va="center", fontsize=NOTE - 1, color=INK)
            axes.text(129, position, f"{row.count}", va="center", ha="right", fontsize=NOTE - 1, color=QUIET)
        axes.set_ylim(height - 0.4, -0.6)
        axes.set_xlim(0, 136 if columns > 1 else 130)
        axes.set_xticks([0, 50, 100])
        axes.tick_params(labelsize=NOTE)
        axes.text(102, -1.0, "%", fontsize=NOTE - 1, color=INK, va="center")
        axes.text(129, -1.0, "n", fontsize=NOTE - 1, color=QUIET, va="center", ha="right")
        style_axes(axes)
        axes.tick_params(axis="y", length=0)
        axes.spines[["left", "bottom"]].set_visible(False)
    metric = measure(rows)
    fig.supxlabel(f"{'top-1 ' if metric == ACCURACY else ''}{metric}, %", fontsize=8 + columns, color=INK)
    fig.suptitle(f"{title}, {count}" if title else count, fontsize=10 + columns, color=INK)
    return save(fig, path)
