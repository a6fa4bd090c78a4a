"""Predictions put together: the views of a segment merged into one, and rows of scores beside their targets.

Shapes: N segments, C classes of one label set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from slowfast_cli.types import Corpus, DataError, Place, Prediction, Segment, Target

Asked: TypeAlias = "tuple[str, Place | None]"  # a segment, or a box of it


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Scores and targets of the same segments, row by row.

    Attributes:
        ids: Of the segments; of boxes, the id of the segment each is in.
        scores: Probabilities by label set, (N, C).
        targets: By label set, class indices (N,), or (N, C) of zeros and ones where several classes hold at once;
            without the label sets a split has no labels for, and of boxes without any.
        places: Of boxes, (N, 4) shares of the frame; None where the segments have none.
    """

    ids: tuple[str, ...]
    scores: Mapping[str, np.ndarray]
    targets: Mapping[str, np.ndarray]
    places: np.ndarray | None = None


def merge(views: Iterable[Prediction], how: Literal["mean", "max"] = "mean") -> list[Prediction]:
    """One prediction per segment from those of its views (ASF Sec. 4.2: the mean of 2 or 10 views).

    Views may come in any order and are let go at once: memory grows with the segments, not with their views.

    Args:
        views: One prediction per view; all views of a segment have the same id. Boxes of a segment are told apart by
            their places.
        how: ``mean`` of the probabilities, or their ``max`` class by class.

    Returns:
        In the order in which each segment, or box, was first seen.
    """
    totals: dict[Asked, dict[str, np.ndarray]] = {}
    counts: dict[Asked, int] = {}
    for view in views:
        asked = (view.id, view.place)
        seen = totals.get(asked)
        if seen is None:
            # Sums in float64: the mean of equal views is then exactly that view.
            totals[asked] = {name: np.array(scores, dtype=np.float64) for name, scores in view.scores.items()}
            counts[asked] = 1
            continue
        for name, scores in view.scores.items():
            (np.add if how == "mean" else np.maximum)(seen[name], scores, out=seen[name])
        counts[asked] += 1
    divide_by = counts if how == "mean" else dict.fromkeys(counts, 1)
    return [
        Prediction(
            id=asked[0],
            scores={name: (total / divide_by[asked]).astype(np.float32) for name, total in totals.pop(asked).items()},
            place=asked[1],
        )
        for asked in list(totals)  # whose sums are let go one by one
    ]


def stack(predictions: Sequence[Prediction], segments: Sequence[Segment]) -> Rows:
    """Scores and targets as arrays, matched by id.

    Args:
        predictions: One per segment, or one per box, see `merge`.
        segments: Those of the corpus; the ones without a prediction are left out.

    Returns:
        Rows in the order of ``segments``; boxes of a segment in the order of ``predictions``.

    Raises:
        DataError: No prediction at all, two for one segment or box, one for a segment that is not in the list, or some
            for boxes and some for whole segments.
    """
    by_id: dict[str, list[Prediction]] = {}
    for each in predictions:
        by_id.setdefault(each.id, []).append(each)
    _check(predictions, by_id, segments)
    chosen = [(segment, each) for segment in segments for each in by_id.get(segment.id, ())]
    if not chosen:
        raise DataError(f"predictions: none for the {len(segments)} segments listed; predict them before scoring")
    label_sets = tuple(chosen[0][1].scores)
    scores = {name: np.stack([each.scores[name] for _, each in chosen]) for name in label_sets}
    places = [each.place for _, each in chosen if each.place is not None]
    return Rows(
        ids=tuple(segment.id for segment, _ in chosen),
        scores=scores,
        targets={
            name: _targets([segment.targets[name] for segment, _ in chosen], scores[name].shape[1])
            for name in label_sets
            if all(name in segment.targets for segment, _ in chosen) and not places
        },
        places=np.array(places, dtype=np.float64) if places else None,
    )


def _check(
    predictions: Sequence[Prediction], by_id: Mapping[str, Sequence[Prediction]], segments: Sequence[Segment]
) -> None:
    for id_, own in by_id.items():
        if len({each.place for each in own}) < len(own):
            raise DataError(
                f"predictions: segment {id_!r} has more than one{' of a box' if own[0].place else ''}; one each is "
                "right: merge the views first"
            )
    if len({each.place is None for each in predictions}) > 1:
        raise DataError("predictions: some are of boxes, some of whole segments; right are all of one kind")
    strange = by_id.keys() - {segment.id for segment in segments}
    if strange:
        raise DataError(
            f"predictions: {len(strange)} are for segments that are not in the list, as {min(strange)!r}; "
            "score them with the split they were made for"
        )


def _targets(targets: Sequence[Target], classes: int) -> np.ndarray:
    """Class indices (N,), or (N, C) of zeros and ones if any target is a tuple."""
    if not any(isinstance(target, tuple) for target in targets):
        return np.array(targets, dtype=np.int64)
    table = np.zeros((len(targets), classes), dtype=np.int8)
    for row, target in enumerate(targets):
        for index in target if isinstance(target, tuple) else (target,):
            if index >= classes:
                raise DataError(
                    f"predictions: scores of {classes} classes for a target of {index}; use the class list the model "
                    "was trained with"
                )
            table[row, index] = 1
    return table


def boxed(corpus: Corpus) -> bool:
    """Whether the corpus asks what happens in boxes, not in whole segments."""
    return any(segment.boxes or segment.truth for segment in corpus.segments)


def labelled(corpus: Corpus) -> tuple[Segment, ...]:
    """Segments whose predictions can be scored: those with a target in every label set.

    Where boxes are asked about, all of them, as long as the split has any labels: what is found in a segment without
    truth is wrong.
    """
    if boxed(corpus):
        known = any(box.targets for segment in corpus.segments for box in segment.truth or segment.boxes)
        return tuple(corpus.segments) if known else ()
    return tuple(segment for segment in corpus.segments if segment.targets.keys() >= corpus.classes.keys())


def scorable(ids: Iterable[str], corpus: Corpus) -> list[Segment]:
    """Segments of a corpus with boxes that have predictions, or that no box was found in.

    Args:
        ids: Of the predictions.
        corpus: The split.
    """
    predicted = frozenset(ids)
    return [segment for segment in corpus.segments if segment.id in predicted or not segment.boxes]


def only_labels(corpus: Corpus) -> str:
    """The name of the corpus's one label set.

    Raises:
        DataError: It has several, which boxes cannot.
    """
    if len(corpus.classes) != 1:
        raise DataError(f"{corpus.name}: label sets {', '.join(corpus.classes)}; boxes are labelled with one")
    return next(iter(corpus.classes))
