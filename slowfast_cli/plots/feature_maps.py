"""What the streams see: an input spectrogram and its feature maps (ASF App. B, Fig. 3).

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

HERTZ = (100, 250, 500, 1000, 2000, 4000, 8000, 12000, 16000)  # ticks, where the front end reaches


@dataclass(frozen=True, kw_only=True)
class MapRow:
    """One sample: its input and one channel of each map.

    Attributes:
        title: What is heard.
        logmel: The input, (T, F).
        maps: Stage name (``slow res3``) to one channel, (T, F) of that stage.
        seconds: Length of the input.
        rate: Of the sound in Hz; the mel bands reach to half of it.
    """

    title: str
    logmel: np.ndarray
    maps: Mapping[str, np.ndarray]
    seconds: float
    rate: int


def liveliest(features: np.ndarray) -> np.ndarray:
    """The channel that varies most, for those who do not choose one by hand as the paper did.

    Args:
        features: (C, T, F).

    Returns:
        (T, F)
    """
    return np.asarray(features[int(features.reshape(len(features), -1).std(axis=1).argmax())])


def feature_maps_plot(rows: Sequence[MapRow], path: Path) -> Path:
    """Draw one line per sample: input, then its maps; time runs to the right, frequency upwards.

    Args:
        rows: At least one; all have the same maps.
        path: The PNG.

    Returns:
        ``path``.
    """
    stages = list(rows[0].maps)
    made = figure(3.3 * (1 + len(stages)) + 0.7, 2.05 * len(rows) + 0.6)
    grid = made.subplots(len(rows), 1 + len(stages), squeeze=False)
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
    return save(made, path)


def _show(axes: Axes, values: np.ndarray, seconds: float, colours: str) -> None:
    # The darkest and brightest 1 % are cut, so that a click does not darken the rest.
    low, high = np.percentile(values, [1, 99])
    axes.imshow(
        values.T,
        origin="lower",
        aspect="auto",
        cmap=colours,
        interpolation="nearest",
        extent=(0, seconds, 0, values.shape[1]),
        vmin=low,
        vmax=high if high > low else low + 1,
    )
    axes.tick_params(labelsize=8, colors=INK, color=QUIET, length=2.5)
    axes.spines[:].set_visible(False)


def _mel_axis(axes: Axes, bands: int, rate: int) -> None:
    places = band_of(np.array(HERTZ), bands, rate)
    inside = [(place, hertz) for place, hertz in zip(places, HERTZ, strict=True) if hertz < rate / 2 and place > 0]
    axes.set_yticks([place for place, _ in inside], [_short(hertz) for _, hertz in inside])


def band_of(hertz: np.ndarray, bands: int, rate: int) -> np.ndarray:
    """Where a frequency lies among HTK mel bands, in bands from the lower edge of the picture.

    Band ``i`` fills ``i`` to ``i + 1`` and is centred on the ``i + 1``-th of ``bands + 2`` equal steps in mel.

    Args:
        hertz: Frequencies.
        bands: Number of mel bands, from 0 to half the rate.
        rate: Of the sound in Hz.
    """
    mel = np.log10(1 + hertz / 700) / np.log10(1 + rate / 2 / 700)
    return np.asarray(mel * (bands + 1) - 0.5)


def _short(hertz: int) -> str:
    return f"{hertz // 1000}k" if hertz >= 1000 else str(hertz)
