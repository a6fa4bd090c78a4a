"""Per-class tables, confusion matrices, and the classes on which one model beats another.

Shapes: N segments, C classes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from slowfast_cli.metrics import ava
from slowfast_cli.metrics.predictions import Rows, has_boxes
from slowfast_cli.metrics.ranking import class_ranking
from slowfast_cli.metrics.topk import check_scores, ranks, restrict
from slowfast_cli.types import Corpus, DataError

GainUnit = Literal["points", "ratio"]
ACCURACY, PRECISION = "accuracy", "average precision"


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """One row of the per-class table; values are NaN for a class without segments."""

    index: int
    name: str
    count: int  # segments, or annotated boxes, of the class
    accuracy: float  # recall at top-1 in percent; NaN for multi-label targets
    top5: float  # recall at top-5 in percent; NaN for multi-label targets
    ap: float  # average precision from 0 to 1
    auc: float  # area under the ROC curve from 0 to 1; NaN for boxes

    @property
    def value(self) -> float:
        """The value that comparisons use, in percent: accuracy, or average precision if that is undefined."""
        return 100 * self.ap if math.isnan(self.accuracy) and math.isnan(self.top5) else self.accuracy


@dataclass(frozen=True, kw_only=True)
class Gain:
    """A class on which one model beats another; values in percent, see `measure`."""

    name: str
    better: float
    worse: float

    @property
    def points(self) -> float:
        """The difference in percentage points."""
        return self.better - self.worse

    @property
    def ratio(self) -> float:
        """The better value over the worse; infinite if the latter is 0."""
        return self.better / self.worse if self.worse else math.inf


def measure(rows: Sequence[ClassRow]) -> str:
    """Return the name of the metric that `ClassRow.value` holds in a table."""
    return PRECISION if any(math.isnan(row.accuracy) and not math.isnan(row.value) for row in rows) else ACCURACY


def tables(rows: Rows, corpus: Corpus) -> dict[str, tuple[ClassRow, ...]]:
    """Compute the per-class table of each label set with targets, of the scored classes.

    Raises:
        DataError: Wrong shapes or values.
    """
    if has_boxes(corpus):
        return _box_tables(rows, corpus)
    result = {}
    for labels, targets in rows.targets.items():
        scores, names, kept = rows.scores[labels], corpus.classes[labels], sorted(corpus.scored.get(labels, ()))
        if kept and targets.ndim == 1:
            part = class_rows(*restrict(scores, targets, kept), [names[index] for index in kept])
            result[labels] = tuple(replace(row, index=index) for row, index in zip(part, kept, strict=True))
        else:
            result[labels] = class_rows(scores, targets, names)
    return result


def _box_tables(rows: Rows, corpus: Corpus) -> dict[str, tuple[ClassRow, ...]]:
    ap, counts = ava.per_class(rows, corpus), ava.truth_counts(rows, corpus)
    ((labels, names),) = corpus.classes.items()
    return {
        labels: tuple(
            ClassRow(
                index=index, name=names[index], count=int(counts[index]), accuracy=math.nan, top5=math.nan,
                ap=float(ap[index]), auc=math.nan,
            )
            for index in sorted(corpus.scored.get(labels, range(len(names))))
        )
    }  # fmt: skip


def class_rows(scores: np.ndarray, targets: np.ndarray, names: Sequence[str]) -> tuple[ClassRow, ...]:
    """Compute the per-class table, ordered by class index.

    Args:
        scores: (N, C), higher is better.
        targets: Class indices (N,), or multi-hot (N, C).
        names: Names of the C classes.

    Raises:
        DataError: Wrong shapes or values, or a wrong number of names.
    """
    ranking = class_ranking(scores, targets)
    if len(names) != scores.shape[1]:
        raise DataError(f"per-class table: {len(names)} names for {scores.shape[1]} classes, expected one each")
    top1 = top5 = np.full(len(names), np.nan)
    if targets.ndim == 1:
        target_ranks = ranks(scores, targets)
        counts = np.bincount(targets, minlength=len(names))
        with np.errstate(invalid="ignore"):  # 0 / 0: NaN for a class without segments
            top1 = 100 * np.bincount(targets, weights=target_ranks < 1, minlength=len(names)) / counts
            top5 = 100 * np.bincount(targets, weights=target_ranks < 5, minlength=len(names)) / counts
    else:
        counts = targets.astype(bool).sum(axis=0)
    return tuple(
        ClassRow(
            index=i, name=name, count=int(counts[i]), accuracy=float(top1[i]), top5=float(top5[i]),
            ap=float(ranking.ap[i]), auc=float(ranking.auc[i]),
        )
        for i, name in enumerate(names)
    )  # fmt: skip


def confusion_matrix(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Count the segments of each true class by predicted class.

    Args:
        scores: (N, C), higher is better; ties predict the lowest index.
        targets: Class indices (N,).

    Returns:
        (C, C) int64: rows are true classes, columns predicted ones.

    Raises:
        DataError: Wrong shapes or values.
    """
    check_scores(scores, targets)
    classes = scores.shape[1]
    pairs = targets.astype(np.int64) * classes + scores.argmax(axis=1)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def confusion_matrices(rows: Rows, corpus: Corpus) -> dict[str, tuple[np.ndarray, tuple[str, ...]]]:
    """Compute the confusion matrix (C, C) of the scored classes, and their names, per single-label label set.

    Raises:
        DataError: Wrong shapes or values.
    """
    result = {}
    for labels, targets in rows.targets.items():
        if targets.ndim == 1:
            scores, names = rows.scores[labels], corpus.classes[labels]
            if labels in corpus.scored:
                names = tuple(names[index] for index in sorted(corpus.scored[labels]))
                scores, targets = restrict(scores, targets, corpus.scored[labels])  # noqa: PLW2901
            result[labels] = (confusion_matrix(scores, targets), names)
    return result


def gains(
    a: Sequence[ClassRow], b: Sequence[ClassRow], min_gain: float, *, unit: GainUnit = "points"
) -> tuple[Gain, ...]:
    """List the classes on which ``a`` beats ``b`` (ASF App. A, Fig. 2: by 20 points for Slow, by 10 for Fast).

    AVSlowFast App. A.3 lists classes of AVA by points of average precision and by ratio.

    Args:
        a: Per-class table of the first model.
        b: Table of the second model, of the same classes.
        min_gain: Threshold that the gain must exceed, in percentage points or as a ratio.
        unit: ``points`` or ``ratio``; a class with value 0 in ``b`` has no ratio and is left out.

    Returns:
        Gains in descending order, ties by name, without classes that have no segments.

    Raises:
        DataError: The tables have different classes.
    """
    if [row.name for row in a] != [row.name for row in b]:
        raise DataError("comparison: the tables have different classes: compare runs with the same class list")
    pairs = [Gain(name=row.name, better=row.value, worse=other.value) for row, other in zip(a, b, strict=True)]
    if unit == "ratio":
        selected = [gain for gain in pairs if gain.worse > 0 and gain.ratio > min_gain]
        return tuple(sorted(selected, key=lambda gain: (-gain.ratio, gain.name)))
    selected = [gain for gain in pairs if gain.points > min_gain]
    return tuple(sorted(selected, key=lambda gain: (-gain.points, gain.name)))
