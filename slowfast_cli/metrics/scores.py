"""Scoring of a split, with the metrics that its label sets require."""

from collections.abc import Sequence

import numpy as np

from slowfast_cli.metrics.ava import box_scores
from slowfast_cli.metrics.epic import epic_scores
from slowfast_cli.metrics.predictions import Rows, has_boxes, labeled_segments, scored_segments, stack
from slowfast_cli.metrics.ranking import ranking_scores
from slowfast_cli.metrics.topk import accuracy, class_mean_accuracy, ranks, restrict, topk_accuracy
from slowfast_cli.types import Corpus, DataError, Prediction, Scores


def score(predictions: Sequence[Prediction], corpus: Corpus) -> Scores:
    """Score one prediction per segment, or per box, against the labels.

    - Boxes, as for AVA: mAP, see `slowfast_cli.metrics.ava`.
    - Verb and noun, as for EPIC-KITCHENS-100 (ASF Table 2).
    - A multi-label label set, as for Charades: mAP over the classes with positives.
    - A single-label label set, as for VGG-Sound: top-1, top-5, mAP, AUC and d-prime (ASF Table 3); with
      ``corpus.class_mean``, as for EPIC-SOUNDS, also the mean class accuracy ``mca``.
    - Several label sets: each of them, prefixed with its name; if all are single-label, also ``all_top1``: percent of
      segments that are correct in every label set (HARES App. A, Fluent Speech Commands).

    Subsets of the corpus are scored separately, prefixed with their name: top-1 and, with more than 5 classes, top-5;
    or mAP. For a single-label label set in ``corpus.scored``, scores are restricted to those classes.

    Args:
        predictions: See `slowfast_cli.metrics.predictions.merge`.
        corpus: The split.

    Raises:
        DataError: The split has no labels.
    """
    segments = labeled_segments(corpus)
    if not segments:
        raise DataError(f"{corpus.name} {corpus.split}: this split has no labels to score against: only predict")
    ids = {segment.id for segment in segments}
    rows = stack([prediction for prediction in predictions if prediction.id in ids], segments)
    count = len(rows.ids)
    if has_boxes(corpus):
        values, count = box_scores(rows, corpus), len(scored_segments(rows.ids, corpus))
    elif set(rows.scores) == {"verb", "noun"}:
        truth = rows.targets
        values = epic_scores(
            rows.scores["verb"], rows.scores["noun"], truth["verb"], truth["noun"], _masks(rows, corpus), corpus.tail
        )
    else:
        values = _all_label_sets(rows, corpus)
        for subset, mask in _masks(rows, corpus).items():
            if mask.any():
                part = _all_label_sets(rows, corpus, mask)
                values |= {f"{subset}_{name}": value for name, value in part.items()}
    return Scores(values=values, found=count, listed=corpus.listed)


def _masks(rows: Rows, corpus: Corpus) -> dict[str, np.ndarray]:
    """Mask the rows of each subset, (N,)."""
    return {name: np.isin(rows.ids, list(ids)) for name, ids in corpus.subsets.items()}


def _all_label_sets(rows: Rows, corpus: Corpus, mask: np.ndarray | None = None) -> dict[str, float]:
    """Score every label set, and their conjunction, over all rows or over a subset."""
    values: dict[str, float] = {}
    for labels in rows.scores:
        prefix = "" if len(rows.scores) == 1 else f"{labels}_"
        values |= {prefix + name: value for name, value in _label_set(rows, corpus, labels, mask).items()}
    if len(rows.scores) < 2 or any(targets.ndim == 2 for targets in rows.targets.values()):
        return values
    correct = np.ones(len(rows.ids), bool)
    for labels in rows.scores:
        scores, targets = rows.scores[labels], rows.targets[labels]
        if labels in corpus.scored:
            scores, targets = restrict(scores, targets, corpus.scored[labels])
        correct &= ranks(scores, targets) == 0
    return values | {"all_top1": accuracy(correct if mask is None else correct[mask])}


def _label_set(rows: Rows, corpus: Corpus, labels: str, mask: np.ndarray | None) -> dict[str, float]:
    """Score one label set; over a subset, only top-k accuracy or mAP."""
    scores, targets = rows.scores[labels], rows.targets[labels]
    if mask is not None:
        scores, targets = scores[mask], targets[mask]
    if targets.ndim == 2:
        return {"map": ranking_scores(scores, targets)["map"]}
    if labels in corpus.scored:
        scores, targets = restrict(scores, targets, corpus.scored[labels])
    if mask is not None:
        return topk_accuracy(scores, targets, (1, 5) if scores.shape[1] > 5 else (1,))
    values = topk_accuracy(scores, targets)
    if corpus.class_mean:
        values["mca"] = class_mean_accuracy(scores, targets)
    values |= ranking_scores(scores, targets)
    return {name: value for name, value in values.items() if name != "ranked_classes"}
