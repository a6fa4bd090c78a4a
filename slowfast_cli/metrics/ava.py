"""Average precision of labelled boxes, as AVA's official evaluation counts it.

Shapes: N labelled boxes, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from slowfast_cli.metrics.predictions import Rows, only_labels, scorable, stack
from slowfast_cli.types import Box, Corpus, DataError, Prediction

IOU = 0.5  # of the detection task (AVSlowFast Sec. 5)
Claims = Literal["listed", "surest"]


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Boxes with one class each: those that a model found, or those that people annotated.

    Attributes:
        image: Which picture each lies in, (N,) whole numbers.
        boxes: Left, top, right, bottom, (N, 4); shares of the picture, or pixels.
        classes: Class indices, (N,).
        scores: Higher is surer, (N,); of annotated boxes they do not matter.
    """

    image: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.image)
        if self.boxes.shape != (count, 4) or self.classes.shape != (count,) or self.scores.shape != (count,):
            raise DataError(
                f"boxes: shapes {self.image.shape}, {self.boxes.shape}, {self.classes.shape} and {self.scores.shape}; "
                "right are N pictures, (N, 4) boxes, N classes and N scores"
            )
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.scores).all()):
            raise DataError(
                "boxes: some hold NaN or infinity; finite numbers are right: the model has diverged, evaluate an "
                "earlier checkpoint"
            )

    def where(self, rows: np.ndarray) -> Detections:
        """Those of some rows: a mask (N,), or row numbers in the order wanted."""
        return Detections(
            image=self.image[rows], boxes=self.boxes[rows], classes=self.classes[rows], scores=self.scores[rows]
        )


def average_precisions(
    found: Detections, truth: Detections, classes: int, iou: float = IOU, *, claims: Claims = "listed"
) -> np.ndarray:
    """Average precision of every class, PASCAL VOC's.

    A box found in a picture is compared with the annotated box of its class that it overlaps most. It is right when
    they overlap enough and no other has claimed that one: the second on the same person is wrong, and is not handed
    on to the next best. Precision at a recall is the best at that recall or above. Of equal scores the earlier comes
    first. Boxes without area are no detections; boxes may reach out of the picture.

    Of two boxes on one person, PySlowFast's evaluation, which the published numbers come from, lets the one listed
    first claim it; that of the ActivityNet challenge, which sorts the boxes before, the surer one.

    Args:
        found: By the model. Those in pictures without truth are wrong.
        truth: Annotated; its scores are not read.
        classes: How many there are.
        iou: Least intersection over union of a match.
        claims: Which of several boxes on one person is right.

    Returns:
        (C,) from 0 to 1; NaN for a class without truth.

    Raises:
        DataError: A class that there is not.
    """
    for boxes in (found, truth):
        if len(boxes.classes) and not 0 <= int(boxes.classes.min()) <= int(boxes.classes.max()) < classes:
            raise DataError(
                f"boxes: classes go from {boxes.classes.min()} to {boxes.classes.max()}, but there are {classes}; "
                "use the class list the model was trained with"
            )
    left, top, right, bottom = found.boxes.T
    found = found.where((left < right) & (top < bottom))
    best_first = np.lexsort((-found.scores, found.classes))
    hits = _hits(found, truth, classes, iou, np.arange(len(best_first)) if claims == "listed" else best_first)
    hits = hits[best_first]
    wanted = np.bincount(truth.classes, minlength=classes)
    ends = np.cumsum(np.bincount(found.classes, minlength=classes))
    result = np.full(classes, np.nan)
    for index in np.flatnonzero(wanted):
        result[index] = _area(hits[ends[index - 1] if index else 0 : ends[index]], int(wanted[index]))
    return result


def _hits(found: Detections, truth: Detections, classes: int, iou: float, turns: np.ndarray) -> np.ndarray:
    """Which of the boxes found are right, (N,), when they claim the truth in the order of ``turns``, (N,) rows."""
    keys = truth.image.astype(np.int64) * classes + truth.classes
    order = np.argsort(keys, kind="stable")
    keys, boxes = keys[order], truth.boxes[order]
    wanted = found.image.astype(np.int64) * classes + found.classes
    first = np.searchsorted(keys, wanted, "left")
    rivals = np.searchsorted(keys, wanted, "right") - first
    best = np.full(len(wanted), -1.0)
    match = np.zeros(len(wanted), dtype=np.int64)
    # One step for each person who does the same in the same picture: a few.
    for step in range(int(rivals.max(initial=0))):
        rows = np.flatnonzero(rivals > step)
        overlap = _overlap(found.boxes[rows], boxes[first[rows] + step])
        better = overlap > best[rows]
        best[rows[better]] = overlap[better]
        match[rows[better]] = first[rows[better]] + step
    close = turns[best[turns] >= iou]
    hits = np.zeros(len(wanted), dtype=bool)
    hits[close[np.unique(match[close], return_index=True)[1]]] = True
    return hits


def _overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of the boxes (N, 4) of two lists, row by row."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    inside = np.maximum(sides, 0).prod(axis=1)
    union = (a[:, 2:] - a[:, :2]).prod(axis=1) + (b[:, 2:] - b[:, :2]).prod(axis=1) - inside
    shares: np.ndarray = np.divide(inside, union, out=np.zeros(len(a)), where=union > 0)
    return shares


def _area(hits: np.ndarray, wanted: int) -> float:
    """Area under the precision-recall curve of boxes that come best first."""
    at = np.flatnonzero(hits)
    precision = np.arange(1, len(at) + 1) / (at + 1)
    return float(np.maximum.accumulate(precision[::-1]).sum() / wanted)


def score(predictions: Sequence[Prediction], corpus: Corpus) -> dict[str, float]:
    """Mean average precision over the classes that count and that someone shows (AVSlowFast Sec. 5).

    Args:
        predictions: One per box, see `slowfast_cli.metrics.predictions.merge`.
        corpus: The split; ``scored`` says which classes count.

    Returns:
        See `box_scores`.

    Raises:
        DataError: See `per_class`.
    """
    return box_scores(stack(predictions, corpus.segments), corpus)


def box_scores(rows: Rows, corpus: Corpus) -> dict[str, float]:
    """As `score`, from predictions that are arrays already.

    Returns:
        From 0 to 1: ``map`` as PySlowFast counts, ``challenge_map`` as the ActivityNet challenge does, see
        `average_precisions`. NaN if nobody shows anything that counts.
    """
    return {
        "map": _mean(by_class(rows, corpus)),
        "challenge_map": _mean(by_class(rows, corpus, claims="surest")),
    }


def _mean(by_class: np.ndarray) -> float:
    there = by_class[~np.isnan(by_class)]
    return float(there.mean()) if len(there) else math.nan


def per_class(predictions: Sequence[Prediction], corpus: Corpus) -> np.ndarray:
    """Average precision of every class.

    Args:
        predictions: One per box, see `slowfast_cli.metrics.predictions.merge`.
        corpus: The split.

    Returns:
        (C,) from 0 to 1; NaN for classes that nobody shows or that do not count.

    Raises:
        DataError: No predictions, predictions for other segments, or a corpus of several label sets.
    """
    return by_class(stack(predictions, corpus.segments), corpus)


def by_class(rows: Rows, corpus: Corpus, *, claims: Claims = "listed") -> np.ndarray:
    """As `per_class`, from predictions that are arrays already.

    A segment's truth counts when its boxes have predictions, or when the detector found no box there: what it missed
    is missed. Segments whose boxes have no predictions could not be read, and do not count.

    Args:
        rows: A row a box.
        corpus: The split.
        claims: See `average_precisions`.

    Raises:
        DataError: No places in the rows, scores of other classes, or a corpus of several label sets.
    """
    labels = only_labels(corpus)
    scores, classes = rows.scores[labels], len(corpus.classes[labels])
    if rows.places is None or scores.shape[1] != classes:
        raise DataError(
            f"{corpus.name}: {'no places of boxes' if rows.places is None else f'scores of {scores.shape[1]} classes'}"
            f" in the predictions; right is a place a row and {classes} classes: predict this split's own boxes"
        )
    images = _images(rows, corpus)
    image = np.array([images[id_] for id_ in rows.ids], dtype=np.int64)
    truth = _truth(corpus, images)
    result = np.full(classes, np.nan)
    for index in sorted(corpus.scored.get(labels, range(classes))):
        # Class by class: a table of all boxes and classes at once would be 60 times as long.
        own = truth.where(truth.classes == index)
        found = Detections(
            image=image, boxes=rows.places, classes=np.zeros(len(image), np.int64), scores=scores[:, index]
        )
        one = Detections(image=own.image, boxes=own.boxes, classes=np.zeros_like(own.classes), scores=own.scores)
        result[index] = average_precisions(found, one, 1, claims=claims)[0]
    return result


def truth_counts(rows: Rows, corpus: Corpus) -> np.ndarray:
    """Annotated boxes of every class (C,) in the segments that count, see `by_class`."""
    return np.bincount(
        _truth(corpus, _images(rows, corpus)).classes, minlength=len(corpus.classes[only_labels(corpus)])
    )


def _images(rows: Rows, corpus: Corpus) -> dict[str, int]:
    """A number for each segment that counts, by its id."""
    images = {segment.id: image for image, segment in enumerate(scorable(rows.ids, corpus))}
    strange = set(rows.ids) - images.keys()
    if strange:
        raise DataError(
            f"predictions: {len(strange)} are for segments that are not in the list, as {min(strange)!r}; "
            "score them with the split they were made for"
        )
    return images


def _truth(corpus: Corpus, images: dict[str, int]) -> Detections:
    listed: list[tuple[int, Box, int]] = [
        (images[segment.id], box, index)
        for segment in corpus.segments
        if segment.id in images
        for box in segment.truth or segment.boxes
        for index in box.targets
    ]
    return Detections(
        image=np.array([image for image, _, _ in listed], dtype=np.int64),
        boxes=np.array([box.place for _, box, _ in listed], dtype=np.float64).reshape(-1, 4),
        classes=np.array([index for _, _, index in listed], dtype=np.int64),
        scores=np.ones(len(listed)),
    )
