"""How well the scores of a class rank its segments: average precision, area under the ROC curve, d-prime.

Shapes: N segments, C classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from slowfast_cli.metrics.topk import check, check_finite
from slowfast_cli.types import DataError


@dataclass(frozen=True, kw_only=True)
class ClassRanking:
    """Ranking scores by class.

    Attributes:
        ap: Average precision, (C,); NaN for a class without positives.
        auc: Area under the ROC curve, (C,); NaN for a class without positives or without negatives.
    """

    ap: np.ndarray
    auc: np.ndarray


def class_ranking(scores: np.ndarray, targets: np.ndarray) -> ClassRanking:
    """Average precision and AUC of every class, as scikit-learn defines them.

    Segments of equal score share one threshold. AP is the sum of precision times the step of recall over thresholds,
    not interpolated.

    Args:
        scores: (N, C), higher is better.
        targets: Class indices (N,), or (N, C) of zeros and ones when a segment may have many classes.

    Raises:
        DataError: Wrong shapes or values.
    """
    multi = _is_multi(scores, targets)
    ap = np.full(scores.shape[1], np.nan)
    auc = np.full(scores.shape[1], np.nan)
    for index in range(scores.shape[1]):
        positive = targets[:, index] != 0 if multi else targets == index
        if positive.any():
            ap[index], auc[index] = _rank_one(scores[:, index], positive)
    return ClassRanking(ap=ap, auc=auc)


def _is_multi(scores: np.ndarray, targets: np.ndarray) -> bool:
    if targets.ndim != 2:
        check(scores, targets)
        return False
    if targets.shape != scores.shape or not scores.size:
        raise DataError(
            f"scores: shape {scores.shape}, targets {targets.shape}; right is the same (segments, classes) for both"
        )
    check_finite(scores)
    if not np.isin(targets, (0, 1)).all():
        raise DataError("targets: a multi-label target is 0 or 1; give class indices for one class a segment")
    return True


def _rank_one(scores: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """Average precision and AUC of one class with at least one positive."""
    order = np.argsort(scores)[::-1]
    ordered = scores[order]
    last_of_tie = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    hits = np.cumsum(positive[order])[last_of_tie].astype(np.float64)
    taken = last_of_tie + 1.0
    new_hits = np.diff(hits, prepend=0.0)
    ap = float(np.sum(new_hits * (hits / taken)) / hits[-1])
    misses = taken - hits
    if misses[-1] == 0:
        return ap, math.nan
    # A positive beats the negatives below its tie, and half of those in it (Mann-Whitney).
    beaten = misses[-1] - misses + 0.5 * np.diff(misses, prepend=0.0)
    return ap, float(np.sum(new_hits * beaten) / (hits[-1] * misses[-1]))


def dprime(auc: float) -> float:
    """Distance of two unit normals, of positives and of negatives, whose ROC curve has that area.

    ``sqrt(2)`` times the inverse normal distribution function (ASF Sec. 4.2, after Chen et al.); infinite at 0 and 1.

    Args:
        auc: From 0 to 1.
    """
    if not 0 < auc < 1:
        return math.nan if math.isnan(auc) else math.copysign(math.inf, auc - 0.5)
    return math.sqrt(2) * NormalDist().inv_cdf(auc)


def ranking_scores(scores: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Unweighted means over the classes that have positives (and, for the AUC, negatives).

    Args:
        scores: (N, C), higher is better.
        targets: Class indices (N,), or (N, C) of zeros and ones.

    Returns:
        ``map`` and ``auc`` from 0 to 1, ``dprime`` of the mean AUC, and ``ranked_classes``: how many classes entered
        ``map``. NaN where no class could be scored.

    Raises:
        DataError: Wrong shapes or values.
    """
    return summarise(class_ranking(scores, targets))


def summarise(by_class: ClassRanking) -> dict[str, float]:
    """The means of `ranking_scores` from numbers by class."""
    scored = by_class.ap[~np.isnan(by_class.ap)]
    areas = by_class.auc[~np.isnan(by_class.auc)]
    auc = float(areas.mean()) if len(areas) else math.nan
    return {
        "map": float(scored.mean()) if len(scored) else math.nan,
        "auc": auc,
        "dprime": dprime(auc),
        "ranked_classes": float(len(scored)),
    }
