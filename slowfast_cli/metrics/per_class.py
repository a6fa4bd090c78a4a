"""What a model does class by class, and where one does better than another.

Shapes: N segments, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slowfast_cli.metrics.ranking import class_ranking
from slowfast_cli.metrics.topk import check, ranks
from slowfast_cli.types import DataError


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """One line of the per-class table.

    Attributes:
        index: Class index.
        name: Class name.
        count: Segments of that class.
        accuracy: Share of them whose best class is right, in percent; NaN without segments.
        top5: Share of them with the class among the 5 best, in percent; NaN without segments.
        ap: Average precision from 0 to 1; NaN without segments.
        auc: Area under the ROC curve from 0 to 1; NaN without segments.
    """

    index: int
    name: str
    count: int
    accuracy: float
    top5: float
    ap: float
    auc: float


@dataclass(frozen=True, kw_only=True)
class Gain:
    """A class that one model does better than another.

    Attributes:
        name: Of the class.
        better: Accuracy of the better model in percent.
        worse: Accuracy of the other.
    """

    name: str
    better: float
    worse: float

    @property
    def points(self) -> float:
        """The difference in percentage points."""
        return self.better - self.worse


def class_rows(scores: np.ndarray, targets: np.ndarray, names: Sequence[str]) -> tuple[ClassRow, ...]:
    """The per-class table, in the order of the classes.

    Args:
        scores: (N, C), higher is better.
        targets: Class indices (N,).
        names: Of the classes, C.

    Raises:
        DataError: Wrong shapes or values, or another number of names.
    """
    check(scores, targets)
    if len(names) != scores.shape[1]:
        raise DataError(f"per-class table: {len(names)} names for {scores.shape[1]} classes; right is one each")
    places = ranks(scores, targets)
    counts = np.bincount(targets, minlength=len(names))
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of a class without segments
        first = 100 * np.bincount(targets, weights=places < 1, minlength=len(names)) / counts
        fifth = 100 * np.bincount(targets, weights=places < 5, minlength=len(names)) / counts
    ranking = class_ranking(scores, targets)
    return tuple(
        ClassRow(
            index=i,
            name=name,
            count=int(counts[i]),
            accuracy=float(first[i]),
            top5=float(fifth[i]),
            ap=float(ranking.ap[i]),
            auc=float(ranking.auc[i]),
        )
        for i, name in enumerate(names)
    )


def confusion(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """How often each class was taken for each.

    Args:
        scores: (N, C), higher is better; of equal scores the lower index is the answer.
        targets: Class indices (N,).

    Returns:
        (C, C) int64: rows are the truth, columns the answers.

    Raises:
        DataError: Wrong shapes or values.
    """
    check(scores, targets)
    classes = scores.shape[1]
    pairs = targets.astype(np.int64) * classes + scores.argmax(axis=1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def gains(a: Sequence[ClassRow], b: Sequence[ClassRow], above: float) -> tuple[Gain, ...]:
    """Classes that ``a`` does better than ``b`` (ASF App. A, Fig. 2: 20 points for Slow, 10 for Fast).

    Args:
        a: Table of the one model.
        b: Table of the other, of the same classes.
        above: The accuracy of ``a`` is more than this many percentage points higher.

    Returns:
        The largest gain first, equal ones by name; classes without segments are never in it.

    Raises:
        DataError: The tables are of different classes.
    """
    if [row.name for row in a] != [row.name for row in b]:
        raise DataError(
            f"comparison: the tables have different classes ({len(a)} and {len(b)}); compare runs on one class list"
        )
    found = [
        Gain(name=one.name, better=one.accuracy, worse=other.accuracy)
        for one, other in zip(a, b, strict=True)
        if one.accuracy - other.accuracy > above
    ]
    return tuple(sorted(found, key=lambda gain: (-gain.points, gain.name)))
