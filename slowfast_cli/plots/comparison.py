"""Two models, class by class: what each does better (ASF App. A, Fig. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slowfast_cli.plots.canvas import COLOURS, INK, QUIET, figure, save, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from slowfast_cli.metrics.per_class import By, Gain

SHOWN = 60  # classes listed a side; the rest is counted


@dataclass(frozen=True, kw_only=True)
class Side:
    """The classes that one model does better.

    Attributes:
        model: Its name.
        gains: Largest first.
        above: The threshold in percentage points, or times as good.
        by: Which of the two.
        measure: What is compared, see `slowfast_cli.metrics.per_class.measure`.
    """

    model: str
    gains: Sequence[Gain]
    above: float
    by: By = "points"
    measure: str = "accuracy"


def comparison_plot(left: Side, right: Side, path: Path) -> Path:
    """Draw the classes that each of two models does better, with the accuracies of both.

    Args:
        left: The one model (Slow in the paper: more than 20 points).
        right: The other (Fast in the paper: more than 10 points).
        path: The PNG.

    Returns:
        ``path``.
    """
    lines = max(3, min(SHOWN, max(len(left.gains), len(right.gains))))
    longest = max((len(gain.name) for side in (left, right) for gain in side.gains[:SHOWN]), default=1)
    titles = [_title(side) for side in (left, right)]
    panel = max(3.0 + 0.066 * longest, 0.5 + 0.078 * max(len(title) for title in titles))  # inches
    made = figure(2 * panel, 0.2 * lines + 1.5)
    halves = made.subfigures(1, 2, squeeze=False)[0]
    for half, title, side, other, colour in (
        (halves[0], titles[0], left, right, COLOURS[0]),
        (halves[1], titles[1], right, left, COLOURS[1]),
    ):
        half.suptitle(title, fontsize=9.5, color=INK)
        _draw(half.add_subplot(), side, other.model, colour, lines)
    return save(made, path)


def _title(side: Side) -> str:
    count = f"{len(side.gains)} {'class' if len(side.gains) == 1 else 'classes'}"
    if side.by == "ratio":
        return f"{side.model} is better: {count} more than {side.above:g} times as good"
    return f"{side.model} is better: {count} by more than {side.above:g} {'point' if side.above == 1 else 'points'}"


def _draw(axes: Axes, side: Side, other: str, colour: str, lines: int) -> None:
    shown = side.gains[:SHOWN]
    places = range(len(shown))
    axes.hlines(places, [g.worse for g in shown], [g.better for g in shown], color=colour, alpha=0.35, linewidth=3)
    axes.scatter([g.worse for g in shown], places, s=16, color="white", edgecolor=QUIET, zorder=3, label=other)
    axes.scatter([g.better for g in shown], places, s=20, color=colour, zorder=3, label=side.model)
    axes.set_yticks(places, [g.name for g in shown], fontsize=8)
    for place, gain in zip(places, shown, strict=True):
        text = f"{gain.ratio:.2f}×" if side.by == "ratio" else f"+{gain.points:.0f}"
        axes.text(104, place, text, va="center", fontsize=7.5, color=colour)
    axes.set_ylim(lines - 0.4, -0.6)
    axes.set_xlim(-2, 115)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.tick_params(labelsize=8)
    tidy(axes, grid="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    rest = len(side.gains) - len(shown)
    under = f" ({rest} more)" if rest else ""
    axes.set_xlabel(f"{side.measure}, %{under}", fontsize=9, color=INK)
    if shown:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=2,
            fontsize=8,
            frameon=False,
            borderpad=0,
            handletextpad=0.2,
        )
    else:
        axes.text(50, (lines - 1) / 2, "none", ha="center", va="center", fontsize=9, color=QUIET)
