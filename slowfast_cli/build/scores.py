"""The scores of predictions: those of the corpus's label sets, AV-sync accuracy and retrieval accuracy."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from slowfast_cli.build.task import sync_stages, task_spec
from slowfast_cli.metrics.log_loss import log_loss
from slowfast_cli.metrics.predictions import has_boxes, labeled_segments, stack
from slowfast_cli.metrics.scores import score
from slowfast_cli.metrics.threshold import best_thresholds
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.tasks.avsync import BELONGS, label_set
from slowfast_cli.tasks.task import PRETEXT_TOP1
from slowfast_cli.types import Corpus, Prediction, Scores


def score_predictions(recipe: Recipe, predictions: Sequence[Prediction], corpus: Corpus) -> Scores:
    """Score predictions against the labels of a corpus, and the recipe's task without labels.

    Pretraining is scored by ``pretext_top1``, AV-sync by `sync_accuracy`, both in percent.
    """
    if task_spec(recipe).has_objective:
        accuracies = [float(prediction.scores[PRETEXT_TOP1].mean()) for prediction in predictions]
        values = {PRETEXT_TOP1: 100 * float(np.mean(accuracies))} if accuracies else {}
        return Scores(values=values, found=len(predictions), listed=corpus.listed)
    return with_sync(without_sync(recipe, predictions), corpus, sync_accuracy(recipe, predictions))


def validation_loss(recipe: Recipe, predictions: Sequence[Prediction], corpus: Corpus) -> float | None:
    """Cross-entropy of the label sets, see `slowfast_cli.metrics.log_loss`; None for tasks without labels and boxes."""
    if task_spec(recipe).has_objective or not corpus.classes or has_boxes(corpus):
        return None
    return log_loss(stack(without_sync(recipe, predictions), labeled_segments(corpus)))


def event_thresholds(recipe: Recipe, predictions: Sequence[Prediction], corpus: Corpus) -> dict[str, tuple[float, ...]]:
    """Thresholds of the classes, see `slowfast_cli.metrics.threshold`; empty for tasks without labels and boxes."""
    if task_spec(recipe).has_objective or not corpus.classes or has_boxes(corpus):
        return {}
    return best_thresholds(stack(without_sync(recipe, predictions), labeled_segments(corpus)))


def with_sync(predictions: Sequence[Prediction], corpus: Corpus, sync: Mapping[str, float]) -> Scores:
    """Score the label sets of a corpus, if it has any, and add the values of AV-sync."""
    if not corpus.classes:
        ids = {prediction.id for prediction in predictions}
        return Scores(values=sync, found=len(ids), listed=corpus.listed)
    scores = score(predictions, corpus)
    return replace(scores, values={**scores.values, **sync})


def sync_accuracy(recipe: Recipe, predictions: Sequence[Prediction]) -> dict[str, float]:
    """``sync_<stage>``: how often a clip's own audio was nearer than the negative, in percent; chance is 50.

    Clips whose two sounds do not differ are ignored, and stages whose visual features already contain audio.
    """
    by_clip = {prediction.id: prediction.scores for prediction in predictions}
    accuracy = {}
    for name in map(label_set, sync_stages(recipe)):
        pairs = np.array([scores[name] for scores in by_clip.values() if name in scores]).reshape(-1, len(BELONGS))
        pairs = pairs[np.isfinite(pairs).all(axis=1)]
        if len(pairs):
            accuracy[name] = 100 * float((pairs[:, 0] > pairs[:, 1]).mean())
    return accuracy


def without_sync(recipe: Recipe, predictions: Sequence[Prediction]) -> list[Prediction]:
    """Remove AV-sync's scores from predictions."""
    extra = set(map(label_set, sync_stages(recipe)))
    if not extra:
        return list(predictions)
    return [
        replace(prediction, scores={name: rows for name, rows in prediction.scores.items() if name not in extra})
        for prediction in predictions
    ]
