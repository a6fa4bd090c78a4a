"""Fit a recipe with ``adapt`` to the data: the lengths of its recordings, and the number of clips of each class."""

import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from math import ceil
from typing import Any

from slowfast_cli.build.corpus import examples, validates_on_test
from slowfast_cli.data.audio_clips import Store
from slowfast_cli.recipe.load import flat
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.types import Corpus, DataError, Seconds, Segment

SAMPLE = 64  # segments whose length is looked at
LONGEST = 1.5  # clip length, in medians of the segments: a few long recordings do not lengthen all clips
SHORTEST: Seconds = 0.2  # of a clip
BATCHES = 5  # of an epoch, at least
SMALLEST = 8  # batch, if an epoch then has two: batch norms need several clips
EPOCHS = 4  # at least, however many clips there are
VALIDATIONS = 20
IMBALANCE = 3  # times the rarest class, above which classes are balanced


def adapted(recipe: Recipe, train: Corpus, store: Store | None) -> Recipe:
    """Return the recipe with clip length, masks, views, batch, length and sampling that suit the data.

    Args:
        recipe: Its values are upper bounds, those of the length lower bounds; without ``adapt`` it is returned.
        train: Training split, without what cannot be read.
        store: Source of the sound; None for video.
    """
    if not recipe.adapt:
        return recipe
    data, augment = _clips(recipe, median_and_longest(train, store) if store else None)
    clips = len(train.segments)
    batch = min(recipe.optim.batch, _power_of_two(max(clips // BATCHES, min(SMALLEST, clips // 2))))
    epoch = max(1, clips // batch)
    schedule: dict[str, Any] = {}
    if recipe.schedule.steps:
        steps = max(recipe.schedule.steps, EPOCHS * epoch)
        schedule = {"steps": steps, "validate_every": max(1, round(steps / epoch / VALIDATIONS))}
    same = validates_on_test(recipe)
    return recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update={**data, "balanced": recipe.data.balanced or _unbalanced(train)}),
            "augment": replace(recipe.augment, **augment),
            "optim": recipe.optim.model_copy(update={"batch": batch}),
            "schedule": recipe.schedule.model_copy(update=schedule | ({"patience": 0} if same else {})),
            "keep": "last" if same else recipe.keep,
        }
    )


def _power_of_two(most: int) -> int:
    """The largest power of two up to ``most``, and at least 2.

    >>> [_power_of_two(most) for most in (0, 3, 9, 64)]
    [2, 2, 8, 64]
    """
    return max(2, 1 << max(1, most).bit_length() - 1)


def changes(before: Recipe, after: Recipe) -> list[str]:
    """Describe what `adapted` has changed; empty if it is nothing."""
    values = dict(flat(before.model_dump(mode="json"))), dict(flat(after.model_dump(mode="json")))
    words = [f"{name}={value}" for name, value in values[1].items() if values[0].get(name) != value]
    return [f"set from the data: {' '.join(words)} (adapt=false keeps the recipe's)"] if words else []


def median_and_longest(corpus: Corpus, store: Store) -> tuple[Seconds, Seconds] | None:
    """Median and 90th percentile of the lengths of a sample of the segments; None if none can be read."""
    lengths = []
    for segment in sample(corpus):
        with suppress(DataError):  # reported when it is read
            end = store.samples(segment.recording) / store.front_end.rate
            lengths.append(min(end, segment.stop or end) - segment.start)
    lengths = sorted(length for length in lengths if length > 0)
    return (statistics.median(lengths), lengths[int(0.9 * (len(lengths) - 1))]) if lengths else None


def sample(corpus: Corpus) -> Sequence[Segment]:
    """At least `SAMPLE` segments, evenly spaced; all of a smaller corpus."""
    return corpus.segments[:: max(1, len(corpus.segments) // SAMPLE)]


def _clips(recipe: Recipe, lengths: tuple[Seconds, Seconds] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields of ``data`` and ``augment`` for segments of these lengths."""
    longest = recipe.data.clip_seconds
    if lengths is None or longest is None:
        return {}, {}
    median, long = lengths
    clip = min(longest, max(SHORTEST, round(min(long, LONGEST * median), 2)))
    width = max(1, round(recipe.augment.time_width * clip / longest))
    views = min(recipe.data.views, max(1, ceil(long / clip - 0.1)))
    return {"clip_seconds": clip, "views": views}, {"time_width": min(width, recipe.augment.time_width)}


def _unbalanced(corpus: Corpus) -> bool:
    """Whether the classes of the first label set differ by more than `IMBALANCE`."""
    labels = next(iter(corpus.classes), None)
    if labels is None or not all(isinstance(segment.targets.get(labels), int) for segment in corpus.segments):
        return False
    counts = examples(corpus, labels).values()
    return max(counts) > IMBALANCE * min(counts)
