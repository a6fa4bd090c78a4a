"""Scores of resampled rows, and of models whose predictions are swapped: what bootstrap and permutation tests need.

Shapes: N rows, C classes, G groups of rows, D draws.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

CHUNK = 1 << 23  # counts in memory at a time
SAME = 1e-9  # differences of scores below it are rounding


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Percent of rows that are right, or the unweighted mean of the classes' percentages."""

    hits: np.ndarray  # (N,) bool
    classes: np.ndarray | None = None  # class of each row (N,), for the mean over classes

    def scores(self, counts: np.ndarray) -> np.ndarray:
        """Score draws of rows, from how often each contains a row (N, D); returns (D,)."""
        if self.classes is None:
            share: np.ndarray = 100.0 * (self.hits @ counts).astype(np.float64) / counts.sum(axis=0)
            return share
        order = np.argsort(self.classes, kind="stable")
        starts = np.flatnonzero(np.diff(self.classes[order], prepend=-1))
        totals = np.add.reduceat(counts[order], starts, axis=0).astype(np.float64)
        right = np.add.reduceat((counts * self.hits[:, None])[order], starts, axis=0)
        drawn = totals > 0
        shares = np.divide(right, totals, out=np.zeros_like(totals), where=drawn)
        mean: np.ndarray = 100.0 * shares.sum(axis=0) / drawn.sum(axis=0)
        return mean

    def parts(self) -> np.ndarray:
        """What each row adds to the score of all rows, (N,)."""
        if self.classes is None:
            return 100.0 * self.hits / len(self.hits)
        _, of_row, sizes = np.unique(self.classes, return_inverse=True, return_counts=True)
        part: np.ndarray = 100.0 * self.hits / sizes[of_row] / len(sizes)
        return part


@dataclass(frozen=True, kw_only=True)
class MeanAP:
    """Mean over the classes with positives of `slowfast_cli.metrics.ranking`'s AP, from 0 to 1."""

    values: np.ndarray  # scores of the classes (N, C)
    positive: np.ndarray  # (N, C) bool

    def scores(self, counts: np.ndarray) -> np.ndarray:
        """Score draws of rows, from how often each contains a row (N, D); returns (D,), NaN without positives."""
        total, scored = np.zeros(counts.shape[1]), np.zeros(counts.shape[1])
        for curve in self._curves:
            selected, hits = curve.counts(counts)
            found = np.cumsum(hits, axis=0)
            precision = np.divide(found, selected, out=np.zeros_like(found), where=selected > 0)
            drawn = found[-1] > 0
            total[drawn] += ((hits * precision).sum(axis=0))[drawn] / found[-1][drawn]
            scored += drawn
        mean: np.ndarray = np.divide(total, scored, out=np.full(len(total), np.nan), where=scored > 0)
        return mean

    @cached_property
    def _curves(self) -> list[_Curve]:
        """Rows are sorted once, not for each draw."""
        classes = np.flatnonzero(self.positive.any(axis=0))
        return [_Curve.of(self.values[:, index], self.positive[:, index]) for index in classes]

    def beside(self, other: MeanAP) -> MeanAP:
        """Both models' rows one after the other, (2N, C), ranked within each model: scales of scores may differ."""
        values = np.concatenate([_ranks(self.values), _ranks(other.values)])
        return MeanAP(values=values, positive=np.concatenate([self.positive, other.positive]))


Measure = Accuracy | MeanAP


@dataclass(frozen=True, kw_only=True)
class _Curve:
    """The rows of a class by falling score, and the K thresholds of its positives."""

    order: np.ndarray  # rows from the best to the last threshold
    starts: np.ndarray  # first row of each step from a threshold to the next, (K,)
    positives: np.ndarray  # positive rows by falling score
    firsts: np.ndarray  # first positive of each threshold, (K,)

    @classmethod
    def of(cls, values: np.ndarray, positive: np.ndarray) -> _Curve:
        order = np.argsort(-values, kind="stable")
        ordered, hits = values[order], np.flatnonzero(positive[order])
        ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)  # of equal scores
        of_hit = np.searchsorted(ends, hits)
        thresholds, firsts = np.unique(of_hit, return_index=True)
        last = ends[thresholds]
        starts = np.append(0, last[:-1] + 1)
        return cls(order=order[: last[-1] + 1], starts=starts, positives=order[hits], firsts=firsts)

    def counts(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows drawn up to each threshold, and positives drawn at it, (K, D) float64."""
        steps = np.add.reduceat(counts[self.order], self.starts, axis=0)
        hits = np.add.reduceat(counts[self.positives], self.firsts, axis=0)
        return np.cumsum(steps, axis=0, dtype=np.float64), hits.astype(np.float64)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Number of rows with a lower score, in each class (N, C)."""
    return np.stack([np.searchsorted(np.sort(column), column) for column in values.T], axis=1)


def resampled(
    models: Sequence[Measure], group_of_row: np.ndarray, draws: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """Score models on the same draws of groups, with replacement; returns (D,) for each."""
    count, parts = int(group_of_row.max()) + 1, [list[np.ndarray]() for _ in models]
    chunk = max(1, CHUNK // len(group_of_row))
    for start in range(0, draws, chunk):
        drawn = generator.multinomial(count, np.full(count, 1 / count), size=min(chunk, draws - start))
        counts = drawn.T.astype(np.float32)[group_of_row]
        for part, measure in zip(parts, models, strict=True):
            part.append(measure.scores(counts))
    return [np.concatenate(part) for part in parts]


def permutation_p(
    first: Measure, other: Measure, group_of_row: np.ndarray, draws: int, generator: np.random.Generator
) -> float:
    """Return the p value of a difference by a paired permutation test, two-sided.

    If the models are equally good, their predictions for a recording may be swapped: p is the share of swaps with a
    difference at least as large as the observed one. All swaps are taken if they are at most ``draws``, else as many
    random ones, and the observed as one more, so that p is never 0 (Noreen, Computer-Intensive Methods for Testing
    Hypotheses, 1989, for systems scored on the same items; Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9, 2010,
    for the one more). The smallest p with G recordings is 2 / 2^G.

    Args:
        first: A model.
        other: Another, of the same rows.
        group_of_row: Number of the recording of each row, (N,).
        draws: Largest number of swaps.
        generator: Of random swaps.
    """
    groups = int(group_of_row.max()) + 1
    if isinstance(first, Accuracy) and isinstance(other, Accuracy):  # a sum over recordings: a swap turns a sign
        gains = np.bincount(group_of_row, other.parts() - first.parts(), minlength=groups)
        gains = gains[abs(gains) > SAME]
        changes = (gains @ (1 - 2.0 * swaps) for swaps in _swaps(len(gains), draws, generator, len(gains)))
        observed, groups = float(gains.sum()), len(gains)
    elif isinstance(first, MeanAP) and isinstance(other, MeanAP):
        both, whole = first.beside(other), np.zeros((len(group_of_row), 1), bool)
        observed = float(_difference(both, whole)[0])
        rows = 2 * len(group_of_row)
        changes = (_difference(both, swaps[group_of_row]) for swaps in _swaps(groups, draws, generator, rows))
    else:
        raise TypeError("two measures of one kind are compared")
    as_large = sum(int(np.count_nonzero(abs(change) >= abs(observed) - SAME)) for change in changes)
    return as_large / 2**groups if _all_fit(groups, draws) else (1 + as_large) / (1 + draws)


def _all_fit(groups: int, draws: int) -> bool:
    return groups < 60 and 2**groups <= draws


def _swaps(groups: int, draws: int, generator: np.random.Generator, rows: int) -> Iterator[np.ndarray]:
    """Whether each group is swapped, (G, D) bool, in chunks: every combination once, or random ones."""
    every = _all_fit(groups, draws)
    total, chunk = 2**groups if every else draws, max(1, CHUNK // max(1, rows))
    for start in range(0, total, chunk):
        size = min(chunk, total - start)
        if every:
            yield (np.arange(start, start + size) >> np.arange(groups)[:, None] & 1).astype(bool)
        else:
            yield generator.integers(0, 2, (groups, size), dtype=np.int8).astype(bool)


def _difference(both: MeanAP, swapped: np.ndarray) -> np.ndarray:
    """Score of the other model less that of the first, with rows swapped (N, D)."""
    first, other = (np.concatenate(pair).astype(np.float32) for pair in ((~swapped, swapped), (swapped, ~swapped)))
    change: np.ndarray = both.scores(other) - both.scores(first)
    return change
