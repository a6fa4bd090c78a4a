"""Work dealt to several processes so that all have about as much of it."""

from __future__ import annotations

import heapq
from collections.abc import Sequence


def partition(weights: Sequence[float], ranks: int) -> list[list[int]]:
    """Which pieces of work each hand gets: the heaviest first, each to the hand that has the least.

    >>> dealt([3, 1, 2, 2], 2)
    [[0, 1], [2, 3]]
    >>> dealt([1, 1, 1, 1, 1], 2)
    [[0, 2, 4], [1, 3]]

    Args:
        weights: Of the pieces.
        ranks: How many share them.

    Returns:
        Numbers of pieces for each hand, ascending; the same wherever it is computed.
    """
    if ranks == 1 or len(set(weights)) <= 1:
        return [list(range(hand, len(weights), ranks)) for hand in range(ranks)]
    found: list[list[int]] = [[] for _ in range(ranks)]
    loads = [(0.0, hand) for hand in range(ranks)]
    for piece in sorted(range(len(weights)), key=lambda each: -weights[each]):
        load, hand = loads[0]
        found[hand].append(piece)
        heapq.heapreplace(loads, (load + weights[piece], hand))
    return [sorted(each) for each in found]


def imbalance(loads: Sequence[float]) -> float:
    """By how much the heaviest load is above the mean: 0.02 are 2 %.

    >>> unevenness([1.0, 3.0])
    0.5
    """
    mean = sum(loads) / max(len(loads), 1)
    return max(loads) / mean - 1 if mean else 0.0
