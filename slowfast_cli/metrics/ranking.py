"""Ranking metrics per class: average precision, area under the ROC curve, d-prime.

Shapes: N segments, C classes.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from slowfast_cli.metrics.topk import check_finite, check_scores
from slowfast_cli.types import DataError


@dataclass(frozen=True, kw_only=True)
class ClassRanking:
    """Ranking metrics by class."""

    ap: np.ndarray  # average precision, (C,); NaN for a class without positives
    auc: np.ndarray  # area under the ROC curve, (C,); NaN for a class without positives or without negatives


def class_ranking(scores: np.ndarray, targets: np.ndarray) -> ClassRanking:
    """Compute the average precision and AUC of every class as scikit-learn does.

    Segments of equal score share one threshold. AP is the sum over thresholds of precision times the increase in
    recall, without interpolation.

    Args:
        scores: (N, C), higher is better.
        targets: Class indices (N,), or multi-hot (N, C).

    Raises:
        DataError: Wrong shapes or values.
    """
    multi_label = _check_targets(scores, targets)
    ap = np.full(scores.shape[1], np.nan)
    auc = np.full(scores.shape[1], np.nan)
    for index in range(scores.shape[1]):
        positive = targets[:, index] != 0 if multi_label else targets == index
        if positive.any():
            ap[index], auc[index] = _rank_one(scores[:, index], positive)
    return ClassRanking(ap=ap, auc=auc)


def _check_targets(scores: np.ndarray, targets: np.ndarray) -> bool:
    """Validate scores and targets, and return whether the targets are multi-label."""
    if targets.ndim != 2:
        check_scores(scores, targets)
        return False
    if targets.shape != scores.shape or not scores.size:
        raise DataError(
            f"scores: shapes of scores {scores.shape} and targets {targets.shape} differ, expected (segments, classes) "
            "for both"
        )
    check_finite(scores)
    if not np.isin(targets, (0, 1)).all():
        raise DataError("targets: multi-label targets must be 0 or 1; pass class indices for one class per segment")
    return True


def _rank_one(scores: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """Compute the average precision and AUC of one class with at least one positive."""
    order = np.argsort(scores)[::-1]
    ordered = scores[order]
    last_of_tie = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    hits = np.cumsum(positive[order])[last_of_tie].astype(np.float64)
    selected = last_of_tie + 1.0
    new_hits = np.diff(hits, prepend=0.0)
    ap = float(np.sum(new_hits * (hits / selected)) / hits[-1])
    misses = selected - hits
    if misses[-1] == 0:
        return ap, math.nan
    # Mann-Whitney U: a positive outranks the negatives of lower score and half of those with the same score.
    outranked = misses[-1] - misses + 0.5 * np.diff(misses, prepend=0.0)
    return ap, float(np.sum(new_hits * outranked) / (hits[-1] * misses[-1]))


def interpolated_precision(hits: np.ndarray, positives: int) -> float:
    """Area under the precision envelope: precision is the best at this or a higher recall (PASCAL VOC 2010).

    Args:
        hits: Whether each detection is right, by falling score.
        positives: Number of truth boxes or events.

    Returns:
        Average precision from 0 to 1; 0 without detections.
    """
    at = np.flatnonzero(hits)
    precision = np.arange(1, len(at) + 1) / (at + 1)
    return float(np.maximum.accumulate(precision[::-1]).sum() / positives)


def dprime(auc: float) -> float:
    """Convert an AUC from 0 to 1 to the distance of two unit normals whose ROC curve has that area.

    ``sqrt(2)`` times the inverse normal CDF (ASF Sec. 4.2, after Chen et al.); infinite at 0 and 1.
    """
    if not 0 < auc < 1:
        return math.nan if math.isnan(auc) else math.copysign(math.inf, auc - 0.5)
    return math.sqrt(2) * NormalDist().inv_cdf(auc)


def ranking_scores(scores: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Average the ranking metrics over classes with positives (and, for the AUC, negatives), unweighted.

    Args:
        scores: (N, C), higher is better.
        targets: Class indices (N,), or multi-hot (N, C).

    Returns:
        ``map`` and ``auc`` from 0 to 1, ``dprime`` of the mean AUC, and ``ranked_classes``: the number of classes in
        ``map``. NaN if no class could be scored.

    Raises:
        DataError: Wrong shapes or values.
    """
    by_class = class_ranking(scores, targets)
    scored = by_class.ap[~np.isnan(by_class.ap)]
    areas = by_class.auc[~np.isnan(by_class.auc)]
    auc = float(areas.mean()) if len(areas) else math.nan
    return {
        "map": float(scored.mean()) if len(scored) else math.nan,
        "auc": auc,
        "dprime": dprime(auc),
        "ranked_classes": float(len(scored)),
    }
