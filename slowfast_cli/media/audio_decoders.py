"""Native samples out of sound files, video containers and HDF5, mixed to mono and never resampled.

The ladder: HDF5 when the recording says so, soundfile for what it reads (wav, flac, ogg, mp3), PyAV for the rest. The
content decides, not the suffix.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import soundfile

from slowfast_cli.media.audio_pyav import AvSource
from slowfast_cli.media.audio_source import BLOCK, PREROLL_SECONDS, Source, mixed, scaled, shown
from slowfast_cli.storage import remote
from slowfast_cli.types import DataError, Recording, Seconds

UNKNOWN_SIZE = 0x7FFFF000  # RIFF sizes from here on are what programs write that did not know the length


def decoders() -> dict[str, str]:
    """Versions of the libraries that decode: other ones may give other samples."""
    ffmpeg = {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}
    return {"libsndfile": soundfile.__libsndfile_version__, **ffmpeg}


@contextmanager
def opened(recording: Recording) -> Iterator[Source]:
    """Open the sound of a recording with the first backend that reads it.

    Raises:
        DataError: It is not there, is empty, is a folder, has no sound, or no backend reads it.
    """
    path = remote.ensure_local(recording.sound or recording.path)
    try:
        if path.is_dir():
            raise DataError(f"{shown(path)}: a folder, not a sound file: name the file")
        if path.stat().st_size == 0:
            raise DataError(f"{shown(path)}: empty file (0 bytes): fetch or record it again")
        source = _open(recording, path)
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read: {error.strerror or error}") from error
    with closing(source):
        yield source


def _open(recording: Recording, path: Path) -> Source:
    if recording.dataset is not None and recording.rate is not None:
        return Hdf5Source(path, recording.dataset, recording.rate)
    with suppress(soundfile.LibsndfileError):
        source = SoundFileSource(path)
        if source.file.frames > 0:
            return source
        source.close()
    return AvSource(path)


class Hdf5Source:
    """One 1-d dataset of samples; integers are scaled to full scale 1."""

    channels = 1
    backend = "h5py"

    def __init__(self, path: Path, dataset: str, rate: int) -> None:
        self.rate = rate
        try:
            self.file: Any = h5py.File(path, "r", locking=False)
        except OSError as error:
            raise DataError(f"{shown(path)}: not a readable HDF5 file ({error}): fetch it again") from error
        self.samples: Any = self.file.get(dataset)
        if not isinstance(self.samples, h5py.Dataset) or self.samples.ndim != 1 or self.samples.dtype.kind not in "iuf":
            self.file.close()
            raise DataError(f"{shown(path)}: dataset '{dataset}' is not there or is not a 1-d array of samples")
        self.length: Seconds | None = len(self.samples) / rate
        self.promised: Seconds | None = self.length

    def blocks(self, first: int) -> Iterator[np.ndarray]:
        """See `Source`."""
        for start in range(first, len(self.samples), BLOCK):
            try:
                block = self.samples[start : start + BLOCK]
            except OSError as error:
                raise DataError(f"{self.file.filename}: '{self.samples.name}' does not read ({error})") from error
            yield scaled(block)

    def close(self) -> None:
        """See `Source`."""
        self.file.close()


class SoundFileSource:
    """A file that libsndfile reads, opened by descriptor: any file name works, and no suffix misleads it."""

    backend = "soundfile"

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)
        try:
            self.file: Any = soundfile.SoundFile(self.descriptor, closefd=False)
        except BaseException:
            os.close(self.descriptor)
            raise
        # Soundfile seeks to where it already is after each read of a seekable file, and an mp3 decoder forgets its past
        # then: a click at each block. A file that says it is not seekable is read on.
        self.seekable = self.file.seekable()
        self.file.seekable = lambda: False
        self.rate = int(self.file.samplerate)
        self.channels = int(self.file.channels)
        known = self.file.frames < 1 << 40
        self.length: Seconds | None = self.file.frames / self.rate if known else None
        self.promised = self._promised(path)

    def _promised(self, path: Path) -> Seconds | None:
        if self.file.format == "FLAC":
            return self.length
        if self.file.format in ("WAV", "WAVEX") and self.length is not None:
            # libsndfile shortens a truncated file silently; the RIFF header still knows the size it had.
            with path.open("rb") as file:
                stated = int.from_bytes(file.read(8)[4:], "little") + 8
            size = path.stat().st_size
            longer = stated / size if size < stated < UNKNOWN_SIZE else 1.0
            return self.length * longer
        return None

    def blocks(self, first: int) -> Iterator[np.ndarray]:
        """See `Source`."""
        # libsndfile lands on the wrong sample of an mp3, so that is decoded from its start.
        start = max(0, first - int(PREROLL_SECONDS * self.rate)) if self.file.format == "OGG" else first
        if self.file.format in ("MP3", "MPEG") or not self.seekable or start >= self.file.frames:
            start = 0
        elif self.file.seek(start) != start:
            start = self.file.seek(0)
        skip = first - start
        while True:
            try:
                block = self.file.read(BLOCK, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError:  # a broken tail: what was decoded before it counts
                return
            if not len(block):
                return
            mono = mixed(block)
            if skip < len(mono):
                yield mono[skip:]
            skip = max(0, skip - len(mono))

    def close(self) -> None:
        """See `Source`."""
        self.file.close()
        os.close(self.descriptor)
