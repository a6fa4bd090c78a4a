"""Values shared by all kinds of predictors: timeline, predictions, failures."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from slowfast_cli.media.audio_source import NoAudioError
from slowfast_cli.types import Box, DataError, Seconds, UsageError

MOST_VIEWS = 10  # of one recording or one window, spread evenly over it

MAX_WINDOW = 3600  # seconds: the samples of a window are in memory


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Sliding windows over a recording."""

    window: Seconds
    hop: Seconds  # between the starts of successive windows

    def __post_init__(self) -> None:
        if not 0 < self.hop <= self.window <= MAX_WINDOW:
            raise UsageError(
                f"--timeline {self.window:g}/{self.hop:g}: expected 0 < hop <= window <= {MAX_WINDOW}, in seconds, as "
                "2.0/0.5"
            )


def read_timeline(text: str | None) -> Timeline | None:
    """Read ``WINDOW/HOP``; raise `UsageError` if it is something else."""
    if text is None:
        return None
    try:
        window, _, hop = text.partition("/")
        return Timeline(window=float(window), hop=float(hop or window))
    except ValueError as error:
        raise UsageError(f"--timeline {text}: expected WINDOW/HOP in seconds, as 2.0/0.5") from error


@dataclass(frozen=True, kw_only=True)
class FilePrediction:
    """Class probabilities of a stretch of a recording, or of a box in one of its frames."""

    path: Path
    start: Seconds
    end: Seconds
    scores: Mapping[str, np.ndarray]  # probabilities (classes,) by label set
    time: Seconds | None = None  # of the frame that `box` is in; None for a whole stretch
    box: Box | None = None  # None for the whole frame
    note: str = ""  # what the file lacks: the prediction is of the part of a truncated file that decodes
    has_audio: bool = True  # False if the model reads audio and the recording has none


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A file that could not be predicted."""

    path: Path
    reason: str
    no_audio: bool = False  # it lacks the audio that the model reads

    @classmethod
    def of(cls, path: Path, error: DataError) -> "Failed":
        """The failure of a file that raised an error."""
        return cls(path=path, reason=str(error), no_audio=isinstance(error, NoAudioError))


class FilePredictor(Protocol):
    """Predicts one file with one kind of model."""

    def predict(self, path: Path, timeline: Timeline | None) -> Iterator[FilePrediction]:
        """Predict a whole file, or each window of it.

        Raises:
            DataError: The file cannot be read or decoded.
        """
