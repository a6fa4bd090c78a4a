"""What is known of a video file without decoding more than its first picture."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import av

from slowfast_cli.media.video_rgb import shown_size
from slowfast_cli.media.video_stream import VideoStream
from slowfast_cli.types import Seconds

SMALL = 64 << 20  # bytes; the packets of larger files are not counted where their header gives their length
HIDDEN = 0.05  # share of a header's frames from which on an edit list must hide them
SLACK = 0.5  # seconds that headers may promise too much


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """A video file, looked at.

    Attributes:
        origin: When its first frame is shown, in ticks of its own clock.
        tick: Their length.
        seconds: From then to the end of its last frame.
        promised: What its header says that is, where headers of its kind can be trusted; a truncated file has less.
        fps: Frames a second on average.
        frames: As its header says; counted from packets; or, in large files without a header that says, from the rate.
        width: Of the picture as shown.
        height: Of the picture as shown.
        sound: It has an audio stream.
        sound_starts: When its first sample is presented, in seconds from the first frame; 0 without sound.
        codec: FFmpeg's name of the decoder.
    """

    origin: int
    tick: Seconds
    seconds: Seconds
    promised: Seconds | None
    fps: float
    frames: int
    width: int
    height: int
    sound: bool
    sound_starts: Seconds
    codec: str


def video_facts(path: Path) -> VideoFacts:
    """Look at a video file.

    Raises:
        BrokenMediaError: It cannot be opened, has no video, or nothing of it decodes.
    """
    with closing(VideoStream(path)) as video:
        sound = video.container.streams.best("audio") is not None
        sound_start = video.sound_start() if sound else None
        first = next(video.frames(), None)
        if first is None:
            raise video.broken("no frame decodes: the file is truncated or holds no video: fetch it again")
        origin, picture = first
        width, height = shown_size(picture)
        codec = str(video.stream.codec_context.name)
        mov = "mov" in video.container.format.name and video.stream.duration
        promised = video.stream.duration * video.tick if mov else None
        end, counted = _end(video, origin, promised)
        seconds = float(max(1, end - origin) * video.tick)
        fps, frames = _rate(video, seconds, counted)
        return VideoFacts(
            origin=origin,
            tick=video.tick,
            seconds=seconds,
            promised=promised,
            fps=fps,
            frames=frames,
            width=width,
            height=height,
            sound=sound,
            sound_starts=0.0 if sound_start is None else sound_start - origin * video.tick,
            codec=codec,
        )


def _end(video: VideoStream, origin: int, promised: Seconds | None) -> tuple[int, int | None]:
    """When the last frame ends, in ticks, and how many there are where all packets were looked at."""
    total = promised or (video.container.duration or 0) / av.time_base
    if total and (promised or video.path.stat().st_size > SMALL):
        stop = origin + round(total / video.tick)
        if video.seekable:
            end, _ = _last(video, stop)  # the last group of pictures tells
            if end is not None:
                return end, None
        elif not video.stamped:
            return stop, None
    end, count = _last(video, None)
    return (origin + count * video.step if end is None else end), count


def _last(video: VideoStream, since: int | None) -> tuple[int | None, int]:
    """When the last frame of these packets ends, in ticks, where they tell, and how many are shown."""
    end, count = None, 0
    for packet in video.packets(since):
        ticks = video.when(packet)
        count += not packet.is_discard
        if ticks is not None and not packet.is_discard:
            stop = ticks + (packet.duration or video.step)
            end = stop if end is None else max(end, stop)
    return end, count


def _rate(video: VideoStream, seconds: Seconds, counted: int | None) -> tuple[float, int]:
    """Frames a second, and how many."""
    frames = counted or video.stream.frames or None
    rate = float(video.stream.average_rate or video.stream.guessed_rate or (frames or 1) / seconds)
    if frames is None or (not counted and abs(rate * seconds / frames - 1) > HIDDEN):
        return rate, max(1, round(rate * seconds))
    return (rate if abs(rate * seconds - frames) <= 1 else frames / seconds), frames
