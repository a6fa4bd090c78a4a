"""Two models, every class: bars beside each other (AVSlowFast App. A.3, Fig. A.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slowfast_cli.metrics.per_class import gains, measure
from slowfast_cli.plots.canvas import COLOURS, INK, QUIET, figure, save, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from slowfast_cli.metrics.per_class import ClassRow

COLUMN = 60  # classes under one another: those of AVA
MARKED = 5  # largest gains of either kind (Fig. A.1)
RELATIVE = COLOURS[1]  # of the names that grew most in relative terms


def class_bars_plot(
    rows: Sequence[ClassRow],
    other: Sequence[ClassRow],
    path: Path,
    *,
    models: tuple[str, str] = ("this model", "the other"),
    title: str = "",
) -> Path:
    """Draw what two models make of each class, best first.

    The names of the 5 classes that the first does better by the most points are bold, those that it does better by the
    highest factor orange.

    Args:
        rows: Per-class table of the one model; classes without segments are left out.
        other: Of the other, of the same classes.
        path: The PNG.
        models: Their names.
        title: Above the bars.

    Returns:
        ``path``.

    Raises:
        DataError: The tables are of different classes.
    """
    bold = {gain.name for gain in gains(rows, other, 0)[:MARKED]}
    orange = {gain.name for gain in gains(rows, other, 1, by="ratio")[:MARKED]}
    pairs = [(one, two) for one, two in zip(rows, other, strict=True) if one.count]
    pairs.sort(key=lambda pair: (-pair[0].value, pair[0].name))
    columns = max(1, math.ceil(len(pairs) / COLUMN))
    height = max(1, math.ceil(len(pairs) / columns))
    name_width = 0.068 * max((len(row.name) for row, _ in pairs), default=1)  # inches: 7.5 points a line, some bold
    made = figure(columns * (3.6 + name_width), 0.21 * height + 1.3)
    panels = made.subplots(1, columns, squeeze=False)[0]
    for index, axes in enumerate(panels):
        _draw(axes, pairs[index * height : (index + 1) * height], height, bold, orange)
        axes.set_xlabel(f"{measure(rows)}, %", fontsize=9, color=INK)
    made.suptitle(title or f"{len(pairs)} classes", fontsize=10 + columns, color=INK)
    handles = panels[0].containers[:2]
    if handles:
        made.legend(handles, models, loc="outside lower center", ncols=2, fontsize=7.5 + columns / 2, frameon=False)
    return save(made, path)


def _draw(
    axes: Axes, pairs: Sequence[tuple[ClassRow, ClassRow]], height: int, bold: set[str], orange: set[str]
) -> None:
    places = range(len(pairs))
    axes.barh([place - 0.2 for place in places], [one.value for one, _ in pairs], color=COLOURS[0], height=0.4)
    axes.barh([place + 0.2 for place in places], [two.value for _, two in pairs], color="#c3cad2", height=0.4)
    axes.set_yticks(places, [one.name for one, _ in pairs], fontsize=7.5)
    for label, (one, two) in zip(axes.get_yticklabels(), pairs, strict=True):
        label.set_fontweight("bold" if one.name in bold else "normal")
        change = round(one.value - two.value, 1) + 0.0  # and no minus before a zero
        place = label.get_position()[1]
        axes.text(102, place, f"{change:+.1f}", va="center", fontsize=6.5, color=INK if change > 0 else QUIET)
    axes.set_ylim(height - 0.4, -0.6)
    axes.set_xlim(0, 114)
    axes.set_xticks([0, 25, 50, 75, 100])
    tidy(axes, grid="x")
    axes.tick_params(axis="x", labelsize=7.5)
    axes.tick_params(axis="y", length=0, colors=INK)
    for label, (one, _) in zip(axes.get_yticklabels(), pairs, strict=True):
        label.set_color(RELATIVE if one.name in orange else INK)
    axes.spines[["left", "bottom"]].set_visible(False)
