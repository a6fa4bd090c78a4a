"""The sound of any container that FFmpeg reads, through PyAV; its other streams are not even read from disk."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Discard

from slowfast_cli.media.audio_source import BLOCK, PREROLL_SECONDS, NoSoundError, scaled, shown
from slowfast_cli.types import DataError, Seconds

# Containers whose time stamps after a seek lead to an exact sample; the others are decoded from their start.
SEEKABLE = frozenset({"mov", "mp4", "matroska"})


class AvSource:
    """The first or default audio stream of any container FFmpeg reads."""

    backend = "pyav"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.raw: Any = None
        self._open()
        try:
            self.rate = int(self.stream.codec_context.sample_rate or 0)
            self.channels = int(self.stream.codec_context.channels or 0)
            if not self.rate:
                raise DataError(f"{shown(path)}: its audio stream ({self._codec()}) does not decode: fetch it again")
        except BaseException:
            self.close()
            raise
        duration, tick = self.stream.duration, self.stream.time_base
        trusted = "mov" in self._formats() and duration
        self.length: Seconds | None = float(duration * tick) if trusted else None
        self.promised = self.length

    def _open(self) -> None:
        name = str(self.path.absolute())
        try:
            name.encode()
        except UnicodeEncodeError:
            self.raw = self.path.open("rb")  # FFmpeg takes names in UTF-8 only, but any open file
        try:
            # "file:" keeps names with a colon from being read as a protocol; playlists must not reach the network.
            options = {"protocol_whitelist": "file"} if self.raw is None else {}
            self.container: Any = av.open(
                self.raw or f"file:{name}", mode="r", options=options, metadata_errors="replace"
            )
        except (av.FFmpegError, ValueError) as error:
            if self.raw is not None:
                self.raw.close()
            if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.ENOENT, errno.EIO):
                raise
            reason = f"not a media file that soundfile or FFmpeg reads ({getattr(error, 'strerror', None) or error})"
            raise DataError(f"{shown(self.path)}: {reason}") from error
        self.stream: Any = self.container.streams.best("audio")
        if self.stream is None:
            form = self.container.format.name
            self.close()
            raise NoSoundError(f"{shown(self.path)}: no audio stream in this {form} file")
        for other in self.container.streams:
            other.discard = Discard.default if other.index == self.stream.index else Discard.all
        self.stream.codec_context.thread_count = 1  # workers are processes: threads inside them only contend

    def _formats(self) -> set[str]:
        return set(self.container.format.name.split(","))

    def _codec(self) -> str:
        return str(self.stream.codec_context.name)

    def blocks(self, first: int) -> Iterator[np.ndarray]:
        """See `Source`."""
        frames = self._frames()
        position = 0
        if first > 4 * PREROLL_SECONDS * self.rate and self._formats() & SEEKABLE:
            landed = self._seek(first)
            if landed is not None:
                position, frames = landed
            else:  # opened anew: after a seek to 0 the priming samples of some codecs would stay in
                self.close()
                self._open()
                frames = self._frames()
        for frame in frames:
            if position + len(frame.samples) > first:
                yield frame.samples[max(0, first - position) :]
            position += len(frame.samples)

    def _seek(self, first: int) -> tuple[int, Iterator[_Frame]] | None:
        """Go to before a sample.

        The second frame is the anchor of the clock: the first may have lost its priming samples.

        Returns:
            The native sample the next frame starts with, and the frames from there; None where time stamps do not tell.
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
            if tick * self.rate > 1:  # Matroska counts in milliseconds
                size = self._frame_size()
                if not size or len(anchors[1].samples) != size or len(frame.samples) != size:
                    return None
                offset = round(offset / size) * size
            position = len(anchors[0].samples) + round(offset) + len(frame.samples)
            return (position, frames) if position <= first else None
        return None

    def _frame_size(self) -> int:
        """Samples in every frame; 0 for codecs whose frames differ, such as Vorbis."""
        return int(self.stream.codec_context.frame_size or (self.rate // 50 if self._codec() == "opus" else 0))

    def _frames(self) -> Iterator[_Frame]:
        """Decoded frames; a packet that does not decode becomes silence of its length, so that time goes on."""
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
                    raise DataError(f"{shown(self.path)}: its rate changes from {self.rate} to {frame.sample_rate} Hz")
                yield _Frame(frame.pts, _mono(frame))
        if bad > good:
            raise DataError(f"{shown(self.path)}: {bad} of {bad + good} packets do not decode ({self._codec()})")

    def _packets(self) -> Iterator[Any]:
        try:
            yield from self.container.demux(self.stream)
        except av.FFmpegError:  # a broken tail: what was read before it counts
            return

    def close(self) -> None:
        """See `Source`."""
        self.container.close()
        if self.raw is not None:
            self.raw.close()


class _Frame:
    """Mono samples and the time stamp they came with."""

    def __init__(self, pts: int | None, samples: np.ndarray) -> None:
        self.pts = pts
        self.samples = samples


def _mono(frame: Any) -> np.ndarray:
    values = scaled(frame.to_ndarray())
    per_channel = values if frame.format.is_planar else values.reshape(frame.samples, -1).T
    mono: np.ndarray = per_channel.mean(axis=0, dtype=np.float32)
    return mono
