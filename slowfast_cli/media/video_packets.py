"""Decode only what chosen frames need: packets are read first, and their timestamps decide which of them to decode.

Not decoded are groups of pictures without a chosen frame, frames after the last one of a group and, of H.264, frames
that no other refers to. Chosen frames have the same pixels as if everything was decoded.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import av
import numpy as np

from slowfast_cli.media.video_rgb import Converter
from slowfast_cli.media.video_stream import VideoStream
from slowfast_cli.types import Seconds

GAP = 1.0  # seconds between clips up to which they are decoded in one pass
GROUP = 30.0  # seconds of starts of clips in one pass
MAX_BYTES = 64 << 20  # of packets in memory
# One packet is one frame, with its timestamp.
CONTAINERS = frozenset({"mov", "mp4", "matroska", "webm", "flv"})
CODECS = frozenset({"h264", "hevc", "vp9", "libdav1d", "av1", "mpeg4", "mjpeg", "ffv1"})
SKIPS_UNREFERENCED = frozenset({"h264"})  # decoders that leave out exactly the frames that no other refers to


class UnplannedError(Exception):
    """Timestamps of packets do not say which frames will be decoded: all have to be."""


@dataclass(frozen=True, kw_only=True)
class Packets:
    """Consecutive packets, beginning with a keyframe."""

    packets: tuple[Any, ...]  # in decoding order
    ticks: tuple[int, ...]  # presentation times of the displayed frames, rising
    at_end: bool  # there are no further packets


def read_packets(video: VideoStream, since: int | None, stop: int) -> Packets:
    """Read the packets of all frames from the one displayed at a tick (None: from the first) up to another tick.

    Raises:
        UnplannedError: The container or codec is not known to have one packet a frame, or there are too many bytes.
    """
    names = set(video.container.format.name.split(","))
    if not names & CONTAINERS or video.stream.codec_context.name not in CODECS:
        raise UnplannedError
    packets, size, at_end = list[Any](), 0, True
    first, source = video.seek(since)
    for packet in source:
        if packet.pts is None:
            raise UnplannedError
        if packet.dts is not None and packet.dts > stop:  # no later packet has a frame before that
            at_end = False
            break
        packets.append(packet)
        size += packet.size
        if size > MAX_BYTES:
            raise UnplannedError
    ticks = {packet.pts for packet in packets if not packet.is_discard and (first is None or packet.pts > first)}
    if not ticks or not packets[0].is_keyframe:
        raise UnplannedError
    return Packets(packets=tuple(packets), ticks=tuple(sorted(ticks)), at_end=at_end)


def decode_chosen(video: VideoStream, read: Packets, chosen: Collection[int]) -> Iterator[tuple[int, Any]]:
    """Decode the frames with the chosen ticks, in this order.

    Raises:
        UnplannedError: A packet does not decode, a frame is damaged, interlaced or missing.
    """
    codec, packets = video.stream.codec_context, read.packets
    keys = sorted({packet.pts for packet in packets if packet.is_keyframe})
    unfed, unseen = set(chosen), set(chosen)
    skips = codec.name in SKIPS_UNREFERENCED
    fed, skipped = keys[0], False  # the last keyframe that was decoded, and whether packets after it were not
    try:
        for packet in packets:
            if not unfed:
                break
            target = keys[max(0, bisect_right(keys, min(unfed)) - 1)]  # the keyframe of the next chosen frame
            if target > fed and not (packet.is_keyframe and packet.pts == target):
                skipped = True
                continue
            if packet.is_keyframe:
                fed = packet.pts
            if skipped:
                yield from _taken(codec.decode(None), unseen)
                codec.flush_buffers()
                skipped = False
            if skips:
                _set_skip(codec, "DEFAULT" if packet.pts in unfed else "NONREF")
            unfed.discard(packet.pts)
            yield from _taken(codec.decode(packet), unseen)
        yield from _taken(codec.decode(None), unseen)
    except av.FFmpegError as error:
        raise UnplannedError from error
    finally:
        codec.flush_buffers()
        _set_skip(codec, "DEFAULT")
    if unseen:
        raise UnplannedError


def _set_skip(codec: Any, frames: str) -> None:
    if codec.skip_frame != frames:
        codec.skip_frame = frames


def _taken(frames: list[Any], unseen: set[int]) -> Iterator[tuple[int, Any]]:
    for frame in frames:
        if frame.is_corrupt or frame.interlaced_frame or frame.pts is None:
            raise UnplannedError
        if frame.pts in unseen:
            unseen.remove(frame.pts)
            yield frame.pts, frame


def groups(starts: Sequence[Seconds], span: Seconds) -> Iterator[list[Seconds]]:
    """Split clips into groups that are decoded in one pass: those less than `GAP` apart, up to `GROUP` seconds."""
    group: list[Seconds] = []
    for start in starts:
        if group and (start - group[-1] > span + GAP or start - group[0] > GROUP or start < group[-1]):
            yield group
            group = []
        group.append(start)
    yield group


def read_planned(
    video: VideoStream, packets: Packets, clips: Sequence[Sequence[tuple[Seconds, int]]], converter: Converter
) -> Iterator[np.ndarray]:
    """Decode the chosen ticks of each clip, and yield its pixels; RGB of frames that later clips share is kept."""
    last_use = {tick: number for number, clip in enumerate(clips) for _, tick in clip}
    decoded = decode_chosen(video, packets, last_use)
    rgb: dict[int, np.ndarray] = {}
    for number, clip in enumerate(clips):
        pixels = np.empty((len(clip), converter.height, converter.width, 3), np.uint8)
        for row, (_, tick) in enumerate(clip):
            while tick not in rgb:
                shown, frame = next(decoded, (None, None))
                if shown is None:
                    raise UnplannedError
                rgb[shown] = converter.rgb(frame)
            pixels[row] = rgb[tick]
        rgb = {tick: frame for tick, frame in rgb.items() if last_use[tick] > number}
        yield pixels
