"""What every decoder of sound gives, and what the decoders share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from slowfast_cli.storage.places import display
from slowfast_cli.types import DataError, Seconds

BLOCK = 1 << 16  # native samples decoded at a time: smaller ones cost more calls of the decoders than they save
PREROLL_SECONDS = 0.5  # decoded and dropped after a seek: lossy codecs need their past


class NoSoundError(DataError):
    """A media file that opens, but has no audio stream."""


class Source(Protocol):
    """An open recording.

    Attributes:
        rate: Native samples a second, Hz.
        channels: Before the mono mix.
        length: In seconds, as far as opening it tells; None when only decoding does.
        promised: Length its header says it was written with, in seconds: a truncated file has less. None where headers
            of that kind are no reliable witness.
        backend: What decodes it.
    """

    rate: int
    channels: int
    length: Seconds | None
    promised: Seconds | None
    backend: str

    def blocks(self, first: int) -> Iterator[np.ndarray]:
        """Consecutive mono float32 samples from native sample ``first`` to the end."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def shown(path: Path | str) -> str:
    """A path, or an id made of one, as text that can always be printed, whatever bytes its name has."""
    return os.fsencode(display(path) if isinstance(path, Path) else path).decode("utf-8", "replace")


def scaled(values: np.ndarray) -> np.ndarray:
    """Samples of any type as float32 with full scale 1."""
    if values.dtype.kind == "f":
        return values.astype(np.float32, copy=False)
    half = float(1 << (8 * values.dtype.itemsize - 1))
    centre = half if values.dtype.kind == "u" else 0.0
    return ((values.astype(np.float64) - centre) / half).astype(np.float32)


def mixed(block: np.ndarray) -> np.ndarray:
    """The mean of the channels; of one or two, what most files have, ten times as fast as a mean over so short an axis.

    Shape:
        (samples, channels), float32 -> (samples,)
    """
    if block.shape[1] == 1:
        return block[:, 0]
    if block.shape[1] == 2:
        both = block[:, 0] + block[:, 1]
        both *= np.float32(0.5)
        return np.asarray(both)
    return np.asarray(block.mean(axis=1, dtype=np.float32))
