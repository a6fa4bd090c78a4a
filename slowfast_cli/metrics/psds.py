"""Polyphonic sound detection score (PSDS), exact over all thresholds.

Bilen et al., "A Framework for the Robust Evaluation of Sound Event Detection", ICASSP 2020; all thresholds at once as
Ebbers et al., "Threshold Independent Evaluation of Sound Event Detection Scores", ICASSP 2022.

Shapes: R runs of frames that are events at some threshold, K changes of counts, C classes, P points of a curve.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from slowfast_cli.metrics.event_runs import (
    Coverage,
    EventsOfFiles,
    Frames,
    Runs,
    cover,
    find_runs,
    lengths,
    ranges,
    runs_beside,
    totals,
)
from slowfast_cli.metrics.events import Intersection, at_least
from slowfast_cli.types import Seconds

HOUR = 3600.0
CHUNK = 4096  # points of the curves that are averaged at a time
PAIRS = 1 << 22  # pairs of run and class that are compared at a time


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Weights of a PSDS (Bilen et al., Sec. 3)."""

    intersection: Intersection
    alpha_ct: float = 0.0
    """Weight of cross triggers in the false positive rate."""
    alpha_st: float = 1.0
    """Weight of the standard deviation over classes."""
    max_efpr: float = 100.0
    """Effective false positives per hour up to which the curve is integrated."""


LOCALIZE = Scenario(intersection=Intersection(dtc=0.7, gtc=0.7))
"""Scenario 1 of DCASE: the system has to react fast."""
RECOGNIZE = Scenario(intersection=Intersection(dtc=0.1, gtc=0.1, cttc=0.3), alpha_ct=0.5)
"""Scenario 2 of DCASE: the system has not to confuse classes."""


@dataclass(frozen=True, kw_only=True)
class Psds:
    """The score, and the normalized area under the curve of each class, from 0 to 1."""

    value: float
    by_class: tuple[float, ...]

    @property
    def macro(self) -> float:
        """The mean over classes: the score without a penalty for the variance between classes (alpha_st 0)."""
        return float(np.mean(self.by_class))


def psds(
    frames: Frames,
    truth: Sequence[EventsOfFiles],
    durations: Mapping[str, Seconds],
    scenario: Scenario = LOCALIZE,
) -> Psds:
    """Compute the PSDS.

    Args:
        frames: Scores of the files, see `slowfast_cli.metrics.event_runs.stack_frames`.
        truth: Truth events by class, in the order of the scores; every class needs one.
        durations: Length of each file; files without truth events count as audio without events.
        scenario: Weights.
    """
    hours = sum(durations.values()) / HOUR
    truth_hours = np.array(
        [sum(float((s[:, 1] - s[:, 0]).sum()) for s in of_class.values()) / HOUR for of_class in truth]
    )
    coverage = cover(frames, truth)
    curves = [_curve(frames, truth, index, hours, truth_hours, coverage, scenario) for index in range(len(truth))]
    grid = np.unique(np.concatenate([[0.0, scenario.max_efpr], *(rates for rates, _ in curves)]))
    grid = grid[grid <= scenario.max_efpr]
    widths = np.diff(grid) / scenario.max_efpr
    value, by_class = 0.0, np.zeros(len(truth))
    for begin in range(0, len(widths), CHUNK):
        part = slice(begin, min(begin + CHUNK, len(widths)))
        tpr_CP = np.stack([_at(grid[part], rates, tpr) for rates, tpr in curves])
        effective = np.maximum(tpr_CP.mean(0) - scenario.alpha_st * tpr_CP.std(0), 0.0)
        value += float(effective @ widths[part])
        by_class += tpr_CP @ widths[part]
    return Psds(value=value, by_class=tuple(by_class.tolist()))


def _curve(
    frames: Frames,
    truth: Sequence[EventsOfFiles],
    index: int,
    hours: float,
    truth_hours: np.ndarray,
    coverage: Coverage,
    scenario: Scenario,
) -> tuple[np.ndarray, np.ndarray]:
    """Effective false positive rates (P,) of a class, rising, at which its best true positive rate (P,) rises."""
    runs = find_runs(frames, index)
    criteria = scenario.intersection
    pair = coverage.pair_of(index)[runs.file]
    own = pair >= 0
    covered = np.zeros(len(pair))
    covered[own] = coverage.within(pair[own], runs, np.flatnonzero(own))
    relevant = at_least(covered, criteria.dtc * lengths(frames, runs))
    false = runs.changes((~relevant).astype(float))
    found = _found(frames, runs, truth[index], relevant, criteria)
    changes = [(false[0], false[1] / hours, np.zeros(len(false[0]))), (found[0], np.zeros(len(found[0])), found[1])]
    if scenario.alpha_ct and len(truth) > 1:
        weights = scenario.alpha_ct / (len(truth) - 1) / truth_hours
        cross = runs.changes(_cross_triggers(frames, runs, index, ~relevant, coverage, weights, criteria))
        changes.append((*cross, np.zeros(len(cross[0]))))
    _, rate, right = totals(*(np.concatenate(kind) for kind in zip(*changes, strict=True)))
    order = np.lexsort((-right, rate))
    tpr = np.maximum.accumulate(right[order] / sum(len(spans) for spans in truth[index].values()))
    rises = np.diff(tpr, prepend=0.0) > 0
    return rate[order][rises], tpr[rises]


def _found(
    frames: Frames, runs: Runs, truth: EventsOfFiles, relevant_R: np.ndarray, criteria: Intersection
) -> tuple[np.ndarray, np.ndarray]:
    """Thresholds (K,) at which the number of truth events that relevant runs cover changes, and by how much, (K,)."""
    spans, _, event, run = runs_beside(frames, runs, truth)
    start, stop = frames.edges[runs.first[run]], frames.edges[runs.last[run]]
    overlap = np.minimum(spans[event, 1], stop) - np.maximum(spans[event, 0], start)
    counted = relevant_R[run] & (overlap > 0)
    event, run, overlap = event[counted], run[counted], overlap[counted]
    ends = np.isfinite(runs.vanishes[run])
    event = np.concatenate([event, event[ends]])
    threshold = np.concatenate([runs.appears[run], runs.vanishes[run[ends]]])
    order = np.lexsort((-threshold, event))
    event, threshold = event[order], threshold[order]
    sums = np.cumsum(np.concatenate([overlap, -overlap[ends]])[order])
    is_first = np.diff(event, prepend=-1) != 0
    before = np.concatenate([[0.0], sums[:-1]])[is_first]  # of the earlier events
    sums = sums - before[np.cumsum(is_first) - 1]
    last = np.append((event[1:] != event[:-1]) | (threshold[1:] != threshold[:-1]), True)[: len(event)]
    event, threshold, sums = event[last], threshold[last], sums[last]
    found = at_least(sums, criteria.gtc * (spans[event, 1] - spans[event, 0])).astype(int)
    earlier = np.concatenate([[0], found[:-1]])[: len(found)] * (np.diff(event, prepend=-1) == 0)
    changed = found != earlier
    return threshold[changed], (found - earlier)[changed]


def _cross_triggers(
    frames: Frames,
    runs: Runs,
    index: int,
    false_R: np.ndarray,
    coverage: Coverage,
    weights_C: np.ndarray,
    criteria: Intersection,
) -> np.ndarray:
    """Sum of the weights of the other classes whose truth events trigger each false run, (R,)."""
    seconds = lengths(frames, runs)
    triggered = np.zeros(len(seconds))
    false = np.flatnonzero(false_R)
    pairs = coverage.bounds[runs.file[false] + 1] - coverage.bounds[runs.file[false]]
    pieces = np.searchsorted(np.cumsum(pairs), np.arange(PAIRS, pairs.sum() + PAIRS, PAIRS), side="right")
    for part in np.split(false, np.unique(pieces)):
        number, pair = ranges(coverage.bounds[runs.file[part]], coverage.bounds[runs.file[part] + 1])
        other = coverage.classes[pair] != index
        run, pair = part[number[other]], pair[other]
        hit = at_least(coverage.within(pair, runs, run), (criteria.cttc or 0.0) * seconds[run])
        triggered += np.bincount(run[hit], weights_C[coverage.classes[pair[hit]]], len(seconds))
    return triggered


def _at(grid: np.ndarray, rates: np.ndarray, tpr: np.ndarray) -> np.ndarray:
    """The value of a rising staircase at each point of a grid; 0 before its first point."""
    place = np.searchsorted(rates, grid, side="right")
    value: np.ndarray = np.concatenate([[0.0], tpr])[place]
    return value
