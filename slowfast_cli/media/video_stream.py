"""Decode the frames of a video file in presentation order from any time, with PyAV.

Times are ticks: timestamps in the time base of the stream.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import av
from av.stream import Discard, Disposition

from slowfast_cli.media.audio_pyav import audio_stream
from slowfast_cli.media.audio_source import printable
from slowfast_cli.media.clock import late_start
from slowfast_cli.media.container import MAX_PIXELS, open_container
from slowfast_cli.storage import remote
from slowfast_cli.types import BrokenMediaError, Seconds

SEEK_BACK = (0.0, 1.0, 4.0, 16.0, 64.0)  # seconds; a seek that lands too late is repeated further back
MAX_FAILED = 3  # failed packets (or a tenth of the decoded frames) from which on a file counts as broken
# Containers with a timestamp for every frame, so that times are known after a seek; others are decoded from the start.
SEEKABLE = frozenset({"mov", "mp4", "matroska", "webm", "flv", "mpegts"})
WITHOUT_PTS = frozenset({"avi"})  # no presentation times; those that FFmpeg guesses are wrong with B-frames
NOT_VIDEO = frozenset({"tty"})  # FFmpeg renders text files as video


class NoVideoError(BrokenMediaError):
    """A file without a video stream."""


class VideoStream:
    """The open default or best video stream of a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failed_packets = 0
        self.decoded_frames = 0
        self.open()

    def open(self) -> None:
        """Open the file, or reopen it at its start."""
        self.container: Any = open_container(remote.ensure_local(self.path))
        try:
            self.stream: Any = self._video_stream()
        except BaseException:
            self.close()
            raise
        codec = self.stream.codec_context
        if codec.width * codec.height > MAX_PIXELS:
            self.close()
            raise self.error(f"frames of {codec.width} x {codec.height} pixels, expected at most {MAX_PIXELS >> 20} Mi")
        codec.options = {"max_pixels": str(MAX_PIXELS)}  # the size may change later
        codec.thread_count = 1  # worker processes already use all cores
        self.select_stream(self.stream)
        self.at_start = True

    def _video_stream(self) -> Any:
        streams = [item for item in self.container.streams.video if not item.disposition & Disposition.attached_pic]
        best = self.container.streams.best("video")
        if not streams or self.container.format.name in NOT_VIDEO:
            raise NoVideoError(f"{printable(self.path)}: no video stream in this {self.container.format.name} file")
        stream = best if best in streams else streams[0]
        if stream.codec_context is None:
            raise self.error("FFmpeg has no decoder for its video: convert it to H.264")
        return stream

    def select_stream(self, stream: Any) -> None:
        """Discard the packets of all other streams."""
        for other in self.container.streams:
            other.discard = Discard.default if other.index == stream.index else Discard.all

    def error(self, reason: str) -> BrokenMediaError:
        """Return an error about this file."""
        return BrokenMediaError(f"{printable(self.path)}: {reason}")

    @property
    def seekable(self) -> bool:
        """Whether times are known after a seek."""
        return bool(SEEKABLE & set(self.container.format.name.split(",")))

    @property
    def has_pts(self) -> bool:
        """Whether the file has presentation times, not only decoding times."""
        return self.container.format.name not in WITHOUT_PTS

    @property
    def tick(self) -> Seconds:
        """Length of a tick, in seconds."""
        return float(self.stream.time_base)

    @property
    def frame_ticks(self) -> int:
        """Ticks per frame at the frame rate in the header."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        return max(1, round(1 / (float(rate) * self.tick))) if rate else 1

    def origin(self, ticks: int) -> int:
        """Return the tick of time 0 on the player's clock, given that of the first frame."""
        return ticks - round(late_start(self.container, ticks * self.tick) / self.tick)

    def frames(self, since: int | None = None) -> Iterator[tuple[int, Any]]:
        """Decode frames.

        Args:
            since: Start at the frame displayed at this tick, or before it. None: the first frame.

        Yields:
            Strictly increasing presentation time, in ticks, and the frame.

        Raises:
            BrokenMediaError: Too many packets do not decode.
        """
        last, packets = self.seek(since)
        for pts, frame in self._decode(packets):
            ticks = (0 if last is None else last + self.frame_ticks) if pts is None else pts
            # Skips damaged frames, whose references are before the seek, and frames with decreasing timestamps.
            if last is None or ticks > last:
                last = ticks
                yield ticks, frame

    def packets(self, since: int | None = None) -> Iterator[Any]:
        """Yield packets in decoding order, from a keyframe displayed at or before a tick; None: all packets."""
        return self.seek(since)[1]

    def seek(self, since: int | None) -> tuple[int | None, Iterator[Any]]:
        """Return the packets for `packets`, and the last tick whose frame they may not decode intact."""
        if since is not None and self.seekable:
            for back in SEEK_BACK:
                key, packets = self._seek_keyframe(since - round(back / self.tick))
                if key is not None and key.pts is None:
                    break
                if key is not None and key.pts <= since:
                    return key.pts - 1, chain([key], packets)
        if not self.at_start:
            self.close()
            self.open()
        return None, self.demux(self.stream)

    def _seek_keyframe(self, tick: int) -> tuple[Any, Iterator[Any]]:
        """Seek, and return the keyframe packet found there (None if there is none) and the packets after it."""
        self.at_start = False
        try:
            self.container.seek(tick, stream=self.stream)
        except av.FFmpegError:
            return None, iter(())
        packets = self.demux(self.stream)
        return next((packet for packet in packets if packet.is_keyframe), None), packets

    def demux(self, stream: Any) -> Iterator[Any]:
        """Yield a stream's packets from the current position; stops at the point of truncation."""
        self.at_start = False
        with suppress(av.FFmpegError):
            yield from (packet for packet in self.container.demux(stream) if packet.size)

    def _decode(self, packets: Iterator[Any]) -> Iterator[tuple[int | None, Any]]:
        # Without presentation times, frames in presentation order get the decoding times of the packets.
        slots: deque[int] = deque()
        for packet in chain(packets, [None]):  # None flushes the decoder
            if packet is not None and self._pts(packet) is None and packet.dts is not None:
                slots.append(packet.dts)
            frames = self._decode_packet(packet)
            if frames is None and slots:
                slots.popleft()
            for frame in frames or ():
                pts = self._pts(frame)
                yield (slots.popleft() if pts is None and slots else pts), frame

    def packet_tick(self, packet: Any) -> int | None:
        """Return the presentation time of a packet, or else its decoding time."""
        pts = self._pts(packet)
        return packet.dts if pts is None else pts

    def _pts(self, unit: Any) -> int | None:
        """Return the presentation time of a packet or frame, if the file has one."""
        return unit.pts if self.has_pts else None

    def _decode_packet(self, packet: Any) -> list[Any] | None:
        """Return the frames that the decoder emits for a packet; None if it fails."""
        codec = self.stream.codec_context
        try:
            frames: list[Any] = codec.decode(packet)
        except av.FFmpegError as error:
            self.failed_packets += 1
            if self.failed_packets <= max(MAX_FAILED, self.decoded_frames // 10):
                return None
            total = self.failed_packets + self.decoded_frames
            raise self.error(
                f"{self.failed_packets} of the first {total} video packets do not decode as {codec.name} "
                f"({error.strerror}): fetch it again"
            ) from error
        self.decoded_frames += len(frames)
        return frames

    def audio_start(self) -> Seconds | None:
        """Return the presentation time of the first sample of the best audio stream; None without audio."""
        audio = audio_stream(self.container)
        if audio is None or audio.codec_context is None:
            return None
        if not self.at_start:
            self.close()
            self.open()
            return self.audio_start()
        self.select_stream(audio)
        for packet in self.demux(audio):
            with suppress(av.FFmpegError):
                for frame in packet.decode():
                    return None if frame.pts is None else float(frame.pts * audio.time_base)
        return None

    def close(self) -> None:
        """Close the file."""
        self.container.close()
