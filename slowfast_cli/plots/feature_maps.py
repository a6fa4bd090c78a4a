"""Plots of input spectrograms and their feature maps (ASF App. B, Fig. 3).

Shapes: C channels, T frames (time), F mel bands or rows of a map (frequency).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from slowfast_cli.plots.canvas import INK, LABEL, NOTE, QUIET, WIDE, figure, save, style_image
from slowfast_cli.types import Seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One channel of a feature map."""

    number: int
    values: np.ndarray  # (T, F)


@dataclass(frozen=True, kw_only=True)
class MapRow:
    """One sample: its input and one channel of each feature map."""

    title: str
    logmel: np.ndarray  # (T, F)
    maps: Mapping[str, Channel]  # by stage name, such as ``slow res3``
    seconds: float  # length of the input
    mel_bounds: tuple[float, float]  # lowest and highest frequency of the mel bands, Hz
    htk: bool  # mel scale of HTK; False: that of Slaney


def most_varied_channel(features: np.ndarray) -> Channel:
    """Select the channel of (C, T, F) with the highest standard deviation; the paper selects by hand."""
    number = int(features.reshape(len(features), -1).std(axis=1).argmax())
    return Channel(number=number, values=features[number])


def feature_maps_plot(rows: Sequence[MapRow], path: Path) -> Path:
    """Draw one row per sample: the input, then its feature maps; time to the right, frequency upwards.

    Above each map stand the number of the channel, and the values of the darkest and of the brightest color.
    """
    stages = list(rows[0].maps)
    panel = min(3.3, WIDE / (1 + len(stages)))  # inches
    fig = figure(panel * (1 + len(stages)), (min(1.7, 0.8 * panel) + 0.25) * len(rows) + 0.5)
    fig.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03, wspace=0, hspace=0))
    grid = fig.subplots(len(rows), 1 + len(stages), squeeze=False)
    for index, (row, line) in enumerate(zip(rows, grid, strict=True)):
        show_logmel(line[0], row.logmel, row.seconds, row.mel_bounds, htk=row.htk)
        line[0].set_ylabel(row.title, fontsize=LABEL, color=INK, fontweight="bold")
        for axes, stage in zip(line[1:], stages, strict=True):
            _show_map(axes, row.maps[stage], row.seconds)
        for axes, name in zip(line, ("input, Hz", *stages), strict=True):
            if index == 0:
                axes.annotate(
                    name, (0, 1), xytext=(0, 4 + 1.6 * NOTE), xycoords="axes fraction", textcoords="offset points",
                    fontsize=LABEL, color=INK,
                )  # fmt: skip
            if index == len(rows) - 1:
                axes.set_xlabel("time, s", fontsize=LABEL, color=INK)
            else:
                axes.tick_params(axis="x", length=0, labelbottom=False)
    return save(fig, path)


def show_logmel(
    axes: Axes, logmel: np.ndarray, seconds: Seconds, mel_bounds: tuple[float, float], *, htk: bool
) -> None:
    """Draw a log-mel spectrogram (T, F) on librosa's mel axis; for the other arguments see `MapRow`."""
    # Imported here: librosa takes half a second, and no other plot needs it.
    from librosa import mel_frequencies  # noqa: PLC0415
    from librosa.display import specshow  # noqa: PLC0415

    frames, bands = logmel.shape
    (low, high), (darkest, brightest) = mel_bounds, _color_range(logmel)
    specshow(
        logmel.T, x_coords=(np.arange(frames) + 0.5) * seconds / frames,
        y_coords=mel_frequencies(bands + 2, fmin=low, fmax=high, htk=htk)[1:-1], x_axis="s", y_axis="mel",
        sr=2 * high, ax=axes, cmap="magma", vmin=darkest, vmax=brightest,
    )  # fmt: skip
    axes.set(xlabel="", ylabel="", xlim=(0, seconds))
    _style(axes)


def _show_map(axes: Axes, channel: Channel, seconds: float) -> None:
    values = channel.values
    low, high = _color_range(values)
    axes.set_title(
        f"channel {channel.number}: {low:.2g} to {high:.2g}", fontsize=NOTE - 0.5, color=QUIET, loc="left", pad=3
    )
    extent = (0, seconds, 0, values.shape[1])
    axes.imshow(
        values.T, origin="lower", aspect="auto", cmap="viridis", interpolation="nearest", extent=extent, vmin=low,
        vmax=high,
    )  # fmt: skip
    axes.set_yticks([])
    _style(axes)


def _color_range(values: np.ndarray) -> tuple[float, float]:
    """Clip the lowest and highest 1 %, so that a click does not darken the rest."""
    low, high = np.percentile(values, [1, 99])
    return float(low), float(high if high > low else low + 1)


def _style(axes: Axes) -> None:
    style_image(axes)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], prune="upper"))
    axes.xaxis.set_major_formatter("{x:g}")
