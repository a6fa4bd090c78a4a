"""Decode audio files, video containers and HDF5 datasets to mono samples at their native rate.

Backends, in order: h5py if the recording names a dataset, soundfile (wav, flac, ogg, mp3), PyAV for everything else.
The content of a file decides, not its suffix.
"""

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
from slowfast_cli.media.audio_source import BLOCK, PREROLL_SECONDS, AudioSource, printable, to_float32, to_mono
from slowfast_cli.media.decoder_errors import decoder_errors
from slowfast_cli.storage import remote
from slowfast_cli.types import BrokenMediaError, Recording, Seconds

UNKNOWN_SIZE = 0x7FFFF000  # RIFF sizes from here on are placeholders of programs that did not know the length


def decoder_versions() -> dict[str, str]:
    """Return the versions of the decoding libraries, on which the samples may depend."""
    ffmpeg = {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}
    return {"libsndfile": soundfile.__libsndfile_version__, **ffmpeg}


@contextmanager
def open_audio(recording: Recording) -> Iterator[AudioSource]:
    """Open the audio of a recording with the first backend that supports it.

    Raises:
        BrokenMediaError: The file is missing, empty, a folder, without audio, or not supported by any backend; or the
            body raises an exception of a decoder.
    """
    path = recording.sound or recording.path
    with decoder_errors(path):
        remote.ensure_local(path)
        with closing(_open(recording, path)) as source:
            yield source


def _open(recording: Recording, path: Path) -> AudioSource:
    if recording.dataset is not None and recording.rate is not None:
        return Hdf5Source(path, recording.dataset, recording.rate)
    with suppress(soundfile.LibsndfileError):
        source = SoundFileSource(path)
        if source.file.frames > 0:
            return source
        source.close()
    return AvSource(path)


class Hdf5Source:
    """A 1-d dataset of samples; integers are scaled to full scale 1."""

    channels = 1
    backend = "h5py"

    def __init__(self, path: Path, dataset: str, rate: int) -> None:
        self.rate = rate
        try:
            self.file: Any = h5py.File(path, "r", locking=False)
        except OSError as error:
            raise BrokenMediaError(f"{printable(path)}: not a readable HDF5 file ({error}): fetch it again") from error
        self.samples: Any = self.file.get(dataset)
        if not isinstance(self.samples, h5py.Dataset) or self.samples.ndim != 1 or self.samples.dtype.kind not in "iuf":
            self.file.close()
            raise BrokenMediaError(
                f"{printable(path)}: dataset '{dataset}' is missing or is not a 1-d array of samples"
            )
        self.seconds: Seconds | None = len(self.samples) / rate
        self.header_seconds: Seconds | None = self.seconds

    def blocks(self, first: int) -> Iterator[np.ndarray]:
        """See `AudioSource`."""
        for start in range(first, len(self.samples), BLOCK):
            yield to_float32(self.samples[start : start + BLOCK])

    def close(self) -> None:
        """See `AudioSource`."""
        self.file.close()


class SoundFileSource:
    """A file that libsndfile supports; opened by descriptor, so that neither file name nor suffix matters."""

    backend = "soundfile"

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)
        try:
            self.file: Any = soundfile.SoundFile(self.descriptor, closefd=False)
        except BaseException:
            os.close(self.descriptor)
            raise
        # After each read of a seekable file, soundfile seeks to the current position, which resets the mp3 decoder: a
        # click at each block. A file that reports not to be seekable is read continuously.
        self.seekable = self.file.seekable()
        self.file.seekable = lambda: False
        self.rate = int(self.file.samplerate)
        self.channels = int(self.file.channels)
        known = self.file.frames < 1 << 40
        self.seconds: Seconds | None = self.file.frames / self.rate if known else None
        self.header_seconds = self._header_seconds(path)

    def _header_seconds(self, path: Path) -> Seconds | None:
        if self.file.format == "FLAC":
            return self.seconds
        if self.file.format in ("WAV", "WAVEX") and self.seconds is not None:
            # libsndfile silently shortens a truncated file; the RIFF header still has the original size.
            with path.open("rb") as file:
                stated = int.from_bytes(file.read(8)[4:], "little") + 8
            size = path.stat().st_size
            return self.seconds * (stated / size if size < stated < UNKNOWN_SIZE else 1.0)
        return None

    def blocks(self, first: int) -> Iterator[np.ndarray]:
        """See `AudioSource`."""
        # libsndfile seeks to the wrong sample of an mp3, so mp3 files are decoded from their start.
        start = max(0, first - int(PREROLL_SECONDS * self.rate)) if self.file.format == "OGG" else first
        if self.file.format in ("MP3", "MPEG") or not self.seekable or start >= self.file.frames:
            start = 0
        elif self.file.seek(start) != start:
            start = self.file.seek(0)
        skip = first - start
        while True:
            try:
                block = self.file.read(BLOCK, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError:  # truncated: keep what was decoded
                return
            if not len(block):
                return
            mono = to_mono(block)
            if skip < len(mono):
                yield mono[skip:]
            skip = max(0, skip - len(mono))

    def close(self) -> None:
        """See `AudioSource`."""
        self.file.close()
        os.close(self.descriptor)
