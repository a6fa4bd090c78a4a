"""Positions of clips in a segment, as in the reference code (ASF Sec. 4.2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from slowfast_cli.settings import Frames, FrontEnd
from slowfast_cli.types import Seconds


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A range of samples of a recording."""

    first: int
    count: int


def clip_samples(seconds: Seconds, rate: int) -> int:
    """Length of a clip in samples, rounded as in the reference.

    >>> clip_samples(5.119, 16000), clip_samples(1.999, 24000)
    (81904, 47976)
    """
    return round(seconds * rate)


def spread(size: int, clip: int, views: int) -> list[float]:
    """Starts of evenly spaced test clips, from the start of a segment to its end.

    >>> spread(160000, 81904, 2)
    [0.0, 78096.0]
    >>> spread(1000, 81904, 2)
    [0.0, 0.0]
    """
    return [float(start) for start in np.linspace(0, max(size - clip, 0), views)]


def covering(size: int, clip: int) -> list[float]:
    """Starts of consecutive clips that cover a segment; a rest shorter than 1 % of a clip is dropped (HARES App. A).

    >>> covering(480000, 160000), covering(500000, 160000), covering(481000, 160000), covering(100, 160000)
    ([0.0, 160000.0, 320000.0], [0.0, 160000.0, 320000.0, 480000.0], [0.0, 160000.0, 320000.0], [0.0])
    """
    starts = range(0, max(size, 1), clip)
    return [float(start) for start in starts if start == 0 or size - start >= clip / 100]


def cut(first: int, size: int, clip: int, start: float) -> Cut:
    """Range of samples of a clip: one sample fewer than the clip's length, as in the reference.

    Args:
        first: First sample of the segment in its recording.
        size: Length of the segment in samples.
        clip: Length of a clip in samples.
        start: Start of the clip relative to the segment, in samples.

    >>> cut(0, 160000, 81904, 8677.33)
    Cut(first=8677, count=81903)
    >>> cut(77040, 19440, 47976, 0.0)
    Cut(first=77040, count=19440)
    """
    begin = int(start)
    return Cut(first=first + begin, count=min(clip - 1, size - begin))


def windows(size: int, window: int, hop: int) -> list[int]:
    """Starts of sliding windows that cover everything; the last one may extend past the end.

    >>> windows(100, 40, 20)
    [0, 20, 40, 60]
    >>> windows(30, 40, 20)
    [0]
    """
    return list(range(0, max(size - window + hop, 1), hop))


def video_starts(room: Seconds, views: int) -> list[Seconds]:
    """Starts of test clips in a video, as in PySlowFast: the last one does not reach the end; a single one is centered.

    Args:
        room: The latest possible start.
        views: Number of clips.

    >>> video_starts(8.0, 4), video_starts(8.0, 1)
    ([0.0, 2.0, 4.0, 6.0], [4.0])
    """
    return [room * view / views for view in range(views)] if views > 1 else [room / 2]


def segment_frames(first: Seconds, last: Seconds, fps: float, settings: Frames, share: float) -> np.ndarray:
    """Frames of a clip that shows nothing beyond its segment, as SlowFast on EPIC-KITCHENS-100 samples them.

    Start and stop are rounded to frames. The clip spans ``settings.seconds``; a part of it that lies beyond the segment
    shows the last frame before the stop. In the reference's file names, which count from 1, frames have one more.

    Args:
        first: Start of the segment, seconds.
        last: Stop of the segment, seconds.
        fps: Frame rate of the recording.
        settings: Number of frames, and length of a clip.
        share: Where the clip lies: 0 at the start of the segment, 1 at its end.

    Returns:
        Rising indices (frames,) from 0, int64.

    >>> segment_frames(10.5, 11.02, 50, Frames(frames=8, step=8, fps=60), 0.5).tolist()  # shorter than a clip
    [525, 532, 539, 547, 549, 549, 549, 549]
    """
    start, stop = round(first * fps), round(last * fps)
    length = settings.seconds * fps
    begin = max(stop - start - length, 0.0) * share
    positions = np.linspace(begin + 1, begin + length, settings.frames).clip(0, max(stop - start - 1, 0))
    return np.maximum(start + positions.astype(np.int64) - 1, 0)


def uniform_frames(count: int, frames: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """Frames of a clip that shows a whole segment, as PySlowFast samples Something-Something (its dataset ``ssv2``).

    Args:
        count: Frames of the segment.
        frames: Equal parts, each of which gives a frame of the clip; neighboring parts share the frame between them.
        rng: Draws the frame of each part; None takes the middle one.

    Returns:
        Rising indices (frames,), int64.

    >>> uniform_frames(60, 8).tolist(), uniform_frames(3, 8).tolist()
    ([3, 11, 18, 26, 33, 40, 48, 55], [0, 0, 0, 1, 1, 1, 2, 2])
    """
    edges = np.round((count - 1) / frames * np.arange(frames + 1)).astype(np.int64)
    if rng is not None:
        return rng.integers(edges[:-1], edges[1:], endpoint=True)
    middle: np.ndarray = (edges[:-1] + edges[1:]) // 2
    return middle


def uniform_times(
    first: Seconds, last: Seconds, settings: Frames, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Times (frames,) of `uniform_frames` of a segment, counted in frames of ``settings.fps``."""
    count = max(round((last - first) * settings.fps), 1)
    return first + uniform_frames(count, settings.frames, rng) / settings.fps


SINGLE = 1.5  # a stretch of at most this many clips has one clip, in its center


def stretch_clips(
    stretch: tuple[Seconds, Seconds], length: Seconds, settings: Frames, views: int
) -> list[tuple[Seconds, Seconds]]:
    """Start and stop of the clips with which a stretch of a video is recognized.

    Enough clips to cover it, at most ``views``, spread as in evaluation. For a stretch shorter than a clip: the clip
    centered on it, moved inside the video if it fits. With uniform sampling, the stretch is one clip.

    Args:
        stretch: Its start and end.
        length: Length of the video.
        settings: Length of a clip, and the sampling.
        views: The most clips.
    """
    (start, end), clip = stretch, settings.seconds
    if settings.sampling == "uniform":
        return [stretch]
    if end - start < clip:
        starts = [max(min((start + end - clip) / 2, length - clip), 0.0)]
    else:
        count = 1 if end - start <= SINGLE * clip else min(views, ceil((end - start) / clip))
        starts = [start + offset for offset in video_starts(end - start - clip, count)]
    return [(begin, begin + clip) for begin in starts]


MIN_FPS = 24.0
SLOW_FPS = 4.0  # clips of slower videos would lose much of their time, if it were that from the first to the last frame


def rows_span(seconds: Seconds, fps: float, hop: Seconds) -> float:
    """Number of log-mel frames spanned by the audio of a video clip, as in the reference.

    The audio spans (L - 1) / L of the time from the first to the last of the clip's L frames. At low frame rates that
    would omit much of it, so rates below 24 frames per second count as 24.

    Args:
        seconds: Length of the clip.
        fps: Frame rate of the video.
        hop: Distance between log-mel frames, seconds.

    >>> round(rows_span(64 / 30, 30, 0.016), 2), rows_span(2, 1, 0.016) == rows_span(2, 24, 0.016)
    (129.2, True)
    """
    rate = max(fps, MIN_FPS)
    frames = seconds * rate
    return (frames - 1) ** 2 / frames / rate / hop


def spread_rows(first: float, length: float, count: int) -> np.ndarray:
    """Indices of ``count`` log-mel frames, evenly spaced from ``first`` to ``first + length``, rounded down.

    >>> spread_rows(140, 128.9925, 128)[[0, 1, 127]].tolist()
    [140, 141, 268]
    """
    return np.floor(np.linspace(first, first + length, count)).astype(np.int64)


def picked_rows(video: Mapping[str, Any], front_end: FrontEnd) -> list[int]:
    """Indices of the log-mel frames that a network trained on the audio of videos reads; empty for all.

    Args:
        video: Frame settings of the videos, as a weight file has them; empty for a network of sounds.
        front_end: Log-mel settings.
    """
    if not video:
        return []
    frames = Frames.from_settings(dict(video))
    length = rows_span(frames.seconds, frames.fps, front_end.hop / front_end.rate)
    return [int(row) for row in spread_rows(0, length, frames.rows)]


def span(seconds: Seconds, fps: float, step: Seconds | None) -> Seconds:
    """Time from the first to the last frame of a clip.

    Args:
        seconds: Length of the clip.
        fps: Frame rate of the video.
        step: Distance between frames, for clips around a key frame; None spreads them up to the clip's last frame.

    >>> round(span(64 / 30, 30, None) * 30), round(span(64 / 30, 30, 2 / 30) * 30)
    (63, 62)
    """
    return max(seconds - (frame_seconds(fps) if step is None else step), 0.0)


def frame_seconds(fps: float) -> Seconds:
    """Time that the last frame of a clip is displayed; in slow or mostly still videos, that of a usual frame rate."""
    return 1 / (fps if fps >= SLOW_FPS else MIN_FPS)
