"""Draw the windows of a recording below its spectrogram, or below its frames."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from slowfast_cli.features.logmel import LogMel
from slowfast_cli.media import audio, video
from slowfast_cli.plots.canvas import WIDE
from slowfast_cli.plots.timeline import FilmStrip, Spectrogram, frames_across, timeline_plot
from slowfast_cli.settings import FrontEnd
from slowfast_cli.stages.predict.results import FilePrediction
from slowfast_cli.types import Recording

COLUMNS = 1800  # of the picture, at most twice as many: frames of long recordings are averaged
SIDE = 200  # pixels, shorter side of the frames of a picture


def draw(
    predictions: Sequence[FilePrediction],
    classes: Mapping[str, Sequence[str]],
    out: Path,
    *,
    frames: bool = False,
    width: float = WIDE,
) -> None:
    """Write a PNG of the scores of the first label set over time; memory does not grow with the recording.

    Args:
        predictions: Windows of one recording, in order.
        classes: Class names by label set.
        out: The PNG.
        frames: Draw the frames of a video instead of its spectrogram.
        width: Of the picture, in inches.

    Raises:
        BrokenMediaError: The recording has no audio, or no frames, that can be read.
    """
    path = predictions[0].path
    labels, names = next(iter(classes.items()))
    windows = [(prediction.start, prediction.end) for prediction in predictions]
    scores_WC = np.stack([prediction.scores[labels] for prediction in predictions])
    scores = {name: scores_WC[:, index] for index, name in enumerate(names)}
    timeline_plot(
        _film_strip(path, frames_across(width)) if frames else _spectrogram(path),
        windows,
        scores,
        out,
        title=path.name,
        width=width,
    )


def _spectrogram(path: Path) -> Spectrogram:
    """The log-mel of a recording, averaged over time to a size that can be drawn."""
    recording, front_end = Recording(id=str(path), path=path), FrontEnd(mels=64)
    seconds = audio.probe(recording).seconds
    average = max(1, int(seconds * front_end.rate / front_end.hop / COLUMNS))  # frames of a column
    samples = (torch.from_numpy(block) for block in audio.blocks(recording, rate=front_end.rate))
    columns, rest = list[np.ndarray](), np.zeros((0, front_end.mels), np.float32)
    for frames in LogMel(front_end).stream(samples):
        rest = np.concatenate([rest, frames.numpy()])
        whole = len(rest) // average
        columns.append(rest[: whole * average].reshape(whole, average, front_end.mels).mean(axis=1))
        rest = rest[whole * average :]
    return Spectrogram(
        logmel=np.concatenate([*columns, rest[:1]]),
        seconds=seconds,
        mel_bounds=(front_end.fmin, front_end.top),
        htk=front_end.mel_scale == "htk",
    )


def _film_strip(path: Path, count: int) -> FilmStrip:
    """The center squares of frames in the middle of equal stretches of a video."""
    recording = Recording(id=str(path), path=path)
    seconds = video.probe(recording).seconds
    each = seconds / count
    pixels = video.read(recording, start=each / 2, span=seconds - each, count=count, short_side=SIDE).pixels
    side = min(pixels.shape[1:3])
    top, left = ((size - side) // 2 for size in pixels.shape[1:3])
    return FilmStrip(frames=pixels[:, top : top + side, left : left + side], seconds=seconds)
