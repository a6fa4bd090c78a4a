"""Figures without pyplot: no global state and no display, so they are thread-safe and work on servers."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager, get_font
from matplotlib.text import Text
from matplotlib.ticker import Formatter, FuncFormatter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable

DPI = 160
INK, QUIET, GRID, PALE = "#1f2933", "#66727f", "#e4e7eb", "#b4bdc7"
TITLE, LABEL, TICK, NOTE = (
    10.5,
    9.0,
    8.0,
    7.5,
)  # font sizes in points: of figures, of axes, of ticks and legends, in panels
WIDE = 9.0  # inches: wider figures are hard to read on a page of the documentation
# Fonts of class names: the first has Latin, Greek and Cyrillic letters and comes with matplotlib.
FONTS = (
    "DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans", "Source Han Sans", "WenQuanYi Zen Hei",
    "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Hiragino Sans", "PingFang SC", "Arial Unicode MS",
)  # fmt: skip
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
    axes.tick_params(which="both", length=2.5, color=QUIET, labelcolor=INK)
    if grid:
        axes.grid(visible=True, axis=grid, color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)


def style_image(axes: Axes) -> None:
    """Style the ticks of an image, which has no frame."""
    axes.tick_params(labelsize=TICK, length=2.5, color=QUIET, labelcolor=INK)
    axes.spines[:].set_visible(False)


def add_color_bar(
    fig: Figure,
    image: ScalarMappable,
    axes: Axes | list[Axes],
    label: str,
    ticks: Sequence[float],
    *,
    fraction: float = 0.025,
    size: float = LABEL,
) -> None:
    """Draw a color bar to the right of ``axes``; ``size`` is that of its label, in points."""
    bar = fig.colorbar(image, ax=axes, fraction=fraction, pad=0.015, ticks=list(ticks), aspect=35)
    bar.set_label(label, fontsize=size, color=INK)
    style_image(bar.ax)
    bar.ax.tick_params(labelsize=size - 1)
    bar.outline.set_visible(False)


def save(fig: Figure, path: Path) -> Path:
    """Write a PNG, creating its folder; the bounding box fits the contents, so that no label is cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _prepare_texts(fig)
    fig.savefig(path, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.12)
    return path


def drawable(text: str) -> str:
    r"""Escape the characters that no installed font has: they would be boxes, with a warning each.

    >>> print(drawable("rain \U000f0000"))
    rain \U000f0000
    """
    return "".join(c if ord(c) in _glyphs() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


@lru_cache(maxsize=1)
def _families() -> tuple[str, ...]:
    installed = {font.name for font in fontManager.ttflist}
    return tuple(name for name in FONTS if name in installed)


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    """Code points that the fonts have."""
    paths = [fontManager.findfont(FontProperties(family=name)) for name in _families()]
    return frozenset(code for path in paths for code in get_font(path).get_charmap())


def _tick_label(formatter: Formatter, value: float, position: int | None) -> str:
    return drawable(formatter(value, position))


def _prepare_texts(fig: Figure) -> None:
    """Draw all texts literally (``$`` is no formula), with fonts that have their characters, in `INK` by default."""
    for axes in fig.axes:
        for axis in (axes.xaxis, axes.yaxis):
            formatter = axis.get_major_formatter()
            if isinstance(formatter, FuncFormatter):  # ticks with names
                axis.set_major_formatter(FuncFormatter(partial(_tick_label, formatter)))
    for text in fig.findobj(Text):
        if isinstance(text, Text):
            text.set_parse_math(False)
            text.set_fontfamily(list(_families()))
            text.set_text(drawable(text.get_text()))
            if text.get_color() == "black":  # matplotlib's default, as of legends
                text.set_color(INK)
