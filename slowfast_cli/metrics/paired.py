"""Scores of several models on the same segments, with intervals and significance by a paired bootstrap.

All models are scored on the same resamples, drawn with replacement (Efron and Tibshirani, An Introduction to the
Bootstrap, 1993; for comparing systems: Koehn, EMNLP 2004). Recordings are drawn, not segments: segments of one
recording are not independent.

Shapes: N rows, C classes, D resamples.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from slowfast_cli.metrics.predictions import Rows
from slowfast_cli.metrics.topk import ranks, restrict
from slowfast_cli.types import Corpus, DataError

Measure = Callable[[np.ndarray], np.ndarray]  # how often each row is drawn (D, N) -> scores (D,)
DRAWS = {"top1": 10_000, "map": 1_000}  # by the last word of a metric; an mAP takes longer
CHUNK = 1 << 23  # counts in memory at a time
MARKS = {0.001: "***", 0.01: "**", 0.05: "*"}


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What a score differs from the first model's."""

    value: float
    interval: tuple[float, float]  # 95 %
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
    interval: tuple[float, float]  # 95 %
    difference: Difference | None  # None for the first model


def measures(rows: Rows, corpus: Corpus) -> dict[str, Measure]:
    """The scores of a model that can be compared, by the metric's name in `slowfast_cli.metrics.scores.score`.

    They are the top-1 accuracy of each label set, in percent, or the mAP, from 0 to 1, of one with several labels a
    segment; of several label sets with one label each also the share of segments that are right in all, ``action_top1``
    for verb and noun, otherwise ``all_top1``.

    Raises:
        DataError: The corpus labels boxes, or has no labels.
    """
    if rows.places is not None or not rows.targets:
        problem = "its labels are of boxes" if rows.places is not None else "it has no labels to score against"
        raise DataError(f"{corpus.name} {corpus.split}: {problem}: compare models on a split with labels of segments")
    found: dict[str, Measure] = {}
    hits = []
    for labels, targets in rows.targets.items():
        prefix = "" if len(rows.targets) == 1 else f"{labels}_"
        if targets.ndim == 2:
            found[f"{prefix}map"] = _mean_ap(rows.scores[labels], targets != 0)
            continue
        hits.append(_hits(rows.scores[labels], targets, corpus.scored.get(labels)))
        found[f"{prefix}top1"] = _accuracy(hits[-1])
    if len(hits) == len(rows.targets) > 1:
        name = "action_top1" if set(rows.targets) == {"verb", "noun"} else "all_top1"
        found[name] = _accuracy(np.logical_and.reduce(hits))
    return found


def compare(models: Sequence[Measure], groups: Sequence[str], *, draws: int, seed: int = 0) -> list[Paired]:
    """Score models on all rows and on the same resamples.

    Args:
        models: One measure of each model, of the same N rows; the others are compared with the first.
        groups: Recording of each row, (N,).
        draws: Number of resamples.
        seed: Of the resamples.

    Returns:
        One score per model. An interval is from the 2.5th to the 97.5th percentile of the resamples; p is twice the
        smaller share of resamples in which the difference is not above or not below zero.
    """
    values = [float(measure(np.ones((1, len(groups))))[0]) for measure in models]
    resampled = _resampled(models, groups, draws, np.random.default_rng(seed))
    changes = [drawn - resampled[0] for drawn in resampled[1:]]
    differences = [None] + [
        Difference(value=value - values[0], interval=_interval(change), p=p)
        for value, change, p in zip(values[1:], changes, _holm([_p(change) for change in changes]), strict=True)
    ]
    return [
        Paired(value=value, interval=_interval(drawn), difference=difference)
        for value, drawn, difference in zip(values, resampled, differences, strict=True)
    ]


def _resampled(
    models: Sequence[Measure], groups: Sequence[str], draws: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """Scores of each model on the same resamples of groups, (D,)."""
    members, group_of_row = np.unique(np.asarray(groups), return_inverse=True)
    count, parts = len(members), [list[np.ndarray]() for _ in models]
    chunk = max(1, CHUNK // len(groups))
    for start in range(0, draws, chunk):
        drawn = generator.multinomial(count, np.full(count, 1 / count), size=min(chunk, draws - start))
        counts = drawn[:, group_of_row].astype(np.float64)
        for part, measure in zip(parts, models, strict=True):
            part.append(measure(counts))
    return [np.concatenate(part) for part in parts]


def _hits(scores: np.ndarray, targets: np.ndarray, kept: Collection[int] | None) -> np.ndarray:
    """Whether the best class of each row is right, (N,) bool; of the classes that are ``kept``, if any are named."""
    best: np.ndarray = ranks(*((scores, targets) if kept is None else restrict(scores, targets, kept))) == 0
    return best


def _accuracy(hits: np.ndarray) -> Measure:
    def measure(counts: np.ndarray) -> np.ndarray:
        shares: np.ndarray = 100 * (counts @ hits) / counts.sum(axis=1)
        return shares

    return measure


def _mean_ap(scores: np.ndarray, positive: np.ndarray) -> Measure:
    """Mean over classes of `slowfast_cli.metrics.ranking`'s AP; rows are sorted once, not for each resample."""
    orders = [np.argsort(scores[:, index])[::-1] for index in range(scores.shape[1]) if positive[:, index].any()]
    classes = np.flatnonzero(positive.any(axis=0))

    def measure(counts: np.ndarray) -> np.ndarray:
        total, scored = np.zeros(len(counts)), np.zeros(len(counts))
        for index, order in zip(classes, orders, strict=True):
            ordered = scores[order, index]
            ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)  # of equal scores
            selected = np.cumsum(counts[:, order], axis=1)[:, ends]
            hits = np.cumsum(counts[:, order] * positive[order, index], axis=1)[:, ends]
            precision = np.divide(hits, selected, out=np.zeros_like(hits), where=selected > 0)
            drawn = hits[:, -1] > 0
            total[drawn] += (np.diff(hits, axis=1, prepend=0) * precision).sum(axis=1)[drawn] / hits[drawn, -1]
            scored += drawn
        mean: np.ndarray = np.divide(total, scored, out=np.full(len(counts), np.nan), where=scored > 0)
        return mean

    return measure


def _interval(drawn: np.ndarray) -> tuple[float, float]:
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def _p(change: np.ndarray) -> float:
    """Two-sided; the observed sample counts as one more resample, so that it is never 0."""
    shares = [(1 + int(np.count_nonzero(side))) / (1 + len(change)) for side in (change <= 0, change >= 0)]
    return min(1.0, 2 * min(shares))


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
    by_model = [measures(of, corpus) for of in rows.values()]
    return {
        metric: dict(
            zip(
                rows,
                compare([found[metric] for found in by_model], groups, draws=DRAWS[metric.rpartition("_")[2]]),
                strict=True,
            )
        )
        for metric in by_model[0]
    }
