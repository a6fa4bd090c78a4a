"""The pictures on screen at given moments of a recording: a video file, or a folder of pictures.

Every moment is by presentation time, on the clock whose 0 is when the first frame is shown: variable rates, edit lists
and late starts need no care elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache, partial
from math import floor, inf
from typing import Any, TypeAlias, TypeVar

import av
import numpy as np

from slowfast_cli.media.audio_source import shown
from slowfast_cli.media.image_folder import Pictures, decoded, pictures
from slowfast_cli.media.video_probe import SLACK, VideoFacts, video_facts
from slowfast_cli.media.video_rgb import Converter, fitted, shown_size
from slowfast_cli.media.video_stream import VideoStream
from slowfast_cli.types import BrokenMediaError, Recording, Seconds

CLOSE = 1e-4  # seconds between moments that count as one: starts and steps are computed in floating point
COARSE = 1e-3  # at most: where the file's ticks are long, its time stamps are rounded to them

T = TypeVar("T")
Shown: TypeAlias = "tuple[Seconds, Callable[[], Any]]"  # when a frame begins to be shown, and what decodes it


@dataclass(frozen=True, kw_only=True)
class VideoProbe:
    """What is known of a recording before its pictures are used.

    Attributes:
        seconds: From the first frame's presentation to the end of the last.
        fps: Frames a second on average.
        frames: How many, without decoding them.
        width: Of the picture as shown, turned upright.
        height: Of the picture as shown.
        sound: There is an audio stream, or a file with the sound.
        sound_starts: When its first sample is presented: often some ms off, and before 0 at times. 0 without sound.
        codec: FFmpeg's name of the decoder; ``pictures`` for a folder.
    """

    seconds: Seconds
    fps: float
    frames: int
    width: int
    height: int
    sound: bool
    sound_starts: Seconds
    codec: str


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Pictures of a clip.

    Attributes:
        pixels: (T, H, W, 3) RGB, uint8 from 0 to 255.
        times: When each begins to be shown, in seconds from the recording's first frame.
    """

    pixels: np.ndarray
    times: tuple[Seconds, ...]


@lru_cache(maxsize=1 << 16)
def probe(recording: Recording) -> VideoProbe:
    """Look at a recording; once, and remember.

    Raises:
        BrokenMediaError: It cannot be opened, has no video, or not even its first frame decodes.
    """
    apart = recording.sound is not None
    if recording.fps is not None and recording.path.is_dir():
        found = pictures(recording.path)
        width, height = shown_size(decoded(found.path(0)))
        return VideoProbe(
            seconds=found.count / recording.fps,
            fps=recording.fps,
            frames=found.count,
            width=width,
            height=height,
            sound=apart,
            sound_starts=0.0 - recording.sound_start if apart else 0.0,
            codec="pictures",
        )
    facts = _facts(recording)
    return VideoProbe(
        seconds=facts.seconds,
        fps=facts.fps,
        frames=facts.frames,
        width=facts.width,
        height=facts.height,
        sound=facts.sound or apart,
        sound_starts=0.0 - recording.sound_start if apart else facts.sound_starts,
        codec=facts.codec,
    )


def read(recording: Recording, *, start: Seconds, span: Seconds, count: int, short_side: int | None = None) -> Frames:
    """The pictures on screen at ``count`` moments evenly spaced over ``span``, both ends included.

    Args:
        recording: Where the video is.
        start: The clip begins with the first frame that is presented then or later (the last one, if none is), or at
            this very moment if it is 0 or less: the first frame is on screen before its time.
        span: From the first moment to the last, in seconds; the last frame stays on screen past its end.
        count: How many.
        short_side: Scale larger pictures down to this many pixels on their shorter side.

    Raises:
        BrokenMediaError: It cannot be opened, has no video, or no frame wanted decodes.
    """
    if count < 1 or span < 0:
        raise ValueError(f"read: count {count}, span {span} s: a clip has a frame, and its end is not before its start")
    probed = probe(recording)
    width, height = fitted(probed.width, probed.height, short_side)
    with closing(_shown(recording, start)) as frames:
        picks = picked(frames, start=start, span=span, count=count, close=_close(recording))
        return _converted(recording, picks, Converter(width, height), np.empty((count, height, width, 3), np.uint8))


def picked(
    frames: Iterable[tuple[Seconds, T]], *, start: Seconds, span: Seconds, count: int, close: Seconds = CLOSE
) -> Iterator[tuple[Seconds, T]]:
    """What is on screen at moments, which `read` defines.

    For example frames at 0, 1, 2 and 3 s, start 0.5 s, span 2 s, count 3: those at 1, 2 and 3 s.

    Args:
        frames: When each begins to be shown, and the frame: in order, from one shown at ``start`` or before on. No more
            of them are taken than needed.
        start: In seconds.
        span: In seconds.
        count: How many moments.
        close: Seconds that a frame may come late for its moment.

    Yields:
        ``count`` of them, with repeats; none if there are no frames.
    """
    step = span / max(1, count - 1)
    begin = start if start <= 0 else None
    done = 0
    before: tuple[Seconds, T] | None = None
    for now in frames:
        if begin is None and now[0] >= start - close:
            begin = now[0]
        if begin is not None:
            while done < count and begin + done * step < now[0] - close:
                yield before or now
                done += 1
            while done < count and begin + done * step <= now[0] + close:
                yield now
                done += 1
        if done == count:
            return
        before = now
    while before is not None and done < count:
        yield before
        done += 1


def _converted(recording: Recording, picks: Iterator[Shown], converter: Converter, pixels: np.ndarray) -> Frames:
    times: list[Seconds] = []
    try:
        for index, (time, frame) in enumerate(picks):
            repeated = times and time == times[-1]
            pixels[index] = pixels[index - 1] if repeated else converter.rgb(frame())
            times.append(time)
    except av.FFmpegError as error:
        raise BrokenMediaError(
            f"{shown(recording.path)}: its pictures do not convert to RGB ({error.strerror}): convert it to H.264"
        ) from error
    return Frames(pixels=pixels, times=tuple(times))


def _shown(recording: Recording, start: Seconds) -> Generator[Shown, None, None]:
    """Frames from the one on screen at ``start``, or some before it, on."""
    if recording.fps is not None and recording.path.is_dir():
        return _listed(pictures(recording.path), recording.fps, start)
    return _decoded(recording, _facts(recording), start)


def _listed(found: Pictures, fps: float, start: Seconds) -> Generator[Shown, None, None]:
    for index in range(min(max(0, floor(start * fps) - 1), found.count - 1), found.count):
        yield index / fps, partial(decoded, found.path(index))


def _decoded(recording: Recording, facts: VideoFacts, start: Seconds) -> Generator[Shown, None, None]:
    with closing(VideoStream(recording.path)) as video:
        since = facts.origin + floor(start / facts.tick)
        last = -inf
        for ticks, frame in video.frames(since if since > facts.origin else None):
            last = (ticks - facts.origin) * facts.tick
            yield last, partial(_given, frame)
        promised = facts.promised or 0.0
        if last == -inf or facts.seconds + SLACK < start < promised - SLACK:
            raise video.broken(
                f"truncated: nothing decodes at {start:.2f} s, its header says {promised:.2f} s, {facts.seconds:.2f} s "
                "are there: fetch it again"
            )


def _given(frame: Any) -> Any:
    return frame


def _close(recording: Recording) -> Seconds:
    if recording.fps is not None and recording.path.is_dir():
        return CLOSE
    # Half a tick off at most. Ticks longer than that are whole frames, and not rounded.
    return min(max(CLOSE, 0.51 * _facts(recording).tick), COARSE)


@lru_cache(maxsize=1 << 16)
def _facts(recording: Recording) -> VideoFacts:
    return video_facts(recording.path)
