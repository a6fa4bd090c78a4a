"""What is asked of a file, and what comes back, whatever kind of model it is that answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from slowfast_cli.media.audio_source import printable
from slowfast_cli.types import Box, DataError, Seconds, UsageError

MOST_VIEWS = 10  # of one recording, or of one window, spread evenly over it


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Sliding windows.

    Attributes:
        window: Length of each.
        hop: From the start of one to the start of the next.
    """

    window: Seconds
    hop: Seconds

    def __post_init__(self) -> None:
        if not 0 < self.hop <= self.window < float("inf"):
            raise UsageError(f"--timeline {self.window:g}/{self.hop:g}: want 0 < hop <= window, in seconds, as 2.0/0.5")


@dataclass(frozen=True, kw_only=True)
class FilePrediction:
    """What the model says of a stretch of a recording, or of a box in its picture then.

    Attributes:
        path: The file.
        start: Of the stretch.
        end: Of the stretch.
        scores: Probabilities by label set, (classes,).
        time: The moment that a box is asked about; None where the whole stretch is.
        box: Where in the picture; None where all of it is.
        heard: False where the model listens too, and the recording has no sound.
    """

    path: Path
    start: Seconds
    end: Seconds
    scores: Mapping[str, np.ndarray]
    time: Seconds | None = None
    box: Box | None = None
    heard: bool = True


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A file that could not be used."""

    path: Path
    reason: str


class FilePredictor(Protocol):
    """How a kind of model takes a file in."""

    def answers(self, path: Path, timeline: Timeline | None) -> Iterator[FilePrediction]:
        """Answer for a whole file, or for each window of it.

        Raises:
            DataError: It cannot be used.
        """


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn what a decoder may raise of a broken file into an error of that file."""
    try:
        yield
    except (ValueError, RuntimeError, ArithmeticError, LookupError, OSError) as error:
        raise DataError(f"{printable(path)}: its decoder failed ({type(error).__name__}: {error})") from error
