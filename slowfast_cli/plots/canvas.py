"""Figures without pyplot: no global state and no display, so they are thread-safe and work on servers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 160
INK, QUIET, GRID = "#1f2933", "#7b8794", "#e4e7eb"
COLORS = ("#2f6db5", "#d9722e", "#3a9679", "#b0457b", "#7a62b8", "#9a7b1f")


def figure(width: float, height: float) -> Figure:
    """Create an empty figure with the Agg backend; sizes in inches."""
    fig = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(fig)
    return fig


def style_axes(axes: Axes, *, grid: Literal["x", "y", "both"] | None = None) -> None:
    """Style frame and ticks, and draw grid lines for ``x``, ``y`` or ``both``."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(QUIET)
    axes.tick_params(colors=INK, which="both", length=2.5, color=QUIET)
    if grid:
        axes.grid(visible=True, axis=grid, color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)


def save(fig: Figure, path: Path) -> Path:
    """Write a PNG, creating its folder; the bounding box fits the contents, so that no label is cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.12)
    return path
