"""Accuracy, or average precision, class by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slowfast_cli.metrics.per_class import ACCURACY, measure
from slowfast_cli.plots.canvas import COLOURS, GRID, INK, QUIET, figure, save, tidy

if TYPE_CHECKING:
    from slowfast_cli.metrics.per_class import ClassRow

COLUMN = 62  # classes under one another


def per_class_plot(rows: Sequence[ClassRow], path: Path, *, title: str = "") -> Path:
    """Draw the accuracy of each class as a bar, best first, with its number of segments.

    Where several classes hold at once it is the average precision.

    Many classes are broken into columns, so that every name can be read.

    Args:
        rows: The per-class table; classes without segments are left out.
        path: The PNG.
        title: Above the bars.

    Returns:
        ``path``.
    """
    shown = sorted((row for row in rows if row.count), key=lambda row: (-row.value, row.name))
    columns = max(1, math.ceil(len(shown) / COLUMN))
    height = max(1, math.ceil(len(shown) / columns))
    # As wide as the longest name needs: 7.5 points a line.
    name_width = 0.062 * max((len(row.name) for row in shown), default=1)
    made = figure(columns * (2.5 + name_width), 0.165 * height + 1.1)
    panels = made.subplots(1, columns, squeeze=False)[0]
    for index, axes in enumerate(panels):
        part = shown[index * height : (index + 1) * height]
        places = range(len(part))
        axes.barh(places, [100] * len(part), color=GRID, height=0.62, alpha=0.55)
        axes.barh(places, [row.value for row in part], color=COLOURS[0], height=0.62)
        axes.set_yticks(places, [row.name for row in part], fontsize=7.5)
        for place, row in zip(places, part, strict=True):
            axes.text(102, place, f"{row.value:.0f}", va="center", fontsize=6.5, color=INK)
            axes.text(129, place, f"{row.count}", va="center", ha="right", fontsize=6.5, color=QUIET)
        axes.set_ylim(height - 0.4, -0.6)
        axes.set_xlim(0, 136 if columns > 1 else 130)
        axes.set_xticks([0, 50, 100])
        axes.tick_params(labelsize=7.5)
        axes.text(102, -1.0, "%", fontsize=6.5, color=INK, va="center")
        axes.text(129, -1.0, "n", fontsize=6.5, color=QUIET, va="center", ha="right")
        tidy(axes)
        axes.tick_params(axis="y", length=0)
        axes.spines[["left", "bottom"]].set_visible(False)
    what = measure(rows)
    made.supxlabel(f"{'top-1 ' if what == ACCURACY else ''}{what}, %", fontsize=8 + columns, color=INK)
    made.suptitle(title or f"{len(shown)} classes", fontsize=10 + columns, color=INK)
    return save(made, path)
