"""The scores of a split: which metrics its label sets call for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slowfast_cli.metrics.epic import epic_scores
from slowfast_cli.metrics.predictions import stack
from slowfast_cli.metrics.ranking import ranking_scores
from slowfast_cli.metrics.topk import topk_accuracy
from slowfast_cli.types import Corpus, DataError, Prediction, Scores


def score(predictions: Sequence[Prediction], corpus: Corpus) -> Scores:
    """Compare one prediction for each segment with its labels.

    Verb and noun are scored as EPIC-KITCHENS-100 is (ASF Table 2); one label set as VGG-Sound is: top-1, top-5, mAP,
    AUC and d-prime (ASF Table 3); several as each of them alone, under their names.

    Args:
        predictions: See `slowfast_cli.metrics.predictions.merge`.
        corpus: The split.

    Raises:
        DataError: The split has no labels.
    """
    labelled = {segment.id: segment for segment in corpus.segments if segment.targets.keys() >= corpus.classes.keys()}
    rows = stack([each for each in predictions if each.id in labelled], tuple(labelled.values())) if labelled else None
    if rows is None:
        raise DataError(
            f"{corpus.name} {corpus.split}: this split has no labels to score against: write its predictions instead"
        )
    if set(rows.scores) == {"verb", "noun"}:
        inside = {name: np.isin(rows.ids, list(ids)) for name, ids in corpus.subsets.items()}
        truth = rows.targets
        values = epic_scores(
            rows.scores["verb"], rows.scores["noun"], truth["verb"], truth["noun"], inside, corpus.tail
        )
    else:
        values = {}
        for labels, scores in rows.scores.items():
            prefix = "" if len(rows.scores) == 1 else f"{labels}_"
            found = topk_accuracy(scores, rows.targets[labels]) | ranking_scores(scores, rows.targets[labels])
            values |= {prefix + name: value for name, value in found.items() if name != "ranked_classes"}
    return Scores(values=values, found=len(rows.ids), listed=corpus.listed)
