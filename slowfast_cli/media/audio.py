"""Mono samples at the rate that is asked for, from any recording: a slice, a stream, or what its header says.

A slice and the stream agree exactly. The resampler's filter repeats every ``up`` output samples (rates 44100 and 16000:
160), so a slice starts its own resampler on such a sample, far enough before the first one wanted for the filter to
have forgotten the start. At both ends of a recording the filter sees silence or the sound mirrored, always the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, gcd
from typing import Any

import av
import numpy as np

from slowfast_cli.media.audio_decoders import opened
from slowfast_cli.media.audio_source import BLOCK, shown
from slowfast_cli.types import DataError, Recording, Seconds

FILTER_TAPS = 64  # twice what libswresample's default filter reaches on both sides, in samples of the lower rate


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What is known of a recording before its sound is used.

    Attributes:
        seconds: Its length: as its header states, or counted by decoding where headers of its kind do not tell.
        rate: Native samples a second, Hz.
        channels: Before the mono mix.
        backend: ``soundfile``, ``pyav`` or ``h5py``.
    """

    seconds: Seconds
    rate: int
    channels: int
    backend: str


def probe(recording: Recording) -> Probe:
    """Look at a recording.

    Raises:
        DataError: It cannot be opened, or has no sound.
    """
    with opened(recording) as source:
        seconds = _counted(recording) if source.length is None else source.length
        return Probe(seconds=seconds, rate=source.rate, channels=source.channels, backend=source.backend)


@lru_cache(maxsize=1 << 16)
def _counted(recording: Recording) -> Seconds:
    with opened(recording) as source:
        return sum(len(block) for block in source.blocks(0)) / source.rate


def read(recording: Recording, *, rate: int, first: int = 0, count: int | None = None) -> np.ndarray:
    """Read a stretch of a recording.

    Args:
        recording: Where the sound is.
        rate: Samples a second of the result, Hz.
        first: Where to start, in samples at ``rate`` from the start of the recording.
        count: How many samples at ``rate``; None reads to the end.

    Returns:
        Mono float32 samples, full scale 1: that slice of the whole recording at ``rate``. Shorter where the recording
        ends, and empty beyond its end.

    Raises:
        DataError: The recording cannot be opened, nothing of it decodes, or it holds NaN or infinite samples.
    """
    if first < 0 or (count is not None and count < 0):
        raise ValueError(f"read: first {first}, count {count}: neither may be negative")
    with opened(recording) as source:
        up, down = _ratio(source.rate, rate)
        margin = FILTER_TAPS * ceil(up / down)
        aligned = 0 if rate == source.rate else max(0, first - margin) // up * up
        skip = first - aligned if rate != source.rate else 0
        native = first if rate == source.rate else aligned // up * down
        wanted = None if count is None else skip + count
        blocks = _checked(source.blocks(native), recording)
        pieces = list(_taken(_resampled(blocks, source.rate, rate), wanted))
        if first == 0 and not pieces and wanted != 0:
            raise _nothing(recording)
    return np.concatenate([np.zeros(0, np.float32), *pieces])[skip:wanted]


def blocks(recording: Recording, *, rate: int, seconds: Seconds = 60.0, whole: bool = False) -> Iterator[np.ndarray]:
    """Stream a whole recording, in memory that does not grow with its length.

    Args:
        recording: Where the sound is.
        rate: Samples a second of the result, Hz.
        seconds: Length of a block; the last one is shorter.
        whole: Also raise, after the last block, when the file ends before its header says. A truncated file
            otherwise gives what is there.

    Yields:
        Consecutive mono float32 samples at ``rate``, full scale 1.

    Raises:
        DataError: As `read`; or the file is truncated and ``whole`` is set.
    """
    size = max(1, round(seconds * rate))
    total, held, ready = 0, 0, []
    with opened(recording) as source:
        for piece in _resampled(_checked(source.blocks(0), recording), source.rate, rate):
            total, held = total + len(piece), held + len(piece)
            ready.append(piece)
            while held >= size:
                joined = np.concatenate(ready)
                yield joined[:size]
                ready, held = [joined[size:]], held - size
        if held:
            yield np.concatenate(ready)
        if not total:
            raise _nothing(recording)
        found, promised = total / rate, source.promised or 0.0
        if whole and promised - found > max(0.2, 0.01 * promised):  # encoders round lengths up to whole frames
            raise DataError(
                f"{shown(recording.path)}: truncated: its header says {promised:.2f} s, {found:.2f} s decode: "
                "fetch it again"
            )


def _nothing(recording: Recording) -> DataError:
    where = shown(recording.path) + (f" '{recording.dataset}'" if recording.dataset else "")
    return DataError(f"{where}: no sample decodes: the file is truncated or holds no sound: fetch it again")


def _ratio(source_rate: int, rate: int) -> tuple[int, int]:
    common = gcd(source_rate, rate)
    return rate // common, source_rate // common


def _taken(pieces: Iterable[np.ndarray], wanted: int | None) -> Iterator[np.ndarray]:
    """Pass pieces on until they hold ``wanted`` samples."""
    total = 0
    for piece in pieces if wanted != 0 else ():
        yield piece
        total += len(piece)
        if wanted is not None and total >= wanted:
            return


def _checked(blocks: Iterable[np.ndarray], recording: Recording) -> Iterator[np.ndarray]:
    for block in blocks:
        if not np.isfinite(block).all():
            raise DataError(f"{shown(recording.path)}: it holds NaN or infinite samples: repair or convert it again")
        yield block


def _resampled(blocks: Iterable[np.ndarray], source_rate: int, rate: int) -> Iterator[np.ndarray]:
    """Resample a stream to exactly ``ceil(samples * rate / source_rate)`` samples."""
    if source_rate == rate:
        yield from (block for block in blocks if len(block))
        return
    up, down = _ratio(source_rate, rate)
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=rate)
    fed = given = 0
    for block in blocks:
        fed += len(block)
        for piece in _fed(resampler, block, source_rate):
            yield piece
            given += len(piece)
    if not fed:
        return
    # Silence pushes the last samples out of the filter; what belongs to the silence itself is cut off.
    tail = np.zeros(FILTER_TAPS * ceil(down / up) * 2, np.float32)
    total = -(-fed * up // down)
    for piece in _fed(resampler, tail, source_rate):
        if given < total:
            yield piece[: total - given]
            given += len(piece)


def _fed(resampler: av.AudioResampler, block: np.ndarray, source_rate: int) -> Iterator[np.ndarray]:
    for start in range(0, len(block), BLOCK):
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(block[None, start : start + BLOCK]), format="fltp", layout="mono"
        )
        frame.sample_rate = source_rate
        for piece in resampler.resample(frame):
            if piece.samples:
                plane: Any = piece.planes[0]
                yield np.frombuffer(plane, np.float32, piece.samples)  # a copy less than `to_ndarray`
