"""Where the clips of a segment start: pure arithmetic, in samples (ASF Sec. 4.2 and its reference code)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slowfast_cli.types import Seconds


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A run of samples of a recording.

    Attributes:
        first: The first sample.
        count: How many.
    """

    first: int
    count: int


def clip_samples(seconds: Seconds, rate: int) -> int:
    """Samples of a clip, rounded as the reference rounds.

    >>> clip_samples(5.119, 16000), clip_samples(1.999, 24000)
    (81904, 47976)
    """
    return round(seconds * rate)


def spread(size: int, clip: int, views: int) -> list[float]:
    """Starts of test clips, evenly spaced, both ends included.

    >>> spread(160000, 81904, 2)
    [0.0, 78096.0]
    >>> spread(1000, 81904, 2)
    [0.0, 0.0]
    """
    return [float(start) for start in np.linspace(0, max(size - clip, 0), views)]


def covering(size: int, clip: int) -> list[float]:
    """Starts of clips that follow each other to the end, but for a rest of less than a hundredth of one (HARES App. A).

    >>> covering(480000, 160000), covering(500000, 160000), covering(481000, 160000), covering(100, 160000)
    ([0.0, 160000.0, 320000.0], [0.0, 160000.0, 320000.0, 480000.0], [0.0, 160000.0, 320000.0], [0.0])
    """
    starts = range(0, max(size, 1), clip)
    return [float(start) for start in starts if start == 0 or size - start >= clip / 100]


def cut(first: int, size: int, clip: int, start: float) -> Cut:
    """The samples of a clip that starts at ``start`` in a segment: one fewer than the clip's size, as in the reference.

    Args:
        first: First sample of the segment in its recording.
        size: Samples of the segment.
        clip: Samples of a clip.
        start: Of the clip, counted from the start of the segment.

    >>> cut(0, 160000, 81904, 8677.33)
    Cut(first=8677, count=81903)
    >>> cut(77040, 19440, 47976, 0.0)
    Cut(first=77040, count=19440)
    """
    begin = int(start)
    return Cut(first=first + begin, count=min(clip - 1, size - begin))


def windows(size: int, window: int, hop: int) -> list[int]:
    """Starts of sliding windows; the last one may reach past the end, none starts where nothing is new.

    >>> windows(100, 40, 20)
    [0, 20, 40, 60]
    >>> windows(30, 40, 20)
    [0]
    """
    return list(range(0, max(size - window + hop, 1), hop))


def video_starts(room: Seconds, views: int) -> list[Seconds]:
    """Starts of test clips in a video, as the reference has them: the last one does not reach the end (PySlowFast).

    Args:
        room: The latest start.
        views: How many; a single one is in the middle.

    >>> video_starts(8.0, 4), video_starts(8.0, 1)
    ([0.0, 2.0, 4.0, 6.0], [4.0])
    """
    return [room * view / views for view in range(views)] if views > 1 else [room / 2]


SLOWEST = 24.0  # frames a second


def rows_span(seconds: Seconds, fps: float, hop: Seconds) -> float:
    """Rows of a log-mel that go with a clip of frames, as the reference spreads them.

    It spans (L - 1) / L of the time from the first to the last of the clip's L frames. Of videos slower than those it
    was made for that would leave sound out, so they count as of 24 frames a second.

    Args:
        seconds: Length of the clip.
        fps: Frames a second of the video.
        hop: From one row to the next.

    >>> round(rows_span(64 / 30, 30, 0.016), 2), rows_span(2, 1, 0.016) == rows_span(2, 24, 0.016)
    (129.2, True)
    """
    rate = max(fps, SLOWEST)
    frames = seconds * rate
    return (frames - 1) ** 2 / frames / rate / hop


def spread_rows(first: float, length: float, count: int) -> np.ndarray:
    """Numbers of so many rows, evenly spread over a stretch of a log-mel, floored.

    >>> spread_rows(140, 128.9925, 128)[[0, 1, 127]].tolist()
    [140, 141, 268]
    """
    return np.floor(np.linspace(first, first + length, count)).astype(np.int64)


def span(seconds: Seconds, fps: float, step: Seconds | None) -> Seconds:
    """From the first to the last frame of a clip.

    Args:
        seconds: Length of the clip.
        fps: Frames a second of the video: the reference spreads the frames from the clip's first to its last one.
        step: From one frame to the next, for clips around a key frame; None spreads them.

    >>> round(span(64 / 30, 30, None) * 30), round(span(64 / 30, 30, 2 / 30) * 30)
    (63, 62)
    """
    return max(seconds - (1 / fps if step is None else step), 0.0)
