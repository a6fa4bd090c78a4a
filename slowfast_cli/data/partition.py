"""Balanced partition of weighted items over ranks."""

import heapq
from collections.abc import Sequence


def partition(weights: Sequence[float], ranks: int) -> list[list[int]]:
    """Greedy (LPT) partition: heaviest item first, to the least-loaded rank; round-robin if all weights are equal.

    >>> partition([3, 1, 2, 2], 2)
    [[0, 1], [2, 3]]
    >>> partition([1, 1, 1, 1, 1], 2)
    [[0, 2, 4], [1, 3]]

    Returns:
        Ascending indices of the items of each rank; deterministic, so every process computes the same.
    """
    if ranks == 1 or len(set(weights)) <= 1:
        return [list(range(rank, len(weights), ranks)) for rank in range(ranks)]
    parts: list[list[int]] = [[] for _ in range(ranks)]
    loads = [(0.0, rank) for rank in range(ranks)]
    for item in sorted(range(len(weights)), key=lambda index: -weights[index]):
        load, rank = loads[0]
        parts[rank].append(item)
        heapq.heapreplace(loads, (load + weights[item], rank))
    return [sorted(part) for part in parts]


def imbalance(loads: Sequence[float]) -> float:
    """Relative excess of the heaviest load over the mean; 0.02 means 2 %.

    >>> imbalance([1.0, 3.0])
    0.5
    """
    mean = sum(loads) / max(len(loads), 1)
    return max(loads) / mean - 1 if mean else 0.0
