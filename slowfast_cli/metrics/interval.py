"""How sure a share of right answers is, and which classes are confused."""

from collections import Counter
from collections.abc import Sequence
from math import sqrt

import numpy as np

Z = 1.959964  # two-sided 95 % quantile of the normal distribution


def wilson(right: int, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share, from 0 to 1 (Wilson, JASA 22, 1927).

    Args:
        right: Number of right answers.
        count: Number of answers, at least 1.

    >>> tuple(round(bound, 3) for bound in wilson(9, 10))
    (0.596, 0.982)
    """
    share, spread = right / count, Z * Z / count
    center = (share + spread / 2) / (1 + spread)
    half = Z * sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return max(0.0, center - half), min(1.0, center + half)


def confusions(scores: np.ndarray, targets: np.ndarray, names: Sequence[str]) -> list[tuple[str, str, int]]:
    """Return the confused pairs, the most frequent first: true class, answer, number of segments.

    Args:
        scores: (N, C).
        targets: Class indices, (N,).
        names: C class names.
    """
    answers = scores.argmax(axis=1)
    pairs = Counter((int(target), int(answer)) for target, answer in zip(targets, answers, strict=True))
    wrong = [(names[true], names[answer], count) for (true, answer), count in pairs.items() if true != answer]
    return sorted(wrong, key=lambda pair: (-pair[2], pair))
