"""Threshold of each class with the best F1 on labeled segments."""

import numpy as np

from slowfast_cli.metrics.predictions import Rows

MIN_POSITIVES = 5
"""Segments that a class needs for a threshold of its own."""


def best_thresholds(rows: Rows, default: float = 0.5) -> dict[str, tuple[float, ...]]:
    """The threshold of each class with the best F1, by label set.

    It lies halfway between the lowest score that counts and the next lower one; ``default`` for classes with fewer than
    `MIN_POSITIVES` segments.

    >>> scores = np.array([[0.1], [0.2], [0.6], [0.7], [0.8], [0.9], [0.9]])
    >>> targets = np.array([[0], [0], [1], [1], [1], [1], [1]])
    >>> best_thresholds(Rows(ids=(), scores={"label": scores}, targets={"label": targets}))
    {'label': (0.4,)}
    """
    return {
        labels: tuple(
            _best(rows.scores[labels][:, index], _positive(targets, index), default)
            for index in range(rows.scores[labels].shape[1])
        )
        for labels, targets in rows.targets.items()
    }


def _positive(targets: np.ndarray, index: int) -> np.ndarray:
    positive: np.ndarray = targets == index if targets.ndim == 1 else targets[:, index] > 0
    return positive


def _best(scores_N: np.ndarray, positive_N: np.ndarray, default: float) -> float:
    true = int(positive_N.sum())
    if true < MIN_POSITIVES:
        return default
    order = np.argsort(-scores_N, kind="stable")
    falling, right = scores_N[order].astype(float), np.cumsum(positive_N[order])
    last = np.append(falling[1:] != falling[:-1], True)
    f1 = np.where(last, 2 * right / (np.arange(1, len(falling) + 1) + true), -1.0)
    best = int(f1.argmax())
    below = falling[best + 1] if best + 1 < len(falling) else 0.0
    return round(float((falling[best] + below) / 2), 6)
