"""Decode the audio of any container that FFmpeg supports, with PyAV; other streams are not read from disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.stream import Discard

from slowfast_cli.media.audio_source import BLOCK, PREROLL_SECONDS, NoAudioError, printable, to_float32
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
    """The default or first audio stream of a container."""

    backend = "pyav"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open()
        try:
            self.rate = int(self.stream.codec_context.sample_rate or 0)
            self.channels = int(self.stream.codec_context.channels or 0)
            if not self.rate:
                raise BrokenMediaError(
                    f"{printable(path)}: the audio ({self._codec()}) does not decode: fetch it again"
                )
        except BaseException:
            self.close()
            raise
        duration, tick = self.stream.duration, self.stream.time_base
        trusted = "mov" in self._formats() and duration
        self.seconds: Seconds | None = float(duration * tick) if trusted else None
        self.header_seconds = self.seconds

    def _open(self) -> None:
        self.container: Any = open_container(self.path)
        try:
            self.stream: Any = audio_stream(self.container)
            if self.stream is None:
                raise NoAudioError(f"{printable(self.path)}: no audio stream in this {self.container.format.name} file")
            if self.stream.codec_context is None:
                raise BrokenMediaError(f"{printable(self.path)}: FFmpeg has no decoder for its audio: convert it")
        except BaseException:
            self.close()
            raise
        for other in self.container.streams:
            other.discard = Discard.default if other.index == self.stream.index else Discard.all
        self.stream.codec_context.thread_count = 1  # worker processes already use all cores

    def _formats(self) -> set[str]:
        return set(self.container.format.name.split(","))

    def _codec(self) -> str:
        return str(self.stream.codec_context.name)

    def blocks(self, first: int) -> Iterator[np.ndarray]:
        """See `AudioSource`."""
        frames = self._frames()
        position = 0
        if first > 4 * PREROLL_SECONDS * self.rate and self._formats() & SEEKABLE:
            target = self._seek(first)
            if target is not None:
                position, frames = target
            else:  # reopen: after a seek to 0, some codecs would return their priming samples
                self.close()
                self._open()
                frames = self._frames()
        for frame in frames:
            if position + len(frame.samples) > first:
                yield frame.samples[max(0, first - position) :]
            position += len(frame.samples)

    def _seek(self, first: int) -> tuple[int, Iterator[_Frame]] | None:
        """Seek to before a sample.

        Positions are relative to the second frame: the first may have lost its priming samples.

        Returns:
            The native sample at which the next frame starts, and the frames from there; None without usable timestamps.
        """
        head = self._frames()
        anchors = [frame for frame, _ in zip(head, range(2), strict=False)]
        if len(anchors) < 2 or anchors[0].pts is None or anchors[1].pts is None:
            return None
        tick = self.stream.time_base
        target = anchors[0].pts + int((first / self.rate - PREROLL_SECONDS) / tick)
        self.container.seek(target, stream=self.stream)
        frames = self._frames()
        for frame in frames:
            if frame.pts is None:
                return None
            offset = float((frame.pts - anchors[1].pts) * tick * self.rate)
            if tick * self.rate > 1:  # Matroska timestamps are in milliseconds
                size = self._frame_size()
                if not size or len(anchors[1].samples) != size or len(frame.samples) != size:
                    return None
                offset = round(offset / size) * size
            position = len(anchors[0].samples) + round(offset) + len(frame.samples)
            return (position, frames) if position <= first else None
        return None

    def _frame_size(self) -> int:
        """Samples per frame; 0 for codecs with variable frames, such as Vorbis."""
        return int(self.stream.codec_context.frame_size or (self.rate // 50 if self._codec() == "opus" else 0))

    def _frames(self) -> Iterator[_Frame]:
        """Yield decoded frames; a packet that does not decode becomes silence of its length, to keep the clock."""
        good = bad = 0
        for packet in self._packets():
            try:
                decoded = packet.decode()
            except av.FFmpegError:
                bad += 1
                length = round((packet.duration or 0) * self.stream.time_base * self.rate)
                yield _Frame(None, np.zeros(min(length, BLOCK), np.float32))
                continue
            for frame in decoded:
                good += 1
                if frame.sample_rate != self.rate:
                    change = f"from {self.rate} to {frame.sample_rate} Hz"
                    raise BrokenMediaError(f"{printable(self.path)}: the sampling rate changes {change}")
                yield _Frame(frame.pts, _mono(frame))
        if bad > good:
            raise BrokenMediaError(
                f"{printable(self.path)}: {bad} of {bad + good} packets do not decode ({self._codec()})"
            )

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


def _mono(frame: Any) -> np.ndarray:
    values = to_float32(frame.to_ndarray())
    per_channel = values if frame.format.is_planar else values.reshape(frame.samples, -1).T
    mono: np.ndarray = per_channel.mean(axis=0, dtype=np.float32)
    return mono
