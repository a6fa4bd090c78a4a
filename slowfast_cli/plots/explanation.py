"""Picture of a Grad-CAM: what speaks for a class, drawn over the log-mel and the frames."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps

from slowfast_cli.plots.canvas import INK, LABEL, QUIET, TITLE, WIDE, figure, save, style_image
from slowfast_cli.types import Seconds

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

FRAMES = 5  # drawn, evenly spread
HEAT = "inferno"
HEIGHTS = {"frames": 3.6, "logmel": 3.2, "samples": 2.4}  # inches
TITLES = {"logmel": "log-mel", "samples": "samples"}


def explanation_plot(
    signals: Mapping[str, np.ndarray], maps: Mapping[str, np.ndarray], path: Path, *, title: str, seconds: Seconds
) -> Path:
    """Draw each signal, and below it the same with the map over it.

    Args:
        signals: ``logmel`` (T, F), ``samples`` (N,), ``frames`` (T, H, W, 3) uint8.
        maps: By signal, from 0 to 1: (T, F), (N,), (T, H, W).
        path: The PNG to write.
        title: Title of the figure.
        seconds: Length of the clip.

    Returns:
        ``path``.
    """
    fig = figure(WIDE, 0.5 + sum(HEIGHTS[name] for name in maps))
    parts = fig.subfigures(len(maps), 1, squeeze=False)[:, 0]
    for part, name in zip(parts, maps, strict=True):
        if name == "frames":
            _draw_frames(part, signals[name], maps[name], seconds)
        else:
            _draw_sound(part, name, signals[name], maps[name], seconds)
    fig.suptitle(title, fontsize=TITLE, color=INK)
    return save(fig, path)


def _draw_frames(part: SubFigure, pixels: np.ndarray, heat: np.ndarray, seconds: Seconds) -> None:
    axes = part.subplots(2, FRAMES)
    for column, index in enumerate(np.linspace(0, len(pixels) - 1, FRAMES).round().astype(int)):
        axes[0, column].imshow(pixels[index])
        axes[1, column].imshow(_blend(pixels[index] / 255, heat[index]))
        axes[0, column].set_title(f"{seconds * index / len(pixels):.2f} s", fontsize=LABEL, color=QUIET)
    for one in axes.flat:
        one.set_axis_off()


def _draw_sound(part: SubFigure, name: str, signal: np.ndarray, heat: np.ndarray, seconds: Seconds) -> None:
    above, below = part.subplots(2, 1, sharex=True)
    height = 1 if signal.ndim == 1 else signal.shape[1]
    extent = (0.0, seconds, 0.0, float(height))
    if signal.ndim == 1:
        above.plot(np.linspace(0, seconds, len(signal)), signal, color=INK, linewidth=0.4)
        below.imshow(colormaps[HEAT](heat[None]), aspect="auto", extent=extent)
    else:
        above.imshow(signal.T, origin="lower", aspect="auto", extent=extent, cmap="magma")
        gray = np.repeat(_scaled(signal.T)[..., None], 3, axis=2)
        below.imshow(_blend(gray, heat.T), origin="lower", aspect="auto", extent=extent)
    for one, label in ((above, TITLES[name]), (below, "Grad-CAM")):
        style_image(one)
        one.set_yticks([])
        one.set_ylabel(label, fontsize=LABEL, color=INK)
    below.set_xlabel("seconds of the clip", fontsize=LABEL, color=INK)


def _scaled(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values, (1, 99))
    scaled: np.ndarray = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    return scaled


def _blend(rgb: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Color the parts with a high weight, and darken the others."""
    weight = heat[..., None]
    blended: np.ndarray = rgb * (0.35 + 0.25 * weight) + 0.6 * weight * colormaps[HEAT](heat)[..., :3]
    return np.clip(blended, 0, 1)  # type: ignore[no-any-return]
