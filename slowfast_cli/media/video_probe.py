"""Properties of a video file, found by decoding no more than its first frame."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import av

from slowfast_cli.media.clock import HEADER_TOLERANCE, formats, late_start, stated_end
from slowfast_cli.media.container import MAX_DAYS
from slowfast_cli.media.video_rgb import display_size
from slowfast_cli.media.video_stream import VideoStream
from slowfast_cli.types import Seconds

SMALL = 64 << 20  # bytes; in larger files, packets are not counted if the header states the length
HIDDEN = 0.05  # if this fraction of the header's frames does not fit the length, an edit list hides them


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """Properties of a video file."""

    origin: int  # tick of time 0 on the player's clock: of the first frame, unless the audio starts before it
    tick: Seconds  # time base of the stream
    seconds: Seconds  # from time 0 to the end of the last frame
    header_seconds: Seconds | None  # length in the header, if reliable; truncated files contain less
    fps: float  # average frame rate
    frames: int  # from the header, counted packets, or (large files without a count in the header) the frame rate
    width: int  # as displayed
    height: int  # as displayed
    has_audio: bool
    audio_start: Seconds  # time of the first audio sample that `slowfast_cli.media.audio` reads; 0 without audio
    codec: str  # FFmpeg's name of the decoder


def video_info(path: Path) -> VideoInfo:
    """Return the properties of a video file; raise `BrokenMediaError` unless it opens and a frame decodes."""
    with closing(VideoStream(path)) as video:
        has_audio = video.container.streams.best("audio") is not None
        audio_start = video.audio_start() if has_audio else None
        if audio_start is not None:  # later samples are preceded by silence
            audio_start -= late_start(video.container, audio_start)
        first = next(video.frames(), None)
        if first is None:
            raise video.error("no frame decodes: the file is truncated or contains no video: fetch it again")
        begin, frame = first
        origin = video.origin(begin)
        width, height = display_size(frame)
        codec = str(video.stream.codec_context.name)
        header_seconds = stated_seconds(video)
        exact = "mov" in formats(video.container)
        if header_seconds is not None:
            header_seconds += (begin - origin) * video.tick
        end, counted = _end(video, origin, header_seconds if exact else None)
        seconds = float(max(1, end - origin) * video.tick)
        if seconds > MAX_DAYS * 86400:
            raise video.error(f"a length of {seconds / 86400:.0f} days, expected at most {MAX_DAYS}: fetch it again")
        fps, frames = _rate(video, float(max(1, end - begin) * video.tick), counted)
        return VideoInfo(
            origin=origin, tick=video.tick, seconds=seconds, header_seconds=header_seconds, fps=fps, frames=frames,
            width=width, height=height, has_audio=has_audio,
            audio_start=0.0 if audio_start is None else audio_start - origin * video.tick, codec=codec,
        )  # fmt: skip


def stated_seconds(video: VideoStream) -> Seconds | None:
    """Return the length of the frames in the header; None if the format does not state it, or it is reached."""
    if "mov" in formats(video.container):
        return float((video.stream.duration or 0) * video.tick) or None
    if "avi" in formats(video.container):  # FFmpeg reduces the length to what is there, but not the number of frames
        return float(video.stream.frames * video.frame_ticks * video.tick) or None
    return stated_end(video.container, video.path)


def is_short(seconds: Seconds, stated: Seconds) -> bool:
    """Whether a length is so far below the one in the header that the file is truncated."""
    return stated - seconds > max(HEADER_TOLERANCE, 0.01 * stated)


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
