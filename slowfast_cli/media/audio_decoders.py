"""Decode audio files, video containers and HDF5 datasets to mono samples at their native rate.

Backends, in order: h5py if the recording names a dataset, soundfile (wav, flac, ogg, mp3), PyAV for everything else.
The content of a file decides, not its suffix.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import soundfile

from slowfast_cli.media.audio_joined import joined
from slowfast_cli.media.audio_pyav import AvSource
from slowfast_cli.media.audio_source import (
    BLOCK,
    PREROLL_SECONDS,
    AudioSource,
    check_scale,
    ignore,
    peak,
    printable,
    to_mono,
)
from slowfast_cli.media.container import MAX_DAYS, require_file
from slowfast_cli.media.decoder_errors import decoder_errors
from slowfast_cli.media.quiet_stderr import quiet_stderr
from slowfast_cli.storage import remote
from slowfast_cli.types import BrokenMediaError, Recording, Seconds

# Sizes near multiples of these are placeholders of programs that did not know the length when they wrote the header.
ROUND_SIZES = (1 << 28, 10**8)
HEADER_BYTES = 4096  # by which a placeholder may differ from the round number
MIN_RATE, MAX_RATE = 1000, 1_000_000  # Hz; other rates are damaged headers, and would be resampled to any length
MAX_CHANNELS = 255
# Where the header of a format states the size of the file: offset, bytes, byte order, and bytes to add.
STATED_SIZES: dict[str, tuple[int, int, Literal["little", "big"], int]] = {
    "WAV": (4, 4, "little", 8), "WAVEX": (4, 4, "little", 8), "RF64": (20, 8, "little", 8), "AIFF": (4, 4, "big", 8),
    "W64": (16, 8, "little", 0),
}  # fmt: skip


def decoder_versions() -> dict[str, str]:
    """Return the versions of the decoding libraries, on which the samples may depend."""
    ffmpeg = {name: ".".join(map(str, version)) for name, version in av.library_versions.items()}
    return {"libsndfile": soundfile.__libsndfile_version__, **ffmpeg}


@contextmanager
def open_audio(recording: Recording) -> Iterator[AudioSource]:
    """Open the audio of a recording with the first backend that supports it.

    Raises:
        BrokenMediaError: The file is missing, empty, a folder, without audio, or not supported by any backend; its
            header states an absurd format; or the body raises an exception of a decoder.
    """
    path = recording.sound or recording.path
    with decoder_errors(path):
        require_file(remote.ensure_local(path))
        with closing(_open(recording, path)) as source:
            _check_limits(source, path)
            yield source


def _open(recording: Recording, path: Path) -> AudioSource:
    if recording.dataset is not None and recording.rate is not None:
        from slowfast_cli.media.audio_hdf5 import Hdf5Source  # noqa: PLC0415  (h5py is not in the light installation)

        return Hdf5Source(path, recording.dataset, recording.rate)
    parts = joined(path)
    if parts is not None and not parts.chains:
        continued = AvSource(path)
        continued.header_seconds = parts.header_seconds
        return continued
    with suppress(soundfile.LibsndfileError):
        if parts is not None:
            return ChainedSource(path, parts.chains)
        source = SoundFileSource(path)
        if source.file.frames > 0:
            return source
        source.close()
    return AvSource(path)


def _check_limits(source: AudioSource, path: Path) -> None:
    """Refuse what damaged or malicious headers state, before memory is allocated for it."""
    days = max(source.seconds or 0.0, source.header_seconds or 0.0) / 86400
    reason = ""
    if not MIN_RATE <= source.rate <= MAX_RATE:
        reason = f"a sampling rate of {source.rate} Hz, expected {MIN_RATE} to {MAX_RATE} Hz"
    elif not 1 <= source.channels <= MAX_CHANNELS:
        reason = f"{source.channels} channels, expected 1 to {MAX_CHANNELS}"
    elif days > MAX_DAYS:
        reason = f"a length of {days:.0f} days, expected at most {MAX_DAYS}"
    if reason:
        raise BrokenMediaError(f"{printable(path)}: its header states {reason}: fetch it again, or convert it")


def _read_part(path: Path, start: int, stop: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(stop - start)


class ChainedSource:
    """The parts of a chained Ogg file, one after the other; libsndfile reads the first one only."""

    backend = "soundfile"

    def __init__(self, path: Path, chains: Sequence[tuple[int, int]]) -> None:
        self.path = path
        self.chains = chains
        self.peak = 0.0
        self.watch: Callable[[np.ndarray], None] = ignore
        self.frames: list[int] = []
        for chain in chains:
            with closing(SoundFileSource(path, chain)) as part:
                if not self.frames:
                    self.rate, self.channels = part.rate, part.channels
                if part.rate != self.rate:
                    raise BrokenMediaError(
                        f"{printable(path)}: the sampling rate changes from {self.rate} to {part.rate} Hz: convert it"
                    )
                self.frames.append(part.file.frames)
        self.seconds: Seconds | None = sum(self.frames) / self.rate
        self.header_seconds: Seconds | None = None

    def blocks(self, first: int) -> Iterator[np.ndarray]:
        """See `AudioSource`."""
        for chain, frames in zip(self.chains, self.frames, strict=True):
            if first < frames:
                with closing(SoundFileSource(self.path, chain)) as part:
                    part.watch = self.watch
                    yield from part.blocks(first)
                    self.peak = max(self.peak, part.peak)
            first = max(0, first - frames)

    def close(self) -> None:
        """See `AudioSource`."""


class SoundFileSource:
    """A file that libsndfile supports; opened by descriptor, so that neither file name nor suffix matters."""

    backend = "soundfile"

    def __init__(self, path: Path, part: tuple[int, int] | None = None) -> None:
        self.path = path
        self.peak = 0.0
        self.watch: Callable[[np.ndarray], None] = ignore
        self.raw = path.open("rb") if part is None else io.BytesIO(_read_part(path, *part))
        try:
            source = self.raw if part is not None else self.raw.fileno()
            with quiet_stderr():
                self.file: Any = soundfile.SoundFile(source, closefd=False)
        except BaseException:
            self.raw.close()
            raise
        # After each read of a seekable file, soundfile seeks to the current position, which resets the mp3 decoder: a
        # click at each block. A file that reports not to be seekable is read continuously.
        self.seekable = self.file.seekable()
        self.file.seekable = lambda: False
        self.rate = int(self.file.samplerate)
        self.channels = int(self.file.channels)
        known = self.file.frames < 1 << 40
        self.seconds: Seconds | None = self.file.frames / self.rate if known else None
        self.header_seconds = self._header_seconds()

    def _header_seconds(self) -> Seconds | None:
        if self.file.format == "FLAC":
            return self.seconds
        if self.file.format not in STATED_SIZES or self.seconds is None:
            return None
        # libsndfile silently shortens a truncated file; the header still has the original size.
        offset, count, order, more = STATED_SIZES[self.file.format]
        with self.path.open("rb") as file:
            file.seek(offset)
            stated = int.from_bytes(file.read(count), order) + more
        size = self.path.stat().st_size
        placeholder = any(min(stated % step, -stated % step) <= HEADER_BYTES for step in ROUND_SIZES)
        return self.seconds * (stated / size if size < stated and not placeholder else 1.0)

    def blocks(self, first: int) -> Iterator[np.ndarray]:
        """See `AudioSource`."""
        # libsndfile seeks to the wrong sample of an mp3, so mp3 files are decoded from their start.
        position = max(0, first - int(PREROLL_SECONDS * self.rate)) if self.file.format == "OGG" else first
        try:
            if self.file.format in ("MP3", "MPEG") or not self.seekable or position >= self.file.frames:
                position = 0
            elif self.file.seek(position) != position:
                position = self.file.seek(0)
            while len(block := self._read()):
                self.peak = max(self.peak, peak(block))
                self.watch(block)
                if self.file.subtype in ("FLOAT", "DOUBLE"):
                    check_scale(self.peak, self.path)
                mono = to_mono(block)
                if position + len(mono) > first:
                    yield mono[max(0, first - position) :]
                position += len(mono)
        except soundfile.LibsndfileError:  # truncated: keep what was decoded
            if self.file.format == "FLAC":  # FFmpeg also decodes the frames between the last block and the truncation
                with closing(AvSource(self.path)) as rest:
                    rest.watch = self.watch
                    yield from rest.blocks(max(position, first))
                    self.peak = max(self.peak, rest.peak)

    def _read(self) -> np.ndarray:
        with quiet_stderr():
            block: np.ndarray = self.file.read(BLOCK, dtype="float32", always_2d=True)
        return block

    def close(self) -> None:
        """See `AudioSource`."""
        self.file.close()
        self.raw.close()
