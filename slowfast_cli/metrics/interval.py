"""How sure a share of right answers is, and which classes are confused."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from slowfast_cli.types import Scores

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


def top1_intervals(scores: Scores, classes: Iterable[str]) -> dict[str, tuple[float, float]]:
    """Return Wilson's 95 % intervals, in percent, of the top-1 accuracies of label sets.

    Args:
        scores: Scores, each over all segments found.
        classes: Label sets.
    """
    names = {"top1", *(f"{labels}_top1" for labels in classes)} & scores.values.keys()
    counts = {name: round(scores.values[name] * scores.found / 100) for name in sorted(names) if scores.found}
    intervals = {name: wilson(count, scores.found) for name, count in counts.items()}
    return {name: (100 * low, 100 * high) for name, (low, high) in intervals.items()}


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """A class that is taken for another."""

    true: str
    answer: str
    count: int  # segments
    total: int  # segments of the true class


def confusions(counts: np.ndarray, names: Sequence[str]) -> list[Confusion]:
    """Return the confused pairs of a confusion matrix (C, C), rows true and columns answers, the most frequent first.

    >>> [(pair.true, pair.answer, pair.count) for pair in confusions(np.array([[3, 1], [2, 5]]), ["dog", "rain"])]
    [('rain', 'dog', 2), ('dog', 'rain', 1)]
    """
    totals = counts.sum(axis=1)
    wrong = [
        Confusion(true=names[true], answer=names[answer], count=int(counts[true, answer]), total=int(totals[true]))
        for true, answer in np.argwhere(counts)
        if true != answer
    ]
    return sorted(wrong, key=lambda pair: (-pair.count, pair.true, pair.answer))
