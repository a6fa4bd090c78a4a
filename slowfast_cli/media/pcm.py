"""Raw PCM from a pipe, as it arrives."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from slowfast_cli.media import audio
from slowfast_cli.media.audio_source import check_scale, peak, printable, to_float32, to_mono
from slowfast_cli.types import BrokenMediaError, DataError, UsageError

READ = 1 << 16  # bytes at a time, at most
RATES = range(1000, 768_001)
MOST_CHANNELS = 64
DTYPES = {
    "u8": "u1", "s16le": "<i2", "s16be": ">i2", "s32le": "<i4", "s32be": ">i4", "f32le": "<f4", "f32be": ">f4",
    "f64le": "<f8", "f64be": ">f8",
}  # fmt: skip
HEADERS = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"FORM", b"caff", b"ID3")


@dataclass(frozen=True, kw_only=True)
class PcmFormat:
    """Format of raw samples."""

    dtype: np.dtype
    rate: int
    channels: int

    @property
    def frame(self) -> int:
        """Bytes of one sample of all channels."""
        return self.dtype.itemsize * self.channels


def read_format(text: str) -> PcmFormat:
    """Read a format such as ``s16le@16000`` or, with two channels, ``s16le@48000x2``.

    >>> read_format("s16le@48000x2").frame
    4

    Raises:
        UsageError: The text is something else.
    """
    match = re.fullmatch(r"(\w+)@(\d{1,9})(?:x(\d{1,9}))?", text)
    rate, channels = (int(match[2]), int(match[3] or 1)) if match else (0, 0)
    if not match or match[1] not in DTYPES or rate not in RATES or not 1 <= channels <= MOST_CHANNELS:
        raise UsageError(
            f"--pcm {text}: expected FORMAT@RATE or FORMAT@RATExCHANNELS, as s16le@16000 or f32le@48000x2; formats: "
            f"{', '.join(DTYPES)}; rates {RATES[0]} to {RATES[-1]} Hz, at most {MOST_CHANNELS} channels"
        )
    return PcmFormat(dtype=np.dtype(DTYPES[match[1]]), rate=rate, channels=channels)


class PcmSource:
    """Raw interleaved samples from a pipe, a file or a device.

    Args:
        stream: Binary stream; read through its descriptor if it has one, so that bytes are seen as they arrive.
        name: For messages.
        format: Of the samples.
        say: Prints a remark.
    """

    def __init__(self, stream: BinaryIO, name: str, format: PcmFormat, say: Callable[[str], None]) -> None:
        self.name = name
        self.live: bool | None = None
        self._stream, self._format, self._say = stream, format, say

    def blocks(self, rate: int) -> Iterator[np.ndarray]:
        """See `slowfast_cli.stages.predict.live.LiveSource`."""
        return audio.resample(self._native(), self._format.rate, rate)

    def _native(self) -> Iterator[np.ndarray]:
        kind, rest, at_start = self._format, b"", True
        while data := self._read():
            data = rest + data
            if at_start and data.startswith(HEADERS):
                raise DataError(
                    f"{self.name}: begins with {data[:4].decode('ascii')}, the header of a file, expected raw samples: "
                    "leave out --pcm and name the file, or write it raw (arecord -t raw, ffmpeg -f s16le)"
                )
            at_start = at_start and len(data) < kind.frame
            whole = len(data) // kind.frame * kind.frame
            rest = data[whole:]
            if whole:
                values = np.frombuffer(data[:whole], kind.dtype).reshape(-1, kind.channels)
                yield self._checked(to_mono(to_float32(values)))
        if rest:
            self._say(f"note: {self.name}: the last {len(rest)} bytes are no whole sample of {kind.frame} bytes")

    def _checked(self, samples: np.ndarray) -> np.ndarray:
        loudest = peak(samples)
        if not np.isfinite(loudest):
            raise BrokenMediaError(f"{self.name}: contains NaN or infinite samples: check the format in --pcm")
        check_scale(loudest, Path(self.name))
        return np.ascontiguousarray(samples)

    def _read(self) -> bytes:
        try:
            return os.read(self._stream.fileno(), READ)
        except (AttributeError, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise DataError(f"{self.name}: cannot be read ({error.strerror})") from error
            return self._stream.read(READ)  # has no descriptor

    def close(self) -> None:
        """See `slowfast_cli.stages.predict.live.LiveSource`; a read of standard input stays blocked."""
        if self.name != STDIN:
            with suppress(OSError):
                self._stream.close()


STDIN = "standard input"


def open_pcm(word: str, stdin: BinaryIO | None, format: PcmFormat, say: Callable[[str], None]) -> PcmSource:
    """Open ``-`` (standard input), a named pipe, a device or a file of raw samples.

    Raises:
        UsageError: Standard input is closed.
        DataError: The file cannot be opened.
    """
    if word == "-":
        if stdin is None:
            raise UsageError("-: standard input is closed: name a file or a pipe")
        return PcmSource(stdin, STDIN, format, say)
    try:
        return PcmSource(Path(word).open("rb", buffering=0), printable(word), format, say)
    except OSError as error:
        raise DataError(f"{printable(word)}: cannot be opened ({error.strerror})") from error
