"""The learning rate as a function of how far a run is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

Schedule: TypeAlias = "Callable[[float], float]"  # epochs done (fractional) -> factor of the top rate


def steps(drop_at: tuple[int, ...], drop_by: float) -> Schedule:
    """A constant that drops by ``drop_by`` at the start of each epoch in ``drop_at`` (ASF Sec. 4.2).

    >>> [round(steps((30, 40), 0.1)(epoch), 3) for epoch in (0, 29.9, 30, 45)]
    [1.0, 1.0, 0.1, 0.01]
    """
    return lambda epoch: float(drop_by ** sum(epoch >= at for at in drop_at))


def cosine(epochs: int) -> Schedule:
    """Half a period of a cosine, from one to zero.

    >>> [round(cosine(10)(epoch), 3) for epoch in (0, 5, 10)]
    [1.0, 0.5, 0.0]
    """
    return lambda epoch: 0.5 * (1 + math.cos(math.pi * min(epoch / epochs, 1)))


def warmed_up(schedule: Schedule, epochs: float) -> Schedule:
    """The same after a linear rise over ``epochs`` from a hundredth of what it has then.

    >>> [round(warmed_up(steps((), 1), 2)(epoch), 3) for epoch in (0, 1, 2, 3)]
    [0.01, 0.505, 1.0, 1.0]
    """
    if not epochs:
        return schedule
    return lambda epoch: schedule(epoch) if epoch >= epochs else schedule(epochs) * (0.01 + 0.99 * epoch / epochs)
