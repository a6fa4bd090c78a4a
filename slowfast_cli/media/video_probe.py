"""Properties of a video file, found by decoding no more than its first frame."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import av

from slowfast_cli.media.video_rgb import display_size
from slowfast_cli.media.video_stream import VideoStream
from slowfast_cli.types import Seconds

SMALL = 64 << 20  # bytes; in larger files, packets are not counted if the header states the length
HIDDEN = 0.05  # if this fraction of the header's frames does not fit the length, an edit list hides them
HEADER_TOLERANCE = 0.5  # seconds by which headers may overstate the length


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """Properties of a video file."""

    origin: int  # presentation time of the first frame, in ticks
    tick: Seconds  # time base of the stream
    seconds: Seconds  # from the first frame to the end of the last
    header_seconds: Seconds | None  # length in the header, if reliable; truncated files contain less
    fps: float  # average frame rate
    frames: int  # from the header, counted packets, or (large files without a count in the header) the frame rate
    width: int  # as displayed
    height: int  # as displayed
    has_audio: bool
    audio_start: Seconds  # presentation time of the first audio sample, relative to the first frame; 0 without audio
    codec: str  # FFmpeg's name of the decoder


def video_info(path: Path) -> VideoInfo:
    """Return the properties of a video file; raise `BrokenMediaError` unless it opens and a frame decodes."""
    with closing(VideoStream(path)) as video:
        has_audio = video.container.streams.best("audio") is not None
        audio_start = video.audio_start() if has_audio else None
        first = next(video.frames(), None)
        if first is None:
            raise video.error("no frame decodes: the file is truncated or contains no video: fetch it again")
        origin, frame = first
        width, height = display_size(frame)
        codec = str(video.stream.codec_context.name)
        reliable = "mov" in video.container.format.name and video.stream.duration
        header_seconds = video.stream.duration * video.tick if reliable else None
        end, counted = _end(video, origin, header_seconds)
        seconds = float(max(1, end - origin) * video.tick)
        fps, frames = _rate(video, seconds, counted)
        return VideoInfo(
            origin=origin, tick=video.tick, seconds=seconds, header_seconds=header_seconds, fps=fps, frames=frames,
            width=width, height=height, has_audio=has_audio,
            audio_start=0.0 if audio_start is None else audio_start - origin * video.tick, codec=codec,
        )  # fmt: skip


def _end(video: VideoStream, origin: int, header_seconds: Seconds | None) -> tuple[int, int | None]:
    """Return the end of the last frame, in ticks, and the number of frames if all packets were counted."""
    total = header_seconds or (video.container.duration or 0) / av.time_base
    if total and (header_seconds or video.path.stat().st_size > SMALL):
        stop = origin + round(total / video.tick)
        if video.seekable:
            end, _ = _last(video, stop)  # of the last group of pictures
            if end is not None:
                return end, None
        elif not video.has_pts:
            return stop, None
    end, count = _last(video, None)
    return (origin + count * video.frame_ticks if end is None else end), count


def _last(video: VideoStream, since: int | None) -> tuple[int | None, int]:
    """Return the end of the last frame, in ticks, if packets have timestamps, and the number of displayed frames."""
    end, count = None, 0
    for packet in video.packets(since):
        ticks = video.packet_tick(packet)
        count += not packet.is_discard
        if ticks is not None and not packet.is_discard:
            stop = ticks + (packet.duration or video.frame_ticks)
            end = stop if end is None else max(end, stop)
    return end, count


def _rate(video: VideoStream, seconds: Seconds, counted: int | None) -> tuple[float, int]:
    """Return the frame rate and the number of frames."""
    frames = counted or video.stream.frames or None
    rate = float(video.stream.average_rate or video.stream.guessed_rate or (frames or 1) / seconds)
    if frames is None or (not counted and abs(rate * seconds / frames - 1) > HIDDEN):
        return rate, max(1, round(rate * seconds))
    return (rate if abs(rate * seconds - frames) <= 1 else frames / seconds), frames
