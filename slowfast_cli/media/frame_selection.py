"""Select the frames of a clip from those of a video, by presentation time."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from math import inf
from typing import TypeVar

from slowfast_cli.types import Seconds

TOLERANCE = 1e-4  # seconds between times that count as equal, because of floating-point rounding
SNAP = 0.25  # seconds after the start of a clip up to which it begins with the next frame, not with the displayed one

T = TypeVar("T")


def select_frames(
    frames: Iterable[tuple[Seconds, T]],
    *,
    start: Seconds,
    span: Seconds,
    count: int,
    tolerance: Seconds = TOLERANCE,
    snap: Seconds = inf,
) -> Iterator[tuple[Seconds, T]]:
    """Select the frames displayed at the times that `slowfast_cli.media.video.read` defines.

    >>> [time for time, _ in select_frames([(t, "frame") for t in range(4)], start=0.5, span=2, count=3)]
    [1, 2, 3]

    Args:
        frames: Presentation times and frames, in order, beginning with one at or before ``start``; consumed lazily.
        start: As for `slowfast_cli.media.video.read`.
        span: As for `slowfast_cli.media.video.read`.
        count: Number of times.
        tolerance: Seconds by which a frame may be late.
        snap: Seconds after ``start`` up to which the clip begins with the next frame.

    Yields:
        ``count`` items, with repeats; nothing if there are no frames.
    """
    step = span / max(1, count - 1)
    begin, rest = start, iter(frames)
    if start > 0:
        before: list[tuple[Seconds, T]] = []
        for now in rest:
            if now[0] >= start - tolerance:
                begin = now[0] if now[0] - start <= snap or not before else start
                rest = chain([*before, now], rest)
                break
            before = [now]
        else:
            rest = iter(before)
    yield from displayed(rest, [begin + number * step for number in range(count)], tolerance=tolerance)


def displayed(
    frames: Iterable[tuple[Seconds, T]], times: Sequence[Seconds], *, tolerance: Seconds = TOLERANCE
) -> Iterator[tuple[Seconds, T]]:
    """Select the frame displayed at each of some rising times.

    >>> [time for time, _ in displayed([(t, "frame") for t in range(4)], [0.5, 1, 1, 9])]
    [0, 1, 1, 3]

    Args:
        frames: Presentation times and frames, in order; consumed lazily.
        times: Rising; before the first frame it counts as displayed, after the last one that stays displayed.
        tolerance: Seconds by which a frame may be late.

    Yields:
        One item for each time; nothing if there are no frames.
    """
    done = 0
    before: tuple[Seconds, T] | None = None
    for now in frames:
        while done < len(times) and times[done] < now[0] - tolerance:
            yield before or now
            done += 1
        while done < len(times) and times[done] <= now[0] + tolerance:
            yield now
            done += 1
        if done == len(times):
            return
        before = now
    while before is not None and done < len(times):
        yield before
        done += 1
