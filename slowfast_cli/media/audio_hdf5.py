"""Read audio from datasets of samples in HDF5 files."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from slowfast_cli.media.audio_source import BLOCK, check_scale, ignore, peak, printable, to_float32
from slowfast_cli.types import BrokenMediaError, Seconds

MAX_CHUNK = 1 << 28  # bytes of a decoded chunk, which HDF5 reads as a whole


class Hdf5Source:
    """A 1-d dataset of samples; integers are scaled to full scale 1."""

    channels = 1
    backend = "h5py"

    def __init__(self, path: Path, dataset: str, rate: int) -> None:
        self.path = path
        self.rate = rate
        self.peak = 0.0
        self.watch: Callable[[np.ndarray], None] = ignore
        try:
            self.file: Any = h5py.File(path, "r", locking=False)
        except OSError as error:
            raise BrokenMediaError(f"{printable(path)}: not a readable HDF5 file ({error}): fetch it again") from error
        try:
            self.samples = _dataset(self.file, dataset)
            if reason := _defect(self.samples):
                raise BrokenMediaError(f"{printable(path)}: dataset '{dataset}' {reason}")
        except BaseException:
            self.file.close()
            raise
        self.seconds: Seconds | None = len(self.samples) / rate
        self.header_seconds: Seconds | None = self.seconds

    def blocks(self, first: int) -> Iterator[np.ndarray]:
        """See `AudioSource`."""
        for start in range(first, len(self.samples), BLOCK):
            block = to_float32(self.samples[start : start + BLOCK])
            self.peak = max(self.peak, peak(block))
            check_scale(self.peak, self.path)
            self.watch(block[:, None])
            yield block

    def close(self) -> None:
        """See `AudioSource`."""
        self.file.close()


def _dataset(file: Any, name: str) -> Any:
    """Return an object of the file; None if it is missing, or only reached by a link to another name or file."""
    parts = [part for part in name.split("/") if part]
    for depth in range(1, len(parts) + 1):
        if not isinstance(file.get("/".join(parts[:depth]), getlink=True), h5py.HardLink):
            return None
    return file.get(name)


def _defect(samples: Any) -> str:
    """Describe why an object is no dataset of samples that the file itself stores; empty if it is one."""
    if not isinstance(samples, h5py.Dataset) or samples.ndim != 1 or samples.dtype.kind not in "iuf":
        return "is missing, a link, or not a 1-d array of samples: correct its name"
    if samples.external or samples.is_virtual:
        return "stores its samples in other files: copy them into this one"
    chunk = 0 if samples.chunks is None else samples.chunks[0] * samples.dtype.itemsize
    if chunk > MAX_CHUNK:
        return f"has chunks of {chunk >> 20} MiB, expected at most {MAX_CHUNK >> 20} MiB: rewrite it in smaller chunks"
    if len(samples) and not samples.id.get_storage_size():
        return f"states {len(samples)} samples, but stores none: write it again"
    return ""
