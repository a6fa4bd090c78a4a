"""The scores of predictions: those of the corpus, and how often sound was told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from slowfast_cli.metrics.scores import score
from slowfast_cli.recipe.load import did_you_mean
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.tasks.avsync import BELONGS, label_set
from slowfast_cli.types import Corpus, Prediction, Scores, UsageError


def scored(recipe: Recipe, predictions: Sequence[Prediction], found: Corpus) -> Scores:
    """Compare predictions with the labels of a corpus.

    For every stage of AV-sync there is ``sync_<stage>``: the share of clips, in percent, whose own sound was nearer to
    the pictures than the one that does not belong; chance is 50.
    """
    told = sync_accuracy(recipe, predictions)
    plain = without_sync(recipe, predictions)
    if not found.classes:
        return Scores(values=told, found=len(predictions), listed=found.listed)
    scores = score(plain, found)
    return replace(scores, values={**scores.values, **told})


def sync_accuracy(recipe: Recipe, predictions: Sequence[Prediction]) -> dict[str, float]:
    """The share of clips whose own sound was nearer, in percent, by stage."""
    names = [label_set(stage) for stage in recipe.sync.stages] if recipe.sync else []
    return {
        name: 100 * float(np.mean([each.scores[name][0] > each.scores[name][1] for each in predictions]))
        for name in names
        if predictions and name in predictions[0].scores
    }


def without_sync(recipe: Recipe, predictions: Sequence[Prediction]) -> list[Prediction]:
    """The predictions of the corpus's own label sets."""
    if not recipe.sync:
        return list(predictions)
    extra = {label_set(stage) for stage in recipe.sync.stages}
    return [
        replace(each, scores={name: rows for name, rows in each.scores.items() if name not in extra})
        for each in predictions
    ]


def require_metric(recipe: Recipe, val: Corpus) -> None:
    """Find a wrong name before the first epoch, not after it.

    Raises:
        UsageError: The recipe's metric is not among the scores.
    """
    blank = {labels: np.zeros(len(names), np.float32) for labels, names in val.classes.items()}
    stages = recipe.sync.stages if recipe.sync else ()
    blank |= {label_set(stage): np.zeros(len(BELONGS), np.float32) for stage in stages}
    names: list[str] = []
    for segments in (val.segments[:50], val.segments):  # which are scored apart depends on the segments
        guesses = [
            Prediction(id=segment.id, scores=blank, place=place)
            for segment in segments
            for place in ([box.place for box in segment.boxes] if recipe.task == "detect" else [None])
        ]
        if guesses:
            names = list(scored(recipe, guesses, replace(val, segments=segments)).values)
        if recipe.metric in names:
            return
    near = did_you_mean(recipe.metric, names)
    raise UsageError(f"metric: {recipe.metric!r} is not scored on {val.name}{near}; there are {', '.join(names)}")
