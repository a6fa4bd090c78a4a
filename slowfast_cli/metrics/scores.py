"""The scores of a split: which metrics its label sets call for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slowfast_cli.metrics.ava import box_scores
from slowfast_cli.metrics.epic import epic_scores
from slowfast_cli.metrics.predictions import Rows, boxed, labelled, scorable, stack
from slowfast_cli.metrics.ranking import ranking_scores
from slowfast_cli.metrics.topk import accuracy, ranks, restrict, topk_accuracy
from slowfast_cli.types import Corpus, DataError, Prediction, Scores


def score(predictions: Sequence[Prediction], corpus: Corpus) -> Scores:
    """Compare one prediction for each segment, or each of its boxes, with its labels.

    - Boxes are scored as AVA's are: mAP, see `slowfast_cli.metrics.ava`.
    - Verb and noun as EPIC-KITCHENS-100's are (ASF Table 2).
    - A label set where several classes hold at once as Charades is: mAP, over the classes that some segment has.
    - Any other as VGG-Sound is: top-1, top-5, mAP, AUC and d-prime (ASF Table 3).
    - Several label sets as each of them alone, under their names; and where each has one class a segment,
      ``all_top1``: percent of segments that are right in all of them (HARES App. A, Fluent Speech Commands).

    Subsets of the corpus are scored apart under theirs: top-1 and, of more than 5 classes, top-5; or mAP. If
    ``corpus.scored`` names classes of a label set with one class a segment, only those outputs compete.

    Args:
        predictions: See `slowfast_cli.metrics.predictions.merge`.
        corpus: The split.

    Raises:
        DataError: The split has no labels.
    """
    known = labelled(corpus)
    ids = {segment.id for segment in known}
    rows = stack([each for each in predictions if each.id in ids], known) if known else None
    if rows is None:
        raise DataError(
            f"{corpus.name} {corpus.split}: this split has no labels to score against: write its predictions instead"
        )
    found = len(rows.ids)
    if boxed(corpus):
        values, found = box_scores(rows, corpus), len(scorable(rows.ids, corpus))
    elif set(rows.scores) == {"verb", "noun"}:
        truth = rows.targets
        values = epic_scores(
            rows.scores["verb"], rows.scores["noun"], truth["verb"], truth["noun"], _inside(rows, corpus), corpus.tail
        )
    else:
        values = {}
        for labels in rows.scores:
            prefix = "" if len(rows.scores) == 1 else f"{labels}_"
            values |= {prefix + name: value for name, value in _of_labels(rows, corpus, labels).items()}
        values |= _of_all(rows, corpus)
        for subset, mask in _inside(rows, corpus).items():
            part = _of_all(rows, corpus, mask) if mask.any() else {}
            values |= {f"{subset}_{name}": value for name, value in part.items()}
            for labels in rows.scores if mask.any() else ():
                prefix = f"{subset}_" if len(rows.scores) == 1 else f"{subset}_{labels}_"
                part = _of_labels(rows, corpus, labels, mask)
                values |= {prefix + name: value for name, value in part.items()}
    return Scores(values=values, found=found, listed=corpus.listed)


def _inside(rows: Rows, corpus: Corpus) -> dict[str, np.ndarray]:
    """Which rows are in each subset, (N,)."""
    return {name: np.isin(rows.ids, list(ids)) for name, ids in corpus.subsets.items()}


def _of_all(rows: Rows, corpus: Corpus, mask: np.ndarray | None = None) -> dict[str, float]:
    """How many segments are right in every label set, where there are several with one class a segment each."""
    if len(rows.scores) < 2 or any(targets.ndim == 2 for targets in rows.targets.values()):
        return {}
    right = np.ones(len(rows.ids), bool)
    for labels in rows.scores:
        scores, targets = rows.scores[labels], rows.targets[labels]
        if labels in corpus.scored:
            scores, targets = restrict(scores, targets, corpus.scored[labels])
        right &= ranks(scores, targets) == 0
    return {"all_top1": accuracy(right if mask is None else right[mask])}


def _of_labels(rows: Rows, corpus: Corpus, labels: str, mask: np.ndarray | None = None) -> dict[str, float]:
    """The scores of one label set; of some rows only what is worth knowing of a subset."""
    scores, targets = rows.scores[labels], rows.targets[labels]
    if mask is not None:
        scores, targets = scores[mask], targets[mask]
    if targets.ndim == 2:
        return {"map": ranking_scores(scores, targets)["map"]}
    if labels in corpus.scored:
        scores, targets = restrict(scores, targets, corpus.scored[labels])
    if mask is not None:
        return topk_accuracy(scores, targets, (1, 5) if scores.shape[1] > 5 else (1,))
    values = topk_accuracy(scores, targets) | ranking_scores(scores, targets)
    return {name: value for name, value in values.items() if name != "ranked_classes"}
