"""Plot of the scores of windows below the spectrogram or the frames of a recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import AutoLocator

from slowfast_cli.plots.canvas import INK, LABEL, TITLE, WIDE, add_color_bar, figure, save, style_image
from slowfast_cli.plots.feature_maps import show_logmel
from slowfast_cli.types import Seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SPECTROGRAM, FRAME, ROW = 2.0, 1.25, 0.28  # inches: heights of the upper plot, and of a class
SHARE = 0.8  # of the width of a figure, that the plots take
CLASSES = 8  # rows: those with the highest score in any window


@dataclass(frozen=True, kw_only=True)
class Spectrogram:
    """Log-mel of a whole recording; T frames, F mel bands."""

    logmel: np.ndarray  # (T, F)
    seconds: Seconds  # length of the recording
    mel_bounds: tuple[float, float]  # lowest and highest frequency of the mel bands, Hz
    htk: bool  # mel scale of HTK; False: that of Slaney


@dataclass(frozen=True, kw_only=True)
class FilmStrip:
    """Square frames of a whole video, each shown over its share of the time; `frames_across` of them fill the plot."""

    frames: np.ndarray  # (N, side, side, 3) RGB, uint8
    seconds: Seconds  # length of the video


def frames_across(width: float) -> int:
    """Number of square frames beside each other that fill a figure of this width, in inches."""
    return max(1, round(SHARE * width / FRAME))


def timeline_plot(
    signal: Spectrogram | FilmStrip,
    windows: Sequence[tuple[Seconds, Seconds]],
    scores: Mapping[str, np.ndarray],
    path: Path,
    *,
    title: str = "",
    width: float = WIDE,
) -> Path:
    """Draw the scores of windows over time, below the spectrogram or frames; a window is drawn around its middle.

    Args:
        signal: Of the recording.
        windows: Start and end of W windows, in order.
        scores: Probabilities by class name, (W,); the classes with the highest ones are drawn.
        path: The PNG to write.
        title: Title of the figure.
        width: Of the figure, in inches.

    Returns:
        ``path``.
    """
    names = sorted(scores, key=lambda name: -float(scores[name].max()))[:CLASSES]
    names.sort(key=lambda name: int(scores[name].argmax()))  # in the order of their highest scores
    heights = (SPECTROGRAM if isinstance(signal, Spectrogram) else FRAME, ROW * len(names))
    fig = figure(width, 0.6 + sum(heights))
    above, below = fig.subplots(2, 1, sharex=True, height_ratios=heights)
    if isinstance(signal, Spectrogram):
        show_logmel(above, signal.logmel, signal.seconds, signal.mel_bounds, htk=signal.htk)
        above.xaxis.set_major_locator(AutoLocator())
        above.set_ylabel("Hz", fontsize=LABEL, color=INK)
    else:
        _show_frames(above, signal)
    above.tick_params(axis="x", length=0)
    above.set_title(title, fontsize=TITLE, color=INK, loc="left")
    middles = np.array([(start + end) / 2 for start, end in windows])
    edges = np.concatenate([[windows[0][0]], (middles[:-1] + middles[1:]) / 2, [windows[-1][1]]])
    image = below.pcolormesh(
        edges, np.arange(len(names) + 1), np.stack([scores[name] for name in names]), cmap="Blues", vmin=0, vmax=1
    )
    below.set_yticks(np.arange(len(names)) + 0.5, names)
    below.hlines(np.arange(1, len(names)), 0, signal.seconds, color="white", linewidth=1.5)
    below.invert_yaxis()
    below.set_xlabel("time, s", fontsize=LABEL, color=INK)
    below.set_xlim(0, signal.seconds)
    style_image(below)
    add_color_bar(fig, image, [above, below], "score", (0, 0.5, 1), fraction=0.02)
    return save(fig, path)


def _show_frames(axes: Axes, strip: FilmStrip) -> None:
    count = len(strip.frames)
    for number, frame in enumerate(strip.frames):
        left, right = (strip.seconds * side / count for side in (number, number + 1))
        axes.imshow(frame, extent=(left, right, 0, 1), aspect="auto", interpolation="bilinear")
    axes.vlines(np.arange(1, count) * strip.seconds / count, 0, 1, color="white", linewidth=1.5)
    axes.set(yticks=[], ylim=(0, 1))
    style_image(axes)
