"""Comparison of two models: the classes that each does better (ASF App. A, Fig. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slowfast_cli.plots.canvas import COLORS, INK, LABEL, NOTE, QUIET, TICK, figure, save, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from slowfast_cli.metrics.per_class import Gain, GainUnit

SHOWN = 60  # classes listed per side; the axis label counts the others


@dataclass(frozen=True, kw_only=True)
class Side:
    """The classes that one of the models does better."""

    model: str  # name of the model
    gains: Sequence[Gain]  # in descending order
    min_gain: float  # threshold of the gains, in ``unit``
    unit: GainUnit = "points"
    measure: str = "accuracy"  # the compared metric, see `slowfast_cli.metrics.per_class.measure`


def comparison_plot(left: Side, right: Side, path: Path) -> Path:
    """Draw the classes that each of two models does better, with the values of both; returns ``path``.

    In the paper, ``left`` is Slow, better by more than 20 points, and ``right`` is Fast, better by more than 10. A
    model that does no class better has no panel, only a line of text.
    """
    sides = ((left, right, COLORS[0]), (right, left, COLORS[1]))
    drawn = [(side, other, color) for side, other, color in sides if side.gains]
    lines = max((min(SHOWN, len(side.gains)) for side, _, _ in drawn), default=0)
    longest = max((len(gain.name) for side in (left, right) for gain in side.gains[:SHOWN]), default=1)
    panel = max(3.0 + 0.066 * longest, 0.5 + 0.078 * max(len(_title(side)) for side in (left, right)))  # inches
    fig = figure(panel * max(1, len(drawn)), 0.2 * lines + 1.1 + 0.2 * (2 - len(drawn)) if drawn else 0.6)
    for axes, (side, other, color) in zip(
        fig.subplots(1, len(drawn), squeeze=False)[0] if drawn else (), drawn, strict=True
    ):
        axes.set_title(_title(side), fontsize=LABEL + 0.5, color=INK, pad=20)
        _draw(axes, side, other.model, color, lines)
    rest = "\n".join(_title(side) for side in (left, right) if not side.gains)
    if drawn:
        fig.supxlabel(rest, fontsize=LABEL, color=QUIET)
    else:
        fig.text(0.5, 0.5, rest, fontsize=LABEL, color=INK, ha="center", va="center", linespacing=1.6)
    return save(fig, path)


def _title(side: Side) -> str:
    count = f"{len(side.gains)} {'class' if len(side.gains) == 1 else 'classes'}"
    if side.unit == "ratio":
        return f"{side.model} is better: {count} more than {side.min_gain:g} times as good"
    points = "point" if side.min_gain == 1 else "points"
    return f"{side.model} is better: {count} by more than {side.min_gain:g} {points}"


def _draw(axes: Axes, side: Side, other: str, color: str, lines: int) -> None:
    shown = side.gains[:SHOWN]
    positions = range(len(shown))
    axes.hlines(positions, [g.worse for g in shown], [g.better for g in shown], color=color, alpha=0.35, linewidth=3)
    axes.scatter([g.worse for g in shown], positions, s=16, color="white", edgecolor=QUIET, zorder=3, label=other)
    axes.scatter([g.better for g in shown], positions, s=20, color=color, zorder=3, label=side.model)
    axes.set_yticks(positions, [g.name for g in shown], fontsize=TICK)
    for position, gain in zip(positions, shown, strict=True):
        text = f"{gain.ratio:.2f}×" if side.unit == "ratio" else f"+{gain.points:.0f}"
        axes.text(104, position, text, va="center", fontsize=NOTE, color=color)
    axes.set_ylim(lines - 0.4, -0.6)
    axes.set_xlim(-2, 115)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.tick_params(labelsize=TICK)
    style_axes(axes, grid="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    hidden = len(side.gains) - len(shown)
    suffix = f" ({hidden} more)" if hidden else ""
    axes.set_xlabel(f"{side.measure}, %{suffix}", fontsize=LABEL, color=INK)
    if shown:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, fontsize=TICK, frameon=False, borderpad=0,
            handletextpad=0.2,
        )  # fmt: skip
    else:
        axes.text(50, (lines - 1) / 2, "none", ha="center", va="center", fontsize=LABEL, color=QUIET)
