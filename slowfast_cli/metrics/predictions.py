"""Predictions put together: the views of a segment merged into one, and rows of scores beside their targets.

Shapes: N segments, C classes of one label set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from slowfast_cli.types import DataError, Prediction, Segment


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Scores and targets of the same segments, row by row.

    Attributes:
        ids: Of the segments.
        scores: Probabilities by label set, (N, C).
        targets: Class indices by label set, (N,); without the label sets a split has no labels for.
    """

    ids: tuple[str, ...]
    scores: Mapping[str, np.ndarray]
    targets: Mapping[str, np.ndarray]


def merge(views: Iterable[Prediction], how: Literal["mean", "max"] = "mean") -> list[Prediction]:
    """One prediction per segment from those of its views (ASF Sec. 4.2: the mean of 2 or 10 views).

    Views may come in any order and are let go at once: memory grows with the segments, not with their views.

    Args:
        views: One prediction per view; all views of a segment have the same id.
        how: ``mean`` of the probabilities, or their ``max`` class by class.

    Returns:
        In the order in which each segment was first seen.
    """
    totals: dict[str, dict[str, np.ndarray]] = {}
    counts: dict[str, int] = {}
    for view in views:
        seen = totals.get(view.id)
        if seen is None:
            # Sums in float64: the mean of equal views is then exactly that view.
            totals[view.id] = {name: np.array(scores, dtype=np.float64) for name, scores in view.scores.items()}
            counts[view.id] = 1
            continue
        for name, scores in view.scores.items():
            (np.add if how == "mean" else np.maximum)(seen[name], scores, out=seen[name])
        counts[view.id] += 1
    divide_by = counts if how == "mean" else dict.fromkeys(counts, 1)
    return [
        Prediction(id=id_, scores={name: (total / divide_by[id_]).astype(np.float32) for name, total in sets.items()})
        for id_, sets in totals.items()
    ]


def stack(predictions: Sequence[Prediction], segments: Sequence[Segment]) -> Rows:
    """Scores and targets as arrays, matched by id.

    Args:
        predictions: One per segment, see `merge`.
        segments: Those of the corpus; the ones without a prediction are left out.

    Returns:
        Rows in the order of ``segments``.

    Raises:
        DataError: No prediction at all, two for one id, or one for a segment that is not in the list.
    """
    by_id = {prediction.id: prediction for prediction in predictions}
    if len(by_id) < len(predictions):
        twice = next(p.id for p in predictions if by_id[p.id] is not p)
        raise DataError(f"predictions: segment {twice!r} has more than one; one each is right: merge the views first")
    strange = by_id.keys() - {segment.id for segment in segments}
    if strange:
        raise DataError(
            f"predictions: {len(strange)} are for segments that are not in the list, as {min(strange)!r}; "
            "score them with the split they were made for"
        )
    chosen = [segment for segment in segments if segment.id in by_id]
    if not chosen:
        raise DataError(f"predictions: none for the {len(segments)} segments listed; predict them before scoring")
    ids = tuple(segment.id for segment in chosen)
    label_sets = tuple(by_id[ids[0]].scores)
    return Rows(
        ids=ids,
        scores={name: np.stack([by_id[id_].scores[name] for id_ in ids]) for name in label_sets},
        targets={
            name: np.array([segment.targets[name] for segment in chosen], dtype=np.int64)
            for name in label_sets
            if all(name in segment.targets for segment in chosen)
        },
    )
