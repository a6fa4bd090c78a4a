"""Mono audio of any recording, resampled to a given rate: a slice, a stream, or header information.

A slice is identical to that part of the stream. The resampling filter has a period of ``up`` output samples (160 from
44100 to 16000 Hz), so a slice starts its own resampler at a multiple of it, at least the filter length before the first
requested sample.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, gcd, isfinite
from typing import Any

import av
import numpy as np

from slowfast_cli.media.audio_decoders import open_audio
from slowfast_cli.media.audio_source import BLOCK, AudioSource, SilentError, peak, printable
from slowfast_cli.types import BrokenMediaError, Recording, Seconds

CANCELED = 1e-3  # of the peak of the channels: a mono mix that is no louder is silent
MAX_SAMPLES = 1 << 27  # read at once
FILTER_TAPS = 64  # twice the reach of libswresample's default filter on each side, in samples of the lower rate


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Properties of a recording's audio."""

    seconds: Seconds  # from the header, or counted by decoding if the format's headers are unreliable
    rate: int  # native sampling rate, Hz
    channels: int  # before the mono mix
    backend: str  # soundfile, pyav or h5py
    truncated: str = ""  # description of what is missing; `seconds` is what decodes


def probe(recording: Recording) -> Probe:
    """Return the properties of the audio; raise `BrokenMediaError` if it is missing or cannot be opened."""
    with open_audio(recording) as source:
        seconds, stated = source.seconds, source.header_seconds
        if seconds is None or (stated is not None and not _decodes_near(source, min(seconds, stated))):
            seconds = _count_seconds(recording)
        return Probe(
            seconds=seconds, rate=source.rate, channels=source.channels, backend=source.backend,
            truncated=_truncation(recording, seconds, stated),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What `decode_all` found."""

    seconds: Seconds  # as far as it decodes
    defect: BrokenMediaError | None  # why it is not whole


def decode_all(recording: Recording, each: Callable[[np.ndarray], None]) -> Decoded:
    """Decode a recording to its end, in constant memory.

    Args:
        recording: Recording with audio.
        each: Called with each block of samples before the mono mix, (N, C) float32, at the native rate.

    Raises:
        BrokenMediaError: The recording cannot be opened.
    """
    defect: BrokenMediaError | None = None
    with open_audio(recording) as source:
        source.watch = each
        total, loudest = 0, 0.0
        try:
            for block in _check_samples(source.blocks(0), recording):
                total, loudest = total + len(block), max(loudest, peak(block))
            _require_whole(recording, source, total / source.rate, loudest)
        except BrokenMediaError as error:
            defect = error
        return Decoded(seconds=total / source.rate, defect=defect)


def truncation(recording: Recording) -> str:
    """Describe what a truncated recording lacks; empty for a whole one, or if the format does not state its length."""
    with open_audio(recording) as source:
        stated = source.header_seconds
    return "" if stated is None else probe(recording).truncated


def _decodes_near(source: AudioSource, end: Seconds) -> bool:
    """Whether samples decode just before a time."""
    first = int(max(0.0, end - _tolerance(end)) * source.rate)
    return any(len(block) for block in source.blocks(first))


def _tolerance(seconds: Seconds) -> Seconds:
    return max(0.2, 0.01 * seconds)  # encoders round lengths up to whole frames


def _truncation(recording: Recording, seconds: Seconds, stated: Seconds | None) -> str:
    """Describe a recording that is shorter than its header states; empty for a whole one."""
    if stated is None or stated - seconds <= _tolerance(stated):
        return ""
    where = printable(recording.sound or recording.path)
    return f"{where}: truncated: {seconds:.2f} s of {stated:.2f} s decode: fetch it again"


@lru_cache(maxsize=1 << 16)
def _count_seconds(recording: Recording) -> Seconds:
    with open_audio(recording) as source:
        return sum(len(block) for block in source.blocks(0)) / source.rate


def read(recording: Recording, *, rate: int, first: int = 0, count: int | None = None) -> np.ndarray:
    """Read a slice of a recording.

    Args:
        recording: Recording with audio.
        rate: Sampling rate of the result, Hz.
        first: First sample, at ``rate``.
        count: Number of samples at ``rate``; None reads to the end, of at most `MAX_SAMPLES`.

    Returns:
        Mono float32 samples, full scale 1. Shorter at the end of the recording, and empty beyond it.

    Raises:
        BrokenMediaError: The recording cannot be opened, nothing decodes, or it contains NaN or infinite samples.
    """
    if first < 0 or (count is not None and count < 0):
        raise ValueError(f"read: first={first}, count={count}, expected non-negative values")
    with open_audio(recording) as source:
        up, down = _ratio(source.rate, rate)
        margin = FILTER_TAPS * ceil(up / down)
        aligned = 0 if rate == source.rate else max(0, first - margin) // up * up
        skip = first - aligned if rate != source.rate else 0
        native = first if rate == source.rate else aligned // up * down
        stop = None if count is None else skip + count
        blocks = _check_samples(source.blocks(native), recording)
        pieces = list(_take_samples(resample(blocks, source.rate, rate), MAX_SAMPLES if stop is None else stop))
        if stop is None and sum(map(len, pieces)) >= MAX_SAMPLES:
            raise BrokenMediaError(
                f"{printable(recording.path)}: is longer than {MAX_SAMPLES / rate / 3600:.1f} hours: read it in parts"
            )
        if first == 0 and not pieces and stop != 0:
            raise _no_samples(recording)
    return np.concatenate([np.zeros(0, np.float32), *pieces])[skip:stop]


def blocks(recording: Recording, *, rate: int, seconds: Seconds = 60.0, whole: bool = False) -> Iterator[np.ndarray]:
    """Stream a recording in constant memory.

    Args:
        recording: Recording with audio.
        rate: Sampling rate of the result, Hz.
        seconds: Block length; the last block is shorter.
        whole: Raise, after the last block, if the file is shorter than its header states, or silent. By default a
            truncated file yields what it contains.

    Yields:
        Consecutive mono float32 samples at ``rate``, full scale 1.

    Raises:
        BrokenMediaError: As for `read`, or the file is truncated or silent (`SilentError`) and ``whole`` is set.
    """
    size = max(1, round(seconds * rate))
    total, pending, loudest, ready = 0, 0, 0.0, []

    def native() -> Iterator[np.ndarray]:
        nonlocal loudest
        for block in _check_samples(source.blocks(0), recording):
            loudest = max(loudest, peak(block))
            yield block

    with open_audio(recording) as source:
        for piece in resample(native(), source.rate, rate):
            total, pending = total + len(piece), pending + len(piece)
            ready.append(piece)
            while pending >= size:
                joined = np.concatenate(ready)
                yield joined[:size]
                ready, pending = [joined[size:]], pending - size
        if pending:
            yield np.concatenate(ready)
        if not total:
            raise _no_samples(recording)
        if whole:
            _require_whole(recording, source, total / rate, loudest)


def _require_whole(recording: Recording, source: AudioSource, seconds: Seconds, loudest: float) -> None:
    """Refuse a recording of which ``seconds`` decode if that is less than its header states, none, or silence."""
    if not seconds:
        raise _no_samples(recording)
    if truncation := _truncation(recording, seconds, source.header_seconds):
        raise BrokenMediaError(truncation)
    if loudest <= CANCELED * source.peak:
        silent = "all samples are 0" if source.peak == 0 else "its channels cancel out when they are mixed to mono"
        raise SilentError(f"{printable(recording.sound or recording.path)}: silent: {silent}")


def _no_samples(recording: Recording) -> BrokenMediaError:
    where = printable(recording.sound or recording.path) + (f" '{recording.dataset}'" if recording.dataset else "")
    return BrokenMediaError(f"{where}: no sample decodes: the file is truncated or contains no audio: fetch it again")


def _ratio(source_rate: int, rate: int) -> tuple[int, int]:
    common = gcd(source_rate, rate)
    return rate // common, source_rate // common


def _take_samples(pieces: Iterable[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """Yield pieces until they contain ``count`` samples."""
    total = 0
    for piece in pieces if count != 0 else ():
        yield piece
        total += len(piece)
        if total >= count:
            return


def _check_samples(blocks: Iterable[np.ndarray], recording: Recording) -> Iterator[np.ndarray]:
    for block in blocks:
        if not isfinite(peak(block)):
            raise BrokenMediaError(f"{printable(recording.path)}: contains NaN or infinite samples: convert it again")
        yield block


def resample(blocks: Iterable[np.ndarray], source_rate: int, rate: int) -> Iterator[np.ndarray]:
    """Resample a stream of mono float32 samples to exactly ``ceil(samples * rate / source_rate)`` samples."""
    if source_rate == rate:
        yield from (block for block in blocks if len(block))
        return
    up, down = _ratio(source_rate, rate)
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=rate)
    fed = produced = 0
    for block in blocks:
        fed += len(block)
        for piece in _feed(resampler, block, source_rate):
            yield piece
            produced += len(piece)
    if not fed:
        return
    # Silence flushes the last samples out of the filter; the output of the silence itself is cut off.
    tail = np.zeros(FILTER_TAPS * ceil(down / up) * 2, np.float32)
    total = -(-fed * up // down)
    for piece in _feed(resampler, tail, source_rate):
        if produced < total:
            yield piece[: total - produced]
            produced += len(piece)


def _feed(resampler: av.AudioResampler, block: np.ndarray, source_rate: int) -> Iterator[np.ndarray]:
    for start in range(0, len(block), BLOCK):
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(block[None, start : start + BLOCK]), format="fltp", layout="mono"
        )
        frame.sample_rate = source_rate
        for piece in resampler.resample(frame):
            if piece.samples:
                plane: Any = piece.planes[0]
                yield np.frombuffer(plane, np.float32, piece.samples)  # one copy less than `to_ndarray`
