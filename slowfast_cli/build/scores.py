"""The scores of predictions: those of the corpus, and how often sound was told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from slowfast_cli.build import assemble
from slowfast_cli.metrics.scores import score
from slowfast_cli.recipe.load import did_you_mean
from slowfast_cli.recipe.schema import PRETEXTS, Recipe
from slowfast_cli.tasks.avsync import BELONGS, label_set
from slowfast_cli.tasks.simclr import PRETEXT_TOP1
from slowfast_cli.types import Corpus, Prediction, Scores, UsageError


def scored(recipe: Recipe, predictions: Sequence[Prediction], found: Corpus) -> Scores:
    """Compare predictions with the labels of a corpus; AV-sync as `sync_accuracy`.

    Of pretraining without labels: ``told``, the share of its questions that are answered right, in percent.
    """
    if recipe.task in PRETEXTS:
        right = [float(each.scores[PRETEXT_TOP1].mean()) for each in predictions]
        values = {PRETEXT_TOP1: 100 * float(np.mean(right))} if right else {}
        return Scores(values=values, found=len(predictions), listed=found.listed)
    told = sync_accuracy(recipe, predictions)
    return with_sync(without_sync(recipe, predictions), found, told)


def with_sync(predictions: Sequence[Prediction], found: Corpus, told: Mapping[str, float]) -> Scores:
    """The scores of a corpus's own label sets, if it has any, beside those of AV-sync."""
    if not found.classes:
        return Scores(values=told, found=len({each.id for each in predictions}), listed=found.listed)
    scores = score(predictions, found)
    return replace(scores, values={**scores.values, **told})


def sync_accuracy(recipe: Recipe, predictions: Sequence[Prediction]) -> dict[str, float]:
    """For every stage ``sync_<stage>``: how often a clip's own sound was nearer than the wrong one, in percent.

    Chance is 50. Clips whose two sounds cannot be told apart do not count, nor does a stage whose pictures have heard
    the sound before it.
    """
    clips = {each.id: each.scores for each in predictions}
    found = {}
    for name in [label_set(stage) for stage in recipe.sync.stages] if recipe.sync else []:
        pairs = np.array([scores[name] for scores in clips.values() if name in scores]).reshape(-1, len(BELONGS))
        pairs = pairs[np.isfinite(pairs).all(axis=1)]
        if len(pairs):
            found[name] = 100 * float((pairs[:, 0] > pairs[:, 1]).mean())
    return found


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
    net = assemble.net(recipe)
    blank |= {
        label_set(stage): np.full(len(BELONGS), 0 if net.no_audio_upstream(stage) else np.nan, np.float32)
        for stage in assemble.sync_stages(recipe)
    }
    blank |= {PRETEXT_TOP1: np.zeros(1, np.float32)} if recipe.task in PRETEXTS else {}
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
