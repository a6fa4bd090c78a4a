"""Plots of input spectrograms and their feature maps (ASF App. B, Fig. 3).

Shapes: C channels, T frames (time), F mel bands or rows of a map (frequency).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from slowfast_cli.plots.canvas import INK, QUIET, figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HERTZ = (100, 250, 500, 1000, 2000, 4000, 8000, 12000, 16000)  # ticks, up to half the sampling rate


@dataclass(frozen=True, kw_only=True)
class MapRow:
    """One sample: its input and one channel of each feature map."""

    title: str
    logmel: np.ndarray  # (T, F)
    maps: Mapping[str, np.ndarray]  # one channel (T, F) by stage name, such as ``slow res3``
    seconds: float  # length of the input
    rate: int  # sampling rate, Hz; the mel bands span 0 to half of it


def most_varied_channel(features: np.ndarray) -> np.ndarray:
    """Select the channel with the highest standard deviation, (C, T, F) -> (T, F); the paper selects by hand."""
    return np.asarray(features[int(features.reshape(len(features), -1).std(axis=1).argmax())])


def feature_maps_plot(rows: Sequence[MapRow], path: Path) -> Path:
    """Draw one row per sample: the input, then its feature maps; time to the right, frequency upwards.

    Args:
        rows: At least one sample, all with the same maps.
        path: Path of the PNG.

    Returns:
        ``path``.
    """
    stages = list(rows[0].maps)
    fig = figure(3.3 * (1 + len(stages)) + 0.7, 2.05 * len(rows) + 0.6)
    grid = fig.subplots(len(rows), 1 + len(stages), squeeze=False)
    for index, (row, line) in enumerate(zip(rows, grid, strict=True)):
        _show(line[0], row.logmel, row.seconds, "magma")
        _mel_axis(line[0], row.logmel.shape[1], row.rate)
        line[0].set_ylabel(f"{row.title}\n", fontsize=10, color=INK, fontweight="bold")
        for axes, stage in zip(line[1:], stages, strict=True):
            _show(axes, row.maps[stage], row.seconds, "viridis")
            axes.set_yticks([])
        for axes, name in zip(line, ("input, Hz", *stages), strict=True):
            if index == 0:
                axes.set_title(name, fontsize=10, color=INK)
            if index == len(rows) - 1:
                axes.set_xlabel("time, s", fontsize=9, color=INK)
            else:
                axes.set_xticklabels([])
    return save(fig, path)


def _show(axes: Axes, values: np.ndarray, seconds: float, cmap: str) -> None:
    # Clip the lowest and highest 1 %, so that a click does not darken the rest.
    low, high = np.percentile(values, [1, 99])
    axes.imshow(
        values.T,
        origin="lower",
        aspect="auto",
        cmap=cmap,
        interpolation="nearest",
        extent=(0, seconds, 0, values.shape[1]),
        vmin=low,
        vmax=high if high > low else low + 1,
    )
    axes.tick_params(labelsize=8, colors=INK, color=QUIET, length=2.5)
    axes.spines[:].set_visible(False)


def _mel_axis(axes: Axes, bands: int, rate: int) -> None:
    positions = mel_position(np.array(HERTZ), bands, rate)
    ticks = [(at, hertz) for at, hertz in zip(positions, HERTZ, strict=True) if hertz < rate / 2 and at > 0]
    labels = [f"{hertz // 1000}k" if hertz >= 1000 else str(hertz) for _, hertz in ticks]
    axes.set_yticks([at for at, _ in ticks], labels)


def mel_position(hertz: np.ndarray, bands: int, rate: int) -> np.ndarray:
    """Convert frequencies to positions on an axis of HTK mel bands.

    Band ``i`` spans ``i`` to ``i + 1``; its center is the ``i + 1``-th of ``bands + 2`` equidistant points in mel.

    Args:
        hertz: Frequencies, Hz.
        bands: Number of mel bands, from 0 Hz to half the rate.
        rate: Sampling rate, Hz.
    """
    mel = np.log10(1 + hertz / 700) / np.log10(1 + rate / 2 / 700)
    return np.asarray(mel * (bands + 1) - 0.5)
