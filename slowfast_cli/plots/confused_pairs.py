"""Bar plot of the pairs of classes that are confused most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.ticker import MaxNLocator

from slowfast_cli.metrics.interval import Confusion
from slowfast_cli.plots.canvas import COLORS, INK, LABEL, NOTE, QUIET, TICK, TITLE, figure, save, style_axes


def confused_pairs_plot(pairs: Sequence[Confusion], path: Path, *, title: str = "") -> Path:
    """Draw how many segments of a class were taken for another, in the order of ``pairs``; returns ``path``."""
    names = [f"{pair.true} → {pair.answer}" for pair in pairs]
    width = 0.066 * max((len(name) for name in names), default=1)  # inches, at 8 points
    fig = figure(3.4 + width, 0.22 * max(1, len(pairs)) + 0.9)
    axes = fig.add_subplot()
    axes.barh(range(len(pairs)), [pair.count for pair in pairs], color=COLORS[1], height=0.62)
    axes.set_yticks(range(len(pairs)), names, fontsize=TICK)
    most = max((pair.count for pair in pairs), default=1)
    for position, pair in enumerate(pairs):
        text = f"{pair.count} of {pair.total}"
        axes.text(pair.count + 0.02 * most, position, text, va="center", fontsize=NOTE, color=INK)
    if not pairs:
        axes.text(0.6, 0, "none", fontsize=LABEL, ha="center", va="center", color=QUIET)
    axes.set_ylim(max(1, len(pairs)) - 0.4, -0.6)
    axes.set_xlim(0, 1.25 * most)
    axes.set_xlabel("segments: true class → answer", fontsize=LABEL, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    style_axes(axes, grid="x")
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=TICK)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_title(title, fontsize=TITLE, color=INK)
    return save(fig, path)
