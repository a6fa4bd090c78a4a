"""Figures without pyplot: nothing global, no window, safe in any thread and on any server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 160
INK, QUIET, GRID = "#1f2933", "#7b8794", "#e4e7eb"
COLOURS = ("#2f6db5", "#d9722e", "#3a9679", "#b0457b", "#7a62b8", "#9a7b1f")


def figure(width: float, height: float) -> Figure:
    """An empty figure that is drawn by Agg.

    Args:
        width: In inches.
        height: In inches.
    """
    made = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(made)
    return made


def tidy(axes: Axes, *, grid: Literal["x", "y", "both"] | None = None) -> None:
    """Quiet frame and ticks; ``grid`` is the axis that gets lines (``x``, ``y`` or ``both``)."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(colors=INK, which="both", length=2.5, color=QUIET)
    if grid:
        axes.grid(visible=True, axis=grid, color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)


def save(made: Figure, path: Path) -> Path:
    """Write a PNG, with the folder it goes to; the page is fitted to what is drawn, so that no label is cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made.savefig(path, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.12)
    return path
