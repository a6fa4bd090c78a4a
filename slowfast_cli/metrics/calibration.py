"""Calibration of the scores: how often answers of a given score are right."""

from dataclasses import dataclass

import numpy as np

BINS = 10


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Answers in bins of equal width by their score; empty bins are left out."""

    scores: np.ndarray  # mean top score of a bin, from 0 to 1, (B,)
    right: np.ndarray  # share of right answers, (B,)
    counts: np.ndarray  # answers of a bin, (B,)

    @property
    def error(self) -> float:
        """Expected calibration error, from 0 to 1 (Guo et al., ICML 2017)."""
        return float((self.counts * np.abs(self.scores - self.right)).sum() / self.counts.sum())


def calibration(scores: np.ndarray, targets: np.ndarray, bins: int = BINS) -> Calibration:
    """Compare top scores with the share of right answers.

    Args:
        scores: Probabilities, (N, C).
        targets: Class indices, (N,).
        bins: Number of bins from 0 to 1.

    >>> found = calibration(np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]]), np.array([0, 1, 1]))
    >>> found.counts.tolist(), found.right.tolist(), round(found.error, 3)
    ([1, 1, 1], [1.0, 0.0, 1.0], 0.433)
    """
    top, right = scores.max(axis=1), scores.argmax(axis=1) == targets
    bin_of = np.minimum((top * bins).astype(int), bins - 1)
    filled = np.unique(bin_of)
    return Calibration(
        scores=np.array([top[bin_of == index].mean() for index in filled]),
        right=np.array([right[bin_of == index].mean() for index in filled]),
        counts=np.array([(bin_of == index).sum() for index in filled]),
    )
