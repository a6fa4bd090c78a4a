"""Decode the audio of any container that FFmpeg supports, with PyAV; other streams are not read from disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.stream import Discard

from slowfast_cli.media.audio_source import BLOCK, PREROLL_SECONDS, NoAudioError, ignore, peak, printable, to_float32
from slowfast_cli.media.clock import PAUSE, TIMED, Clock, formats, late_start, longest, stated_end
from slowfast_cli.media.container import open_container
from slowfast_cli.types import BrokenMediaError, Seconds

# Containers whose timestamps locate the exact sample after a seek; others are decoded from their start.
SEEKABLE = frozenset({"mov", "mp4", "matroska"})


def audio_stream(container: Any) -> Any:
    """Return the best audio stream, preferably one that FFmpeg can decode; None without audio."""
    best = container.streams.best("audio")
    if best is None or best.codec_context is not None:
        return best
    return next((stream for stream in container.streams.audio if stream.codec_context is not None), best)


class AvSource:
    """The default or first audio stream of a container, on the player's clock (`slowfast_cli.media.clock`)."""

    backend = "pyav"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.peak = 0.0
        self.watch: Callable[[np.ndarray], None] = ignore
        self._open()
        try:
            self.rate = int(self.stream.codec_context.sample_rate or 0)
            self.channels = int(self.stream.codec_context.channels or 0)
            if not self.rate:
                raise self._error(f"the audio ({self._codec()}) does not decode: fetch it again")
        except BaseException:
            self.close()
            raise
        self.seconds: Seconds | None = self._header_seconds()
        self.header_seconds = self.seconds or stated_end(self.container, path)

    def _open(self) -> None:
        self.container: Any = open_container(self.path)
        try:
            self.stream: Any = audio_stream(self.container)
            if self.stream is None:
                raise NoAudioError(f"{printable(self.path)}: no audio stream in this {self.container.format.name} file")
            if self.stream.codec_context is None:
                raise self._error("FFmpeg has no decoder for its audio: convert it")
        except BaseException:
            self.close()
            raise
        for other in self.container.streams:
            other.discard = Discard.default if other.index == self.stream.index else Discard.all
        self.stream.codec_context.thread_count = 1  # worker processes already use all cores

    def _header_seconds(self) -> Seconds | None:
        start, duration, tick = self.stream.start_time, self.stream.duration, self.stream.time_base
        if "mov" not in formats(self.container) or not duration:
            return None
        return float(duration * tick) + late_start(self.container, None if start is None else float(start * tick))

    def _error(self, reason: str) -> BrokenMediaError:
        return BrokenMediaError(f"{printable(self.path)}: {reason}")

    def _codec(self) -> str:
        return str(self.stream.codec_context.name)

    def blocks(self, first: int) -> Iterator[np.ndarray]:
        """See `AudioSource`."""
        position, frames, clock = self._start(first)
        for frame in frames:
            begin = position if clock is None or frame.pts is None else clock.place(frame.pts, position)
            for start in range(max(position, first), begin, BLOCK):  # a pause is silent
                yield np.zeros(min(BLOCK, begin - start), np.float32)
            position = begin + len(frame.samples)
            if position > first:
                yield frame.samples[max(0, first - begin) :]

    def _start(self, first: int) -> tuple[int, Iterator[_Frame], Clock | None]:
        """Return the number of samples before the next frame, the frames from there to the end, and their clock."""
        frames = self._frames()
        head = list(islice(frames, 2))
        clock = self._clock(head)
        if clock is not None and first > 4 * PREROLL_SECONDS * self.rate and formats(self.container) & SEEKABLE:
            target = self._seek(first, clock)
            if target is not None:
                return *target, clock
            self.close()  # reopen: after a seek to 0, some codecs would return their priming samples
            self._open()
            frames = self._frames()
            head = list(islice(frames, 2))
            clock = self._clock(head)
        return 0, chain(head, frames), clock

    def _clock(self, head: list[_Frame]) -> Clock | None:
        """Return the clock of the frames; None without usable timestamps.

        Positions are relative to the second frame: the first may have lost its priming samples.
        """
        if len(head) < 2 or head[0].pts is None or head[1].pts is None or not formats(self.container) & TIMED:
            return None
        tick, limit = float(self.stream.time_base), longest(self.container)
        lead = round(late_start(self.container, head[0].pts * tick) * self.rate)
        position = lead + len(head[0].samples)
        pause = (head[1].pts - head[0].pts) * tick - len(head[0].samples) / self.rate
        position += round(pause * self.rate) if PAUSE < pause <= limit else 0
        grid = 0
        if formats(self.container) & SEEKABLE:
            regular = self._frame_size() == len(head[1].samples)
            grid = len(head[1].samples) if regular else int(tick * self.rate <= 1)  # Matroska's ticks are milliseconds
        return Clock(
            rate=self.rate, tick=tick, pts=head[1].pts, position=position, lead=lead, grid=grid, limit=limit
        )  # fmt: skip

    def _seek(self, first: int, clock: Clock) -> tuple[int, Iterator[_Frame]] | None:
        """Seek to before a sample: return the sample at which the next frame starts, and the frames from there.

        None if the timestamp at which the seek ends does not locate a sample.
        """
        target = clock.pts + int(((first - clock.position) / self.rate - PREROLL_SECONDS) / self.stream.time_base)
        self.container.seek(target, stream=self.stream)
        frames = self._frames()
        frame = next(frames, None)
        begin = None if frame is None or frame.pts is None else clock.exact(frame.pts)
        if frame is None or begin is None or begin + len(frame.samples) > first:
            return None
        if clock.grid > 1 and len(frame.samples) != clock.grid:
            return None
        return begin + len(frame.samples), frames

    def _frame_size(self) -> int:
        """Samples per frame; 0 for codecs with variable frames, such as Vorbis."""
        return int(self.stream.codec_context.frame_size or (self.rate // 50 if self._codec() == "opus" else 0))

    def _frames(self) -> Iterator[_Frame]:
        """Yield decoded frames; a packet between them that does not decode becomes silence of its length."""
        good = bad = 0
        lost: list[_Frame] = []  # not at the end of a truncated file
        for packet in self._packets():
            try:
                decoded = packet.decode()
            except av.FFmpegError:
                bad += 1
                length = round((packet.duration or 0) * self.stream.time_base * self.rate)
                lost.append(_Frame(None, np.zeros(min(length, BLOCK), np.float32)))
                continue
            if decoded:
                yield from lost
                lost.clear()
            for frame in decoded:
                good += 1
                if frame.sample_rate != self.rate:
                    raise self._error(f"the sampling rate changes from {self.rate} to {frame.sample_rate} Hz")
                values = to_float32(frame.to_ndarray())
                self.peak = max(self.peak, peak(values))
                per_channel = values if frame.format.is_planar else values.reshape(frame.samples, -1).T
                self.watch(per_channel.T)
                yield _Frame(frame.pts, per_channel.mean(axis=0, dtype=np.float32))
        if bad > good:
            raise self._error(f"{bad} of {bad + good} packets do not decode ({self._codec()})")

    def _packets(self) -> Iterator[Any]:
        try:
            yield from self.container.demux(self.stream)
        except av.FFmpegError:  # truncated: keep what was read
            return

    def close(self) -> None:
        """See `AudioSource`."""
        self.container.close()


class _Frame(NamedTuple):
    """Mono samples and their timestamp."""

    pts: int | None
    samples: np.ndarray
