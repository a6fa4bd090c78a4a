"""The frames of a video file in the order they are shown, from any moment on, through PyAV.

Times here are ticks of the stream's own clock, as in the file.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import av
from av.stream import Discard, Disposition

from slowfast_cli.media.audio_source import shown
from slowfast_cli.storage import remote
from slowfast_cli.types import BrokenMediaError, Seconds

STEPS_BACK = (0.0, 1.0, 4.0, 16.0, 64.0)  # seconds; a seek that lands too late is tried again from further back
FEW = 3  # packets that may not decode before a file counts as broken, or a tenth of what does
# They say of every frame when it is shown, so that a seek keeps the clock; others are decoded from their start.
SEEKABLE = frozenset({"mov", "mp4", "matroska", "webm", "flv", "mpegts"})
UNSTAMPED = frozenset({"avi"})  # it has no times of presentation; FFmpeg guesses some, and wrongly with B-frames
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # no fault of the file's
NOT_VIDEO = frozenset({"tty"})  # FFmpeg draws text files as pictures


class VideoStream:
    """The default or best video stream of a file, open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bad = 0
        self.good = 0
        self.open()

    def open(self) -> None:
        """Open the file; anew, where it is open: at its start."""
        self.raw: Any = None
        self.container: Any = None
        try:
            if self.path.is_dir():
                raise self.broken("a folder, not a video: name the file, or say how many pictures a second it holds")
            if self.path.stat().st_size == 0:
                raise self.broken("empty file (0 bytes): fetch or record it again")
            self.container = self._container()
            self.stream: Any = self._chosen()
        except BaseException as error:
            self.close()
            told = isinstance(error, av.FFmpegError | OSError | ValueError)
            if not told or getattr(error, "errno", None) in EXHAUSTED:
                raise
            reason = getattr(error, "strerror", None) or str(error)
            if isinstance(error, av.FFmpegError) and not isinstance(error, OSError):
                raise self.broken(f"not a video that FFmpeg reads ({reason}): fetch it again") from error
            raise self.broken(f"cannot be read: {reason}") from error
        self.stream.codec_context.thread_count = 1  # workers are processes: threads inside them only contend
        self.only(self.stream)
        self.fresh = True

    def _container(self) -> Any:
        name = str(remote.ensure_local(self.path.absolute()))
        try:
            name.encode()
        except UnicodeEncodeError:
            self.raw = self.path.open("rb")  # FFmpeg takes names in UTF-8 only, but any open file
            return av.open(self.raw, metadata_errors="replace")
        # "file:" keeps names with a colon from being read as a protocol; playlists must not reach the network.
        return av.open(f"file:{name}", options={"protocol_whitelist": "file"}, metadata_errors="replace")

    def _chosen(self) -> Any:
        real = [each for each in self.container.streams.video if not each.disposition & Disposition.attached_pic]
        best = self.container.streams.best("video")
        if not real or self.container.format.name in NOT_VIDEO:
            raise self.broken(f"no video stream in this {self.container.format.name} file")
        stream = best if best in real else real[0]
        if stream.codec_context is None:
            raise self.broken("this FFmpeg has no decoder for its video: convert it to H.264")
        return stream

    def only(self, stream: Any) -> None:
        """Read no packets of other streams."""
        for each in self.container.streams:
            each.discard = Discard.default if each.index == stream.index else Discard.all

    def broken(self, what: str) -> BrokenMediaError:
        """The error that says what is wrong with this file."""
        return BrokenMediaError(f"{shown(self.path)}: {what}")

    @property
    def seekable(self) -> bool:
        """A seek keeps the clock."""
        return bool(SEEKABLE & set(self.container.format.name.split(",")))

    @property
    def stamped(self) -> bool:
        """The file says when frames are shown, not only when they are decoded."""
        return self.container.format.name not in UNSTAMPED

    @property
    def tick(self) -> Seconds:
        """Length of a tick."""
        return float(self.stream.time_base)

    @property
    def step(self) -> int:
        """Ticks from one frame to the next as the header tells, for files that do not say when frames are shown."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        return max(1, round(1 / (float(rate) * self.tick))) if rate else 1

    def frames(self, since: int | None = None) -> Iterator[tuple[int, Any]]:
        """Decode.

        Args:
            since: Start with the frame that is on screen at this tick, or some before it. None is the first frame.

        Yields:
            When each frame begins to be shown, in ticks that only grow, and the frame.

        Raises:
            BrokenMediaError: More than a few packets do not decode.
        """
        last, packets = self._landed(since)
        for stamp, frame in self._decoded(packets):
            ticks = (0 if last is None else last + self.step) if stamp is None else stamp
            # Frames that lean on ones before the seek come out damaged, and a clock that runs back shows nothing new.
            if last is None or ticks > last:
                last = ticks
                yield ticks, frame

    def packets(self, since: int | None = None) -> Iterator[Any]:
        """Packets in the order of decoding from a keyframe shown at or before a tick on; None is all of them."""
        return self._landed(since)[1]

    def _landed(self, since: int | None) -> tuple[int | None, Iterator[Any]]:
        """The last tick that packets from there on do not show whole, and these packets."""
        if since is not None and self.seekable:
            for back in STEPS_BACK:
                key, packets = self._sought(since - round(back / self.tick))
                if key is not None and key.pts is None:
                    break
                if key is not None and key.pts <= since:
                    return key.pts - 1, chain([key], packets)
        if not self.fresh:
            self.close()
            self.open()
        return None, self.demuxed(self.stream)

    def _sought(self, tick: int) -> tuple[Any, Iterator[Any]]:
        """The keyframe that a seek leads to, if it does, and the packets after it."""
        self.fresh = False
        try:
            self.container.seek(tick, stream=self.stream)
        except av.FFmpegError:
            return None, iter(())
        packets = self.demuxed(self.stream)
        return next((packet for packet in packets if packet.is_keyframe), None), packets

    def demuxed(self, stream: Any) -> Iterator[Any]:
        """A stream's packets from where the file stands; a broken tail ends them."""
        self.fresh = False
        with suppress(av.FFmpegError):
            yield from (packet for packet in self.container.demux(stream) if packet.size)

    def _decoded(self, packets: Iterator[Any]) -> Iterator[tuple[int | None, Any]]:
        # Where packets tell only when they are decoded, frames are shown at these times, in their own order.
        slots: deque[int] = deque()
        for packet in chain(packets, [None]):  # None empties the decoder
            if packet is not None and self._stamp(packet) is None and packet.dts is not None:
                slots.append(packet.dts)
            frames = self._frames_of(packet)
            if frames is None and slots:
                slots.popleft()
            for frame in frames or ():
                stamp = self._stamp(frame)
                yield (slots.popleft() if stamp is None and slots else stamp), frame

    def when(self, packet: Any) -> int | None:
        """The tick that a packet's frame is shown at, as far as the file says."""
        stamp = self._stamp(packet)
        return packet.dts if stamp is None else stamp

    def _stamp(self, unit: Any) -> int | None:
        """When a packet or frame is presented; None where the file does not say."""
        return unit.pts if self.stamped else None

    def _frames_of(self, packet: Any) -> list[Any] | None:
        """What the decoder gives for a packet; None where it does not decode."""
        codec = self.stream.codec_context
        try:
            frames: list[Any] = codec.decode(packet)
        except av.FFmpegError as error:
            self.bad += 1
            if self.bad <= max(FEW, self.good // 10):
                return None
            raise self.broken(
                f"{self.bad} of the first {self.bad + self.good} packets of video read do not decode as {codec.name} "
                f"({error.strerror}): fetch it again"
            ) from error
        self.good += len(frames)
        return frames

    def sound_start(self) -> Seconds | None:
        """When the first sample of its best audio stream is presented, in seconds of the file's clock; None without."""
        audio = self.container.streams.best("audio")
        if audio is None:
            return None
        if not self.fresh:
            self.close()
            self.open()
            return self.sound_start()
        self.only(audio)
        for packet in self.demuxed(audio):
            with suppress(av.FFmpegError):
                for frame in packet.decode():
                    return None if frame.pts is None else float(frame.pts * audio.time_base)
        return None

    def close(self) -> None:
        """Close the file."""
        if self.container is not None:
            self.container.close()
        if self.raw is not None:
            self.raw.close()
