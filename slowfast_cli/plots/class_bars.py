"""Grouped bars of two models for every class (AVSlowFast App. A.3, Fig. A.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slowfast_cli.metrics.per_class import gains, measure
from slowfast_cli.plots.canvas import COLORS, INK, LABEL, NOTE, PALE, QUIET, figure, save, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from slowfast_cli.metrics.per_class import ClassRow

ROWS = 60  # classes per column: all of AVA
MARKED = 5  # largest gains that are marked, by points and by ratio (Fig. A.1)
RELATIVE = COLORS[1]  # of the names with the largest ratio


def class_bars_plot(
    rows: Sequence[ClassRow],
    other: Sequence[ClassRow],
    path: Path,
    *,
    models: tuple[str, str] = ("this model", "the other"),
    title: str = "",
) -> Path:
    """Draw the per-class values of two models, sorted by the first; returns ``path``.

    The names of the 5 classes with the largest gain of the first model in points are bold, those with the largest ratio
    orange. Classes without segments are left out.

    Raises:
        DataError: The tables have different classes.
    """
    bold = {gain.name for gain in gains(rows, other, 0)[:MARKED]}
    orange = {gain.name for gain in gains(rows, other, 1, unit="ratio")[:MARKED]}
    pairs = [(row, row2) for row, row2 in zip(rows, other, strict=True) if row.count]
    pairs.sort(key=lambda pair: (-pair[0].value, pair[0].name))
    columns = max(1, math.ceil(len(pairs) / ROWS))
    height = max(1, math.ceil(len(pairs) / columns))
    name_width = 0.068 * max((len(row.name) for row, _ in pairs), default=1)  # inches, at 7.5 points, some bold
    fig = figure(columns * (3.6 + name_width), 0.21 * height + 1.3)
    panels = fig.subplots(1, columns, squeeze=False)[0]
    for index, axes in enumerate(panels):
        _draw(axes, pairs[index * height : (index + 1) * height], height, bold, orange)
        axes.set_xlabel(f"{measure(rows)}, %", fontsize=LABEL, color=INK)
    fig.suptitle(title or f"{len(pairs)} classes", fontsize=10 + columns, color=INK)
    handles = panels[0].containers[:2]
    if handles:
        fig.legend(handles, models, loc="outside lower center", ncols=2, fontsize=7.5 + columns / 2, frameon=False)
    return save(fig, path)


def _draw(
    axes: Axes, pairs: Sequence[tuple[ClassRow, ClassRow]], height: int, bold: set[str], orange: set[str]
) -> None:
    positions = range(len(pairs))
    axes.barh([position - 0.2 for position in positions], [row.value for row, _ in pairs], color=COLORS[0], height=0.4)
    axes.barh([position + 0.2 for position in positions], [other.value for _, other in pairs], color=PALE, height=0.4)
    axes.set_yticks(positions, [row.name for row, _ in pairs], fontsize=NOTE)
    for label, (row, other) in zip(axes.get_yticklabels(), pairs, strict=True):
        label.set_fontweight("bold" if row.name in bold else "normal")
        change = round(row.value - other.value, 1) + 0.0  # + 0.0 turns -0.0 into 0.0
        axes.text(
            102, label.get_position()[1], f"{change:+.1f}", va="center", fontsize=NOTE - 1,
            color=INK if change > 0 else QUIET,
        )  # fmt: skip
    axes.text(102, -0.75, "gain", va="center", fontsize=NOTE - 1, color=QUIET)
    axes.set_ylim(height - 0.4, -0.6)
    axes.set_xlim(0, 114)
    axes.set_xticks([0, 25, 50, 75, 100])
    style_axes(axes, grid="x")
    axes.tick_params(axis="x", labelsize=NOTE)
    axes.tick_params(axis="y", length=0, colors=INK)
    for label, (row, _) in zip(axes.get_yticklabels(), pairs, strict=True):
        label.set_color(RELATIVE if row.name in orange else INK)
    axes.spines[["left", "bottom"]].set_visible(False)
