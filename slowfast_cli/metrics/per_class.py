"""What a model does class by class, and where one does better than another.

Shapes: N segments, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from slowfast_cli.metrics import ava
from slowfast_cli.metrics.predictions import Rows, boxed
from slowfast_cli.metrics.ranking import class_ranking
from slowfast_cli.metrics.topk import check, ranks, restrict
from slowfast_cli.types import Corpus, DataError

By = Literal["points", "ratio"]
ACCURACY, PRECISION = "accuracy", "average precision"


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """One line of the per-class table.

    Attributes:
        index: Class index.
        name: Class name.
        count: Segments, or annotated boxes, of that class.
        accuracy: Share of them whose best class is right, in percent; NaN without segments, and where several classes
            hold at once.
        top5: Share of them with the class among the 5 best, in percent; NaN as before.
        ap: Average precision from 0 to 1; NaN without segments.
        auc: Area under the ROC curve from 0 to 1; NaN without segments, and of boxes.
    """

    index: int
    name: str
    count: int
    accuracy: float
    top5: float
    ap: float
    auc: float

    @property
    def value(self) -> float:
        """What classes are compared by, in percent: accuracy, or average precision where that says nothing."""
        return 100 * self.ap if math.isnan(self.accuracy) and math.isnan(self.top5) else self.accuracy


@dataclass(frozen=True, kw_only=True)
class Gain:
    """A class that one model does better than another.

    Attributes:
        name: Of the class.
        better: Value of the better model in percent, see `measure`.
        worse: Value of the other.
    """

    name: str
    better: float
    worse: float

    @property
    def points(self) -> float:
        """The difference in percentage points."""
        return self.better - self.worse

    @property
    def ratio(self) -> float:
        """How many times as good; infinite where the other is never right."""
        return self.better / self.worse if self.worse else math.inf


def measure(rows: Sequence[ClassRow]) -> str:
    """What `ClassRow.value` is in a table, in words."""
    return PRECISION if any(math.isnan(row.accuracy) and not math.isnan(row.value) for row in rows) else ACCURACY


def tables(rows: Rows, corpus: Corpus) -> dict[str, tuple[ClassRow, ...]]:
    """The per-class tables of predictions, by label set; none for label sets without labels.

    Args:
        rows: Of the corpus's segments or of their boxes.
        corpus: The split. Classes that do not compete, or do not count, are not in the tables.

    Raises:
        DataError: Wrong shapes or values.
    """
    if boxed(corpus):
        return _of_boxes(rows, corpus)
    made = {}
    for labels, targets in rows.targets.items():
        scores, names, kept = rows.scores[labels], corpus.classes[labels], sorted(corpus.scored.get(labels, ()))
        if kept and targets.ndim == 1:
            part = class_rows(*restrict(scores, targets, kept), [names[index] for index in kept])
            made[labels] = tuple(replace(row, index=index) for row, index in zip(part, kept, strict=True))
        else:
            made[labels] = class_rows(scores, targets, names)
    return made


def _of_boxes(rows: Rows, corpus: Corpus) -> dict[str, tuple[ClassRow, ...]]:
    ap, counts = ava.by_class(rows, corpus), ava.truth_counts(rows, corpus)
    ((labels, names),) = corpus.classes.items()
    return {
        labels: tuple(
            ClassRow(
                index=index,
                name=names[index],
                count=int(counts[index]),
                accuracy=math.nan,
                top5=math.nan,
                ap=float(ap[index]),
                auc=math.nan,
            )
            for index in sorted(corpus.scored.get(labels, range(len(names))))
        )
    }


def class_rows(scores: np.ndarray, targets: np.ndarray, names: Sequence[str]) -> tuple[ClassRow, ...]:
    """The per-class table, in the order of the classes.

    Args:
        scores: (N, C), higher is better.
        targets: Class indices (N,), or (N, C) of zeros and ones where several hold at once.
        names: Of the classes, C.

    Raises:
        DataError: Wrong shapes or values, or another number of names.
    """
    ranking = class_ranking(scores, targets)
    if len(names) != scores.shape[1]:
        raise DataError(f"per-class table: {len(names)} names for {scores.shape[1]} classes; right is one each")
    first = fifth = np.full(len(names), np.nan)
    if targets.ndim == 1:
        places = ranks(scores, targets)
        counts = np.bincount(targets, minlength=len(names))
        with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of a class without segments
            first = 100 * np.bincount(targets, weights=places < 1, minlength=len(names)) / counts
            fifth = 100 * np.bincount(targets, weights=places < 5, minlength=len(names)) / counts
    else:
        counts = targets.astype(bool).sum(axis=0)
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


def confusions(rows: Rows, corpus: Corpus) -> dict[str, tuple[np.ndarray, tuple[str, ...]]]:
    """Confusion counts (C, C), and the names of their classes, of label sets with one class a segment.

    Args:
        rows: Of the corpus's segments.
        corpus: The split; classes that do not compete are not in the counts.

    Raises:
        DataError: Wrong shapes or values.
    """
    made = {}
    for labels, targets in rows.targets.items():
        if targets.ndim == 1:
            scores, names = rows.scores[labels], corpus.classes[labels]
            if labels in corpus.scored:
                names = tuple(names[index] for index in sorted(corpus.scored[labels]))
                scores, targets = restrict(scores, targets, corpus.scored[labels])  # noqa: PLW2901
            made[labels] = (confusion(scores, targets), names)
    return made


def gains(a: Sequence[ClassRow], b: Sequence[ClassRow], above: float, *, by: By = "points") -> tuple[Gain, ...]:
    """Classes that ``a`` does better than ``b`` (ASF App. A, Fig. 2: 20 points for Slow, 10 for Fast).

    AVSlowFast App. A.3 lists classes of AVA by points of average precision, and by how many times it has grown.

    Args:
        a: Table of the one model.
        b: Table of the other, of the same classes.
        above: The value of ``a`` is more than this many percentage points higher, or times as high.
        by: ``points`` or ``ratio``; a class that ``b`` never gets right has no ratio, and is not in that list.

    Returns:
        The largest gain first, equal ones by name; classes without segments are never in it.

    Raises:
        DataError: The tables are of different classes.
    """
    if [row.name for row in a] != [row.name for row in b]:
        raise DataError(
            f"comparison: the tables have different classes ({len(a)} and {len(b)}); compare runs on one class list"
        )
    pairs = [Gain(name=one.name, better=one.value, worse=other.value) for one, other in zip(a, b, strict=True)]
    if by == "ratio":
        found = [gain for gain in pairs if gain.worse > 0 and gain.ratio > above]
        return tuple(sorted(found, key=lambda gain: (-gain.ratio, gain.name)))
    found = [gain for gain in pairs if gain.points > above]
    return tuple(sorted(found, key=lambda gain: (-gain.points, gain.name)))
