"""Merging of the predictions of a segment's views, and conversion of predictions and targets to arrays.

Shapes: N segments, C classes of one label set.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from slowfast_cli.types import Corpus, DataError, Place, Prediction, Segment, Target, did_you_mean

Key: TypeAlias = "tuple[str, Place | None]"  # segment id, and box if any


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Scores and targets of segments or boxes as aligned arrays."""

    ids: tuple[str, ...]  # segment ids
    scores: Mapping[str, np.ndarray]  # probabilities by label set, (N, C)
    targets: Mapping[str, np.ndarray]
    """Class indices (N,) or multi-hot (N, C), by label set; only label sets with labels, none for boxes."""
    places: np.ndarray | None = None  # boxes relative to the frame, (N, 4); None for whole segments


def merge(views: Iterable[Prediction], how: Literal["mean", "max"] = "mean") -> list[Prediction]:
    """Merge the predictions of a segment's views (ASF Sec. 4.2: the mean of 2 or 10 views).

    Views may come in any order and are not kept: memory grows with the number of segments, not of views.

    Args:
        views: One prediction per view; views of a segment share its id, views of a box also its place.
        how: ``mean`` of the probabilities, or their element-wise ``max``.

    Returns:
        One prediction per segment or box, in order of first appearance.
    """
    totals: dict[Key, dict[str, np.ndarray]] = {}
    counts: dict[Key, int] = {}
    for view in views:
        key = (view.id, view.place)
        total = totals.get(key)
        if total is None:
            # Float64 sums, so that the mean of equal views equals the view exactly.
            totals[key] = {name: np.array(scores, dtype=np.float64) for name, scores in view.scores.items()}
            counts[key] = 1
            continue
        for name, scores in view.scores.items():
            (np.add if how == "mean" else np.maximum)(total[name], scores, out=total[name])
        counts[key] += 1
    divisors = counts if how == "mean" else dict.fromkeys(counts, 1)
    return [
        Prediction(
            id=key[0],
            scores={name: (total / divisors[key]).astype(np.float32) for name, total in totals.pop(key).items()},
            place=key[1],
        )
        for key in list(totals)  # a copy: each sum is freed once its mean is computed
    ]


def stack(predictions: Sequence[Prediction], segments: Sequence[Segment]) -> Rows:
    """Convert predictions and targets to arrays, matched by segment id.

    Args:
        predictions: One per segment, or one per box, see `merge`.
        segments: Segments of the corpus; those without a prediction are left out.

    Returns:
        Rows in the order of ``segments``; boxes of a segment in the order of ``predictions``.

    Raises:
        DataError: No predictions, several for a segment or box, one for an unknown segment, or a mix of predictions
            for boxes and for whole segments.
    """
    by_id: dict[str, list[Prediction]] = {}
    for prediction in predictions:
        by_id.setdefault(prediction.id, []).append(prediction)
    _check(predictions, by_id, segments)
    pairs = [(segment, prediction) for segment in segments for prediction in by_id.get(segment.id, ())]
    if not pairs:
        raise DataError(f"predictions: none for the {len(segments)} segments of the split; run predictions first")
    label_sets = tuple(pairs[0][1].scores)
    scores = {name: np.stack([prediction.scores[name] for _, prediction in pairs]) for name in label_sets}
    places = [prediction.place for _, prediction in pairs if prediction.place is not None]
    return Rows(
        ids=tuple(segment.id for segment, _ in pairs),
        scores=scores,
        targets={
            name: _targets([segment.targets[name] for segment, _ in pairs], scores[name].shape[1])
            for name in label_sets
            if all(name in segment.targets for segment, _ in pairs) and not places
        },
        places=np.array(places, dtype=np.float64) if places else None,
    )


def _check(
    predictions: Sequence[Prediction], by_id: Mapping[str, Sequence[Prediction]], segments: Sequence[Segment]
) -> None:
    for id_, own in by_id.items():
        if len({prediction.place for prediction in own}) < len(own):
            raise DataError(
                f"predictions: segment {id_!r} has more than one{' of a box' if own[0].place else ''}, expected one "
                "each: merge the views first"
            )
    if len({prediction.place is None for prediction in predictions}) > 1:
        raise DataError("predictions: some are for boxes, some for whole segments, expected a single kind")
    unknown = by_id.keys() - {segment.id for segment in segments}
    if unknown:
        raise DataError(
            f"predictions: {len(unknown)} segments are not in this split, such as {min(unknown)!r}: score their split"
        )


def _targets(targets: Sequence[Target], classes: int) -> np.ndarray:
    """Convert to class indices (N,), or to multi-hot (N, C) if any target is a tuple."""
    if not any(isinstance(target, tuple) for target in targets):
        return np.array(targets, dtype=np.int64)
    multi_hot = np.zeros((len(targets), classes), dtype=np.int8)
    for row, target in enumerate(targets):
        for index in target if isinstance(target, tuple) else (target,):
            if index >= classes:
                raise DataError(
                    f"predictions: target class {index}, but scores of {classes} classes: use the model's class list"
                )
            multi_hot[row, index] = 1
    return multi_hot


def has_boxes(corpus: Corpus) -> bool:
    """Whether the corpus labels boxes rather than whole segments."""
    return any(segment.boxes or segment.truth for segment in corpus.segments)


def labeled_segments(corpus: Corpus) -> tuple[Segment, ...]:
    """Return the segments that can be scored: those with a target in every label set.

    With boxes, these are all segments if the split has any labels: detections in a segment without annotations are
    false positives.
    """
    if has_boxes(corpus):
        has_labels = any(box.targets for segment in corpus.segments for box in segment.truth or segment.boxes)
        return tuple(corpus.segments) if has_labels else ()
    return tuple(segment for segment in corpus.segments if segment.targets.keys() >= corpus.classes.keys())


def without_class(corpus: Corpus, name: str) -> Corpus:
    """Leave out the segments of a class, which stays in the class list: it may still be predicted.

    Raises:
        DataError: No label set has the class, or no segment is left.
    """
    indices = {labels: names.index(name) for labels, names in corpus.classes.items() if name in names}
    if not indices:
        near = did_you_mean(name, [other for names in corpus.classes.values() for other in names])
        raise DataError(f"{corpus.name}: no class is called '{name}'{near or ': name a class of the data set'}")

    def belongs(target: Target, index: int) -> bool:
        return index in target if isinstance(target, tuple) else index == target

    segments = tuple(
        segment
        for segment in corpus.segments
        if not any(belongs(target, indices.get(labels, -1)) for labels, target in segment.targets.items())
    )
    if not segments:
        raise DataError(f"{corpus.name} {corpus.split}: all segments are of class '{name}': nothing is left to score")
    return replace(corpus, segments=segments)


def scored_segments(ids: Iterable[str], corpus: Corpus) -> list[Segment]:
    """Return the segments of a corpus with boxes that have predictions (``ids``) or no detected boxes."""
    predicted = frozenset(ids)
    return [segment for segment in corpus.segments if segment.id in predicted or not segment.boxes]


def single_label_set(corpus: Corpus) -> str:
    """Return the name of the corpus's only label set; raise `DataError` if the corpus has several label sets."""
    if len(corpus.classes) != 1:
        raise DataError(f"{corpus.name}: label sets {', '.join(corpus.classes)}; boxes support a single label set")
    return next(iter(corpus.classes))
