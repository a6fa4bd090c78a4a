"""Learning-rate schedules."""

import math
from collections.abc import Callable
from typing import TypeAlias

Schedule: TypeAlias = "Callable[[float], float]"  # epochs (fractional) or steps done -> factor of the highest rate


def steps(drop_at: tuple[int, ...], drop_by: float) -> Schedule:
    """Constant that drops by ``drop_by`` at each point of ``drop_at`` (ASF Sec. 4.2).

    >>> [round(steps((30, 40), 0.1)(epoch), 3) for epoch in (0, 29.9, 30, 45)]
    [1.0, 1.0, 0.1, 0.01]
    """
    return lambda done: float(drop_by ** sum(done >= at for at in drop_at))


def cosine(length: float) -> Schedule:
    """Half a cosine from one to zero (AV App. A.4).

    >>> [round(cosine(10)(epoch), 3) for epoch in (0, 5, 10)]
    [1.0, 0.5, 0.0]
    """
    return lambda done: 0.5 * (1 + math.cos(math.pi * min(done / length, 1)))


def restarts(first: int, floor: float = 0.0) -> Schedule:
    """Cosines with warm restarts, each twice as long as the one before (Loshchilov & Hutter 2017).

    Args:
        first: Length of the first cosine.
        floor: Share of the rate at which each ends.

    >>> [round(restarts(2)(epoch), 3) for epoch in (0, 1, 2, 4, 6, 10)]
    [1.0, 0.5, 1.0, 0.5, 1.0, 0.5]
    """

    def factor(done: float) -> float:
        length = first
        while done >= length:
            done, length = done - length, 2 * length
        return floor + (1 - floor) * cosine(length)(done)

    return factor


def warmed_up(schedule: Schedule, length: float, first: float = 0.01) -> Schedule:
    """Precede a schedule by a linear warm-up over ``length`` to its value there, from a share of it.

    >>> [round(warmed_up(steps((), 1), 2)(epoch), 3) for epoch in (0, 1, 2, 3)]
    [0.01, 0.505, 1.0, 1.0]
    """
    if not length:
        return schedule
    return lambda done: schedule(done) if done >= length else schedule(length) * (first + (1 - first) * done / length)


def risen(schedule: Schedule, length: float, first: float = 0.0) -> Schedule:
    """Start a schedule after a linear warm-up over ``length``, from a share of its first value (HARES App. C).

    >>> [round(risen(cosine(10), 5)(step), 3) for step in (0, 1, 5, 10, 15)]
    [0.0, 0.2, 1.0, 0.5, 0.0]
    """

    def factor(done: float) -> float:
        return schedule(done - length) if done >= length else schedule(0) * (first + (1 - first) * done / length)

    return factor
