"""Scores of several models on the same segments, with bootstrap intervals and a paired permutation test.

Recordings are drawn and swapped, not segments: segments of one recording are not independent. Intervals are from
resamples that all models share (Efron and Tibshirani, An Introduction to the Bootstrap, 1993); p values are not, since
resamples of a few recordings contain no other results than those observed.

Shapes: N rows, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from slowfast_cli.metrics.predictions import Rows
from slowfast_cli.metrics.resampling import Accuracy, MeanAP, Measure, permutation_p, resampled
from slowfast_cli.metrics.topk import ranks, restrict
from slowfast_cli.types import Corpus, DataError

DRAWS = {"top1": 10_000, "mca": 10_000, "map": 1_000}  # by the last word of a metric; an mAP takes longer
MIN_RECORDINGS = 10  # of an interval: resamples of fewer are too much alike
MAX_RANKED = 1_500_000  # segments x classes x models up to which exclusive classes are ranked too: a minute
MARKS = {0.001: "***", 0.01: "**", 0.05: "*"}
Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What a score differs from the first model's."""

    value: float
    interval: Interval | None  # 95 %; None with fewer than `MIN_RECORDINGS`
    p: float
    """Two-sided, adjusted for the number of comparisons (Holm, Scandinavian Journal of Statistics 6, 1979)."""

    @property
    def mark(self) -> str:
        """``***`` for p below 0.001, ``**`` below 0.01, ``*`` below 0.05, else empty."""
        return next((mark for bound, mark in MARKS.items() if self.p < bound), "")


@dataclass(frozen=True, kw_only=True)
class Paired:
    """A score of one of several models."""

    value: float
    interval: Interval | None  # 95 %; None with fewer than `MIN_RECORDINGS`
    difference: Difference | None  # None for the first model


def draws_of(metric: str) -> int:
    """Number of resamples and swaps of a metric."""
    return DRAWS[metric.rpartition("_")[2]]


def measures(rows: Rows, corpus: Corpus, models: int = 2) -> dict[str, Measure]:
    """The scores of a model that can be compared, by the metric's name in `slowfast_cli.metrics.scores.score`.

    They are the top-1 accuracy of each label set, in percent, the mean over classes, where the corpus is scored by it,
    and the mAP, from 0 to 1; with one label each in several sets also the share of segments that are right in all,
    ``action_top1`` for verb and noun, otherwise ``all_top1``. Of a set with several labels a segment it is the mAP; of
    exclusive classes the mAP is left out for verb and noun, and beyond `MAX_RANKED`.

    Args:
        rows: Predictions of the model.
        corpus: The split.
        models: Number of models that are compared.

    Raises:
        DataError: The corpus labels boxes, or has no labels.
    """
    if rows.places is not None or not rows.targets:
        raise not_comparable(corpus, boxes=rows.places is not None)
    found: dict[str, Measure] = {}
    all_hits, kitchen = [], set(rows.targets) == {"verb", "noun"}
    for labels, all_targets in rows.targets.items():
        prefix, scores, targets = "" if len(rows.targets) == 1 else f"{labels}_", rows.scores[labels], all_targets
        if targets.ndim == 2:
            found[f"{prefix}map"] = MeanAP(values=scores, positive=targets != 0)
            continue
        if labels in corpus.scored:
            scores, targets = restrict(scores, targets, corpus.scored[labels])
        all_hits.append(ranks(scores, targets) == 0)
        found[f"{prefix}top1"] = Accuracy(hits=all_hits[-1])
        if corpus.class_mean:
            found[f"{prefix}mca"] = Accuracy(hits=all_hits[-1], classes=targets)
        if not kitchen and scores.size * models <= MAX_RANKED:
            found[f"{prefix}map"] = MeanAP(values=scores, positive=targets[:, None] == np.arange(scores.shape[1]))
    if len(all_hits) == len(rows.targets) > 1:
        found["action_top1" if kitchen else "all_top1"] = Accuracy(hits=np.logical_and.reduce(all_hits))
    return found


def not_comparable(corpus: Corpus, *, boxes: bool) -> DataError:
    """The error of a corpus that labels boxes, or nothing."""
    problem = "its labels are of boxes" if boxes else "it has no labels to score against"
    return DataError(f"{corpus.name} {corpus.split}: {problem}: compare models on a split with labels of segments")


def compare(models: Sequence[Measure], groups: Sequence[str], *, draws: int, seed: int = 0) -> list[Paired]:
    """Score models on all rows, and compare the others with the first.

    Args:
        models: One measure of each model, of the same N rows.
        groups: Recording of each row, (N,).
        draws: Number of resamples, and largest number of swaps.
        seed: Of resamples and swaps.

    Returns:
        One score per model. An interval is from the 2.5th to the 97.5th percentile of the resamples; p is that of
        `slowfast_cli.metrics.resampling.permutation_p`.
    """
    members, group_of_row = np.unique(np.asarray(groups), return_inverse=True)
    generator = np.random.default_rng(seed)
    values = [float(measure.scores(np.ones((len(groups), 1), np.float32))[0]) for measure in models]
    drawn = resampled(models, group_of_row, draws, generator) if len(members) >= MIN_RECORDINGS else None
    ps = [permutation_p(models[0], other, group_of_row, draws, generator) for other in models[1:]]
    differences = [None] + [
        Difference(
            value=value - values[0], interval=_interval(drawn[place] - drawn[0]) if drawn is not None else None, p=p
        )
        for place, (value, p) in enumerate(zip(values[1:], _holm(ps), strict=True), 1)
    ]
    return [
        Paired(value=value, interval=_interval(drawn[place]) if drawn is not None else None, difference=difference)
        for place, (value, difference) in enumerate(zip(values, differences, strict=True))
    ]


def _interval(drawn: np.ndarray) -> Interval:
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def _holm(ps: Sequence[float]) -> list[float]:
    """Adjust p values for their number.

    >>> _holm([0.04, 0.01, 0.5])
    [0.08, 0.03, 0.5]
    """
    adjusted, largest = [0.0] * len(ps), 0.0
    for place, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = max(largest, min(1.0, (len(ps) - place) * ps[index]))
        adjusted[index] = largest
    return adjusted


def comparisons(rows: Mapping[str, Rows], corpus: Corpus) -> dict[str, dict[str, Paired]]:
    """Compare models in all their scores.

    Args:
        rows: Predictions by model, with equal ids; the first model is the one that the others are compared with.
        corpus: The split.

    Returns:
        Scores by metric, then by model.

    Raises:
        DataError: As `measures`.
    """
    recordings = {segment.id: segment.recording.id for segment in corpus.segments}
    groups = [recordings[id_] for id_ in next(iter(rows.values())).ids]
    by_model = [measures(of, corpus, len(rows)) for of in rows.values()]
    return {
        metric: dict(
            zip(rows, compare([found[metric] for found in by_model], groups, draws=draws_of(metric)), strict=True)
        )
        for metric in by_model[0]
    }
