"""Top-k accuracy.

Shapes: N segments, C classes.
"""

from collections.abc import Collection, Sequence

import numpy as np

from slowfast_cli.types import DataError


def check_scores(scores: np.ndarray, targets: np.ndarray, name: str = "scores") -> None:
    """Validate scores and targets.

    Args:
        scores: (N, C), finite, N at least 1.
        targets: (N,) integers from 0 to C - 1.
        name: Name of the scores in error messages.

    Raises:
        DataError: Wrong shapes, no rows, NaN or infinite scores, or target indices out of range.
    """
    if scores.ndim != 2 or targets.shape != scores.shape[:1] or not scores.size:
        raise DataError(
            f"{name}: shapes {scores.shape} and {targets.shape}, expected (segments, classes) and (segments,) with at "
            "least one segment"
        )
    if not np.issubdtype(targets.dtype, np.integer):
        raise DataError(f"{name}: targets have dtype {targets.dtype}, expected integer class indices")
    check_finite(scores, name)
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= scores.shape[1]:
        raise DataError(
            f"{name}: targets from {low} to {high} for {scores.shape[1]} classes: use the class list of the model"
        )


def check_finite(scores: np.ndarray, name: str = "scores") -> None:
    """Raise a `DataError` that names the first row with NaN or infinity, if any."""
    bad = ~np.isfinite(scores).all(axis=1)
    if bad.any():
        raise DataError(
            f"{name}: row {int(bad.argmax())} and {int(bad.sum()) - 1} others contain NaN or infinity, expected finite "
            "numbers: the model has diverged, evaluate an earlier checkpoint"
        )


def ranks(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Rank each target among the classes of its row, from 0.

    Ties are ranked by class index, lowest first: the result is deterministic, and constant scores give no chance hits.

    Args:
        scores: (N, C).
        targets: Class indices (N,).

    Returns:
        (N,) int64; a target is in the top k if its rank is below k.
    """
    own = np.take_along_axis(scores, targets[:, None], axis=1)
    before = np.arange(scores.shape[1]) < targets[:, None]
    target_ranks: np.ndarray = ((scores > own) | ((scores == own) & before)).sum(axis=1)
    return target_ranks


def accuracy(hits: np.ndarray) -> float:
    """Return the share of hits, (N,) bool with N at least 1, in percent."""
    return 100.0 * int(np.count_nonzero(hits)) / len(hits)


def topk_accuracy(scores: np.ndarray, targets: np.ndarray, ks: Sequence[int] = (1, 5)) -> dict[str, float]:
    """Compute the share of segments whose target is among the top k classes (ASF Tables 2-4).

    Args:
        scores: (N, C), higher is better: probabilities or logits.
        targets: Class indices (N,).
        ks: Values of k; above C every segment is a hit.

    Returns:
        ``{"top1": ..., "top5": ...}`` in percent; ties as in `ranks`.

    Raises:
        DataError: See `check_scores`.
    """
    check_scores(scores, targets)
    target_ranks = ranks(scores, targets)
    return {f"top{k}": accuracy(target_ranks < k) for k in ks}


def class_mean_accuracy(scores: np.ndarray, targets: np.ndarray) -> float:
    """Compute the top-1 accuracy of each class with segments, and their unweighted mean, in percent.

    Args:
        scores: (N, C), higher is better.
        targets: Class indices (N,).

    Raises:
        DataError: See `check_scores`.

    >>> class_mean_accuracy(np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]), np.array([0, 0, 1, 1]))
    75.0
    """
    check_scores(scores, targets)
    counts = np.bincount(targets)
    hits = np.bincount(targets[ranks(scores, targets) == 0], minlength=len(counts))
    return 100.0 * float((hits[counts > 0] / counts[counts > 0]).mean())


def restrict(scores: np.ndarray, targets: np.ndarray, kept: Collection[int]) -> tuple[np.ndarray, np.ndarray]:
    """Restrict predictions to a subset of classes, for instance a Kinetics-400 model to Kinetics-Sounds.

    Args:
        scores: Probabilities (N, C).
        targets: Class indices (N,), all of them in ``kept``.
        kept: Indices of the K classes of the subset.

    Returns:
        Probabilities (N, K), renormalized, classes in ascending order, and target indices (N,) among the K classes.

    Raises:
        DataError: As `check_scores`; or ``kept`` is empty or out of range, or misses the class of a target.
    """
    check_scores(scores, targets)
    columns = np.array(sorted(kept), dtype=np.int64)
    if not len(columns) or columns[0] < 0 or columns[-1] >= scores.shape[1]:
        raise DataError(
            f"scores: scored classes {columns.tolist()}, expected at least one, from 0 to {scores.shape[1] - 1}"
        )
    indices = np.minimum(np.searchsorted(columns, targets), len(columns) - 1)
    unknown = columns[indices] != targets
    if unknown.any():
        raise DataError(
            f"scores: {int(unknown.sum())} targets, such as {int(targets[unknown.argmax()])}, are not among the "
            f"{len(columns)} scored classes: leave their segments out of the split"
        )
    part = scores[:, columns].astype(np.float64)
    total = part.sum(axis=1, keepdims=True)
    return np.divide(part, total, out=part, where=total > 0), indices
