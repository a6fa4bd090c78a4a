"""The interface of audio decoders, and what they share."""

import os
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Protocol

import numpy as np

from slowfast_cli.storage.remote import display
from slowfast_cli.types import BrokenMediaError, Seconds

BLOCK = 1 << 16  # native samples per decoded block: smaller blocks cost more decoder calls than they save
MAX_PEAK = 256.0  # of float samples; larger ones are integers that were not divided by their full scale
PREROLL_SECONDS = 0.5  # decoded and dropped after a seek: lossy codecs depend on earlier packets


class NoAudioError(BrokenMediaError):
    """A valid media file without an audio stream."""


class SilentError(BrokenMediaError):
    """A recording that decodes to silence."""


class AudioSource(Protocol):
    """An open recording."""

    rate: int  # native sampling rate, Hz
    channels: int  # before the mono mix
    seconds: Seconds | None  # length, if known without decoding
    header_seconds: Seconds | None  # length in the header, if reliable; truncated files contain less
    peak: float  # largest magnitude of the samples decoded so far, before the mono mix
    backend: str  # decoder
    watch: Callable[[np.ndarray], None]  # called with each block of samples before the mono mix, (N, C)

    def blocks(self, first: int) -> Iterator[np.ndarray]:
        """Yield consecutive mono float32 samples from native sample ``first`` to the end."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def ignore(block: np.ndarray) -> None:
    """Do not watch blocks, see `AudioSource.watch`."""


def printable(path: Path | str) -> str:
    """Return a path, or an id made from one, as text that can be printed whatever bytes the name contains."""
    return os.fsencode(display(path) if isinstance(path, Path) else path).decode("utf-8", "replace")


def peak(samples: np.ndarray) -> float:
    """Return the largest magnitude of samples; 0 without samples."""
    return max(float(samples.max()), -float(samples.min())) if samples.size else 0.0


def check_scale(loudest: float, path: Path) -> None:
    """Refuse stored float samples far above full scale."""
    if MAX_PEAK < loudest < inf:
        raise BrokenMediaError(
            f"{printable(path)}: a sample is {loudest:.0f}, full scale is 1: divide the samples by 32768 if they were "
            "16-bit integers"
        )


def to_float32(values: np.ndarray) -> np.ndarray:
    """Convert samples of any type to float32 with full scale 1."""
    if values.dtype.kind == "f":
        return values.astype(np.float32, copy=False)
    half = float(1 << (8 * values.dtype.itemsize - 1))
    center = half if values.dtype.kind == "u" else 0.0
    return ((values.astype(np.float64) - center) / half).astype(np.float32)


def to_mono(block: np.ndarray) -> np.ndarray:
    """Average the channels; mono and stereo take fast paths, ten times as fast as a mean over so short an axis.

    Shape: (samples, channels), float32 -> (samples,)
    """
    if block.shape[1] == 1:
        return block[:, 0]
    if block.shape[1] == 2:
        both = block[:, 0] + block[:, 1]
        both *= np.float32(0.5)
        return np.asarray(both)
    return np.asarray(block.mean(axis=1, dtype=np.float32))
