"""Top-k accuracy.

Shapes: N segments, C classes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from slowfast_cli.types import DataError


def check(scores: np.ndarray, targets: np.ndarray, what: str = "scores") -> None:
    """Refuse arrays that no accuracy can be made of.

    Args:
        scores: (N, C), finite.
        targets: (N,) whole numbers from 0 to C - 1.
        what: Their name in the message.

    Raises:
        DataError: Wrong shapes, no rows, NaN or infinite scores, targets that are no class.
    """
    if scores.ndim != 2 or targets.shape != scores.shape[:1] or not scores.size:
        raise DataError(
            f"{what}: shapes {scores.shape} and {targets.shape}; right are (segments, classes) scores, at least one, "
            "and one target a segment"
        )
    if not np.issubdtype(targets.dtype, np.integer):
        raise DataError(f"{what}: targets are {targets.dtype}; right are class indices, whole numbers")
    check_finite(scores, what)
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= scores.shape[1]:
        raise DataError(
            f"{what}: targets go from {low} to {high}, but there are {scores.shape[1]} classes; "
            "use the class list the model was trained with"
        )


def check_finite(scores: np.ndarray, what: str = "scores") -> None:
    """Refuse NaN and infinity, which would count as right or wrong by accident.

    Raises:
        DataError: With the first row that holds one.
    """
    bad = ~np.isfinite(scores).all(axis=1)
    if bad.any():
        raise DataError(
            f"{what}: row {int(bad.argmax())} and {int(bad.sum()) - 1} others hold NaN or infinity; finite numbers are "
            "right: the model has diverged, evaluate an earlier checkpoint"
        )


def ranks(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Place of each target among the classes of its row, from 0.

    Ties go by class index: of equal scores the lower index comes first, so a row without information is no hit by luck
    and the same scores give the same ranks on every machine.

    Args:
        scores: (N, C).
        targets: Class indices (N,).

    Returns:
        (N,) int64; a hit at k is a rank below k.
    """
    own = np.take_along_axis(scores, targets[:, None], axis=1)
    before = np.arange(scores.shape[1]) < targets[:, None]
    places: np.ndarray = ((scores > own) | ((scores == own) & before)).sum(axis=1)
    return places


def accuracy(hits: np.ndarray) -> float:
    """Share of hits in percent.

    Args:
        hits: (N,) bool, N at least 1.
    """
    return 100.0 * int(np.count_nonzero(hits)) / len(hits)


def topk_accuracy(scores: np.ndarray, targets: np.ndarray, ks: Sequence[int] = (1, 5)) -> dict[str, float]:
    """Share of segments whose target is among the k best classes (ASF Tables 2-4).

    Args:
        scores: (N, C), higher is better: probabilities or logits.
        targets: Class indices (N,).
        ks: The values of k; one above C counts every segment.

    Returns:
        ``{"top1": ..., "top5": ...}`` in percent; ties as in `ranks`.

    Raises:
        DataError: See `check`.
    """
    check(scores, targets)
    places = ranks(scores, targets)
    return {f"top{k}": accuracy(places < k) for k in ks}


def restrict(scores: np.ndarray, targets: np.ndarray, kept: Collection[int]) -> tuple[np.ndarray, np.ndarray]:
    """Let only some outputs of a model compete, as when Kinetics-Sounds is told apart by a model of 400 classes.

    Args:
        scores: Probabilities (N, C).
        targets: Class indices (N,), all of them kept.
        kept: Indices of the K classes that compete.

    Returns:
        Probabilities (N, K) that sum to 1 again, classes in the order of their indices, and targets (N,) among them.

    Raises:
        DataError: See `check`; or a target that is not kept, a kept class that there is not.
    """
    check(scores, targets)
    columns = np.array(sorted(kept), dtype=np.int64)
    if not len(columns) or columns[0] < 0 or columns[-1] >= scores.shape[1]:
        raise DataError(
            f"scores: {scores.shape[1]} classes, none or others of which are to compete: {columns.tolist()}"
        )
    places = np.minimum(np.searchsorted(columns, targets), len(columns) - 1)
    strange = columns[places] != targets
    if strange.any():
        raise DataError(
            f"scores: {int(strange.sum())} targets, as {int(targets[strange.argmax()])}, are of classes that do not "
            f"compete; right are those of the {len(columns)} that do: leave the others out of the split"
        )
    part = scores[:, columns].astype(np.float64)
    total = part.sum(axis=1, keepdims=True)
    return np.divide(part, total, out=part, where=total > 0), places
