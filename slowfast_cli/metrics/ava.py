"""Average precision of classified boxes, as in the official AVA evaluation.

Shapes: N boxes, C classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from slowfast_cli.metrics.predictions import Rows, scored_segments, single_label_set
from slowfast_cli.metrics.ranking import interpolated_precision
from slowfast_cli.types import Box, Corpus, DataError

IOU = 0.5  # of the detection task (AVSlowFast Sec. 5)
MatchOrder = Literal["input", "score"]


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Boxes with one class each, detected or annotated."""

    image: np.ndarray  # index of the image that each box is in, (N,) integers
    boxes: np.ndarray  # left, top, right, bottom, (N, 4); relative to the image or in pixels
    classes: np.ndarray  # class indices, (N,)
    scores: np.ndarray  # confidences, (N,); ignored for annotations

    def __post_init__(self) -> None:
        count = len(self.image)
        if self.boxes.shape != (count, 4) or self.classes.shape != (count,) or self.scores.shape != (count,):
            raise DataError(
                f"boxes: shapes {[x.shape for x in vars(self).values()]}, expected (N,), (N, 4), (N,) and (N,)"
            )
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.scores).all()):
            raise DataError("boxes: NaN or infinity in coordinates or scores: evaluate an earlier checkpoint")

    def select(self, rows: np.ndarray) -> Detections:
        """Select rows by a mask (N,) or by indices, in their order."""
        return Detections(
            image=self.image[rows], boxes=self.boxes[rows], classes=self.classes[rows], scores=self.scores[rows]
        )


def average_precisions(
    detections: Detections, truth: Detections, classes: int, iou: float = IOU, *, match_order: MatchOrder = "input"
) -> np.ndarray:
    """Compute the PASCAL VOC average precision of every class.

    A detection is compared with the annotated box of its class and image that it overlaps most. It is a true positive
    if the overlap suffices and no other detection was matched to that box before; a second detection of the same
    person is a false positive and is not matched to the next best box. Precision is interpolated: the maximum at that
    recall or above. Ties in score keep the input order. Boxes without area are ignored; boxes may extend beyond the
    image.

    PySlowFast's evaluation, the source of the published numbers, matches detections in input order; the ActivityNet
    challenge's evaluation matches them by descending score.

    Args:
        detections: Predicted boxes. Those in images without annotations are false positives.
        truth: Annotated boxes; their scores are ignored.
        classes: Number of classes.
        iou: Minimum intersection over union of a match.
        match_order: Order in which detections are matched.

    Returns:
        (C,) from 0 to 1; NaN for a class without annotated boxes.

    Raises:
        DataError: A class index is out of range.
    """
    for boxes in (detections, truth):
        if len(boxes.classes) and not 0 <= int(boxes.classes.min()) <= int(boxes.classes.max()) < classes:
            raise DataError(
                f"boxes: class indices go from {boxes.classes.min()} to {boxes.classes.max()}, but there are {classes} "
                "classes; use the class list the model was trained with"
            )
    left, top, right, bottom = detections.boxes.T
    detections = detections.select((left < right) & (top < bottom))
    by_score = np.lexsort((-detections.scores, detections.classes))
    order = np.arange(len(by_score)) if match_order == "input" else by_score
    hits = _match(detections, truth, classes, iou, order)[by_score]
    truth_counts = np.bincount(truth.classes, minlength=classes)
    ends = np.cumsum(np.bincount(detections.classes, minlength=classes))
    result = np.full(classes, np.nan)
    for index in np.flatnonzero(truth_counts):
        own = hits[ends[index - 1] if index else 0 : ends[index]]
        result[index] = interpolated_precision(own, int(truth_counts[index]))
    return result


def _match(detections: Detections, truth: Detections, classes: int, iou: float, order: np.ndarray) -> np.ndarray:
    """Mark the true positives, (N,), when detections are matched in the given order of rows, (N,)."""
    truth_keys = truth.image.astype(np.int64) * classes + truth.classes
    by_key = np.argsort(truth_keys, kind="stable")
    truth_keys, boxes = truth_keys[by_key], truth.boxes[by_key]
    keys = detections.image.astype(np.int64) * classes + detections.classes
    first = np.searchsorted(truth_keys, keys, "left")
    candidates = np.searchsorted(truth_keys, keys, "right") - first
    best = np.full(len(keys), -1.0)
    match = np.zeros(len(keys), dtype=np.int64)
    # One iteration per annotated box of the same class in the same image: a few.
    for step in range(int(candidates.max(initial=0))):
        rows = np.flatnonzero(candidates > step)
        overlap = _iou(detections.boxes[rows], boxes[first[rows] + step])
        better = overlap > best[rows]
        best[rows[better]] = overlap[better]
        match[rows[better]] = first[rows[better]] + step
    close = order[best[order] >= iou]
    hits = np.zeros(len(keys), dtype=bool)
    hits[close[np.unique(match[close], return_index=True)[1]]] = True
    return hits


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of two lists of boxes (N, 4), row by row."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    intersection = np.maximum(sides, 0).prod(axis=1)
    union = (a[:, 2:] - a[:, :2]).prod(axis=1) + (b[:, 2:] - b[:, :2]).prod(axis=1) - intersection
    overlaps: np.ndarray = np.divide(intersection, union, out=np.zeros(len(a)), where=union > 0)
    return overlaps


def box_scores(rows: Rows, corpus: Corpus) -> dict[str, float]:
    """Compute the mean average precision over the scored classes with annotated boxes (AVSlowFast Sec. 5).

    Args:
        rows: One row per box.
        corpus: The split; ``scored`` lists the classes that count.

    Returns:
        From 0 to 1: ``map`` with PySlowFast's matching, ``challenge_map`` with the ActivityNet challenge's, see
        `average_precisions`. NaN if there is no annotated box of a scored class.
    """
    return {"map": _mean(per_class(rows, corpus)), "challenge_map": _mean(per_class(rows, corpus, match_order="score"))}


def _mean(values: np.ndarray) -> float:
    valid = values[~np.isnan(values)]
    return float(valid.mean()) if len(valid) else math.nan


def per_class(rows: Rows, corpus: Corpus, *, match_order: MatchOrder = "input") -> np.ndarray:
    """Compute the average precision of every class.

    A segment's annotations count if its boxes have predictions, or if the detector found no box in it (missed
    detections). Segments whose boxes have no predictions were unreadable, and are excluded.

    Args:
        rows: One row per box.
        corpus: The split.
        match_order: See `average_precisions`.

    Returns:
        (C,) from 0 to 1; NaN for classes without annotated boxes and for those that are not scored.

    Raises:
        DataError: Rows without box coordinates, scores of other classes, rows of unknown segments, or a corpus with
            several label sets.
    """
    labels = single_label_set(corpus)
    scores, classes = rows.scores[labels], len(corpus.classes[labels])
    if rows.places is None or scores.shape[1] != classes:
        raise DataError(
            f"{corpus.name}: the predictions have "
            f"{'no box coordinates' if rows.places is None else f'scores of {scores.shape[1]} classes'}, expected a "
            f"box per row and {classes} classes: predict the boxes of this split"
        )
    images = _images(rows, corpus)
    image = np.array([images[id_] for id_ in rows.ids], dtype=np.int64)
    truth = _truth(corpus, images)
    result = np.full(classes, np.nan)
    for index in sorted(corpus.scored.get(labels, range(classes))):
        # One class at a time: the table of all boxes and classes at once would be 60 times as long.
        own = truth.select(truth.classes == index)
        detections = Detections(
            image=image, boxes=rows.places, classes=np.zeros(len(image), np.int64), scores=scores[:, index]
        )
        own = Detections(image=own.image, boxes=own.boxes, classes=np.zeros_like(own.classes), scores=own.scores)
        result[index] = average_precisions(detections, own, 1, match_order=match_order)[0]
    return result


def truth_counts(rows: Rows, corpus: Corpus) -> np.ndarray:
    """Count the annotated boxes of every class (C,) in the segments that `per_class` scores."""
    return np.bincount(
        _truth(corpus, _images(rows, corpus)).classes, minlength=len(corpus.classes[single_label_set(corpus)])
    )


def _images(rows: Rows, corpus: Corpus) -> dict[str, int]:
    """Number the scored segments, by id."""
    images = {segment.id: image for image, segment in enumerate(scored_segments(rows.ids, corpus))}
    unknown = set(rows.ids) - images.keys()
    if unknown:
        raise DataError(
            f"predictions: {len(unknown)} segments are not in this split, such as {min(unknown)!r}: score their split"
        )
    return images


def _truth(corpus: Corpus, images: dict[str, int]) -> Detections:
    annotations: list[tuple[int, Box, int]] = [
        (images[segment.id], box, index)
        for segment in corpus.segments
        if segment.id in images
        for box in segment.truth or segment.boxes
        for index in box.targets
    ]
    return Detections(
        image=np.array([image for image, _, _ in annotations], dtype=np.int64),
        boxes=np.array([box.place for _, box, _ in annotations], dtype=np.float64).reshape(-1, 4),
        classes=np.array([index for _, _, index in annotations], dtype=np.int64),
        scores=np.ones(len(annotations)),
    )
