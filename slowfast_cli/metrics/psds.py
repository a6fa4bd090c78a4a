"""Polyphonic sound detection score (PSDS), exact over all thresholds.

Bilen et al., "A Framework for the Robust Evaluation of Sound Event Detection", ICASSP 2020; all thresholds at once as
Ebbers et al., "Threshold Independent Evaluation of Sound Event Detection Scores", ICASSP 2022.

Shapes: T frames of a file, C classes, P points of a curve.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from slowfast_cli.metrics.events import (
    NONE,
    EventsOfFiles,
    FrameScores,
    Intersection,
    Spans,
    intersection_counts,
    sweep,
)
from slowfast_cli.types import Seconds

HOUR = 3600.0


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


def psds(
    files: Mapping[str, FrameScores],
    truth: Sequence[EventsOfFiles],
    durations: Mapping[str, Seconds],
    scenario: Scenario = LOCALIZE,
) -> Psds:
    """Compute the PSDS.

    Args:
        files: Scores by file.
        truth: Truth events by class, in the order of the scores; every class needs one.
        durations: Length of each file.
        scenario: Weights.
    """
    hours = sum(durations.values()) / HOUR
    truth_hours = [sum(float((s[:, 1] - s[:, 0]).sum()) for s in of_class.values()) / HOUR for of_class in truth]
    curves = [_curve(files, truth, index, hours, truth_hours, scenario) for index in range(len(truth))]
    grid = np.unique(np.concatenate([[0.0, scenario.max_efpr], *(rates for rates, _ in curves)]))
    grid = grid[grid <= scenario.max_efpr]
    tpr_CP = np.stack([_at(grid, rates, tpr) for rates, tpr in curves])
    effective = np.maximum(tpr_CP.mean(0) - scenario.alpha_st * tpr_CP.std(0), 0.0)
    widths = np.diff(grid) / scenario.max_efpr
    return Psds(value=float(effective[:-1] @ widths), by_class=tuple((tpr_CP[:, :-1] @ widths).tolist()))


def _curve(
    files: Mapping[str, FrameScores],
    truth: Sequence[EventsOfFiles],
    index: int,
    hours: float,
    truth_hours: Sequence[float],
    scenario: Scenario,
) -> tuple[np.ndarray, np.ndarray]:
    """Effective false positive rates (P,) of a class, rising, and the best true positive rate up to each."""
    other = [number for number in range(len(truth)) if number != index]

    def count(file: str, spans: Spans) -> Sequence[int]:
        own, others = truth[index].get(file, NONE), [truth[number].get(file, NONE) for number in other]
        counts = intersection_counts(own, spans, others, scenario.intersection)
        return counts.found, counts.false, *counts.cross

    _, totals = sweep(files, index, count)
    found, false, cross = totals[:, 0], totals[:, 1], totals[:, 2:]
    true = sum(len(spans) for spans in truth[index].values())
    rate = false / hours
    if scenario.alpha_ct and other:
        per_hour = np.array([truth_hours[number] for number in other])
        rate = rate + scenario.alpha_ct * (cross / per_hour).mean(1)
    order = np.lexsort((-found, rate))
    return rate[order], np.maximum.accumulate(found[order] / true)


def _at(grid: np.ndarray, rates: np.ndarray, tpr: np.ndarray) -> np.ndarray:
    """The value of a rising staircase at each point of a grid; 0 before its first point."""
    place = np.searchsorted(rates, grid, side="right")
    value: np.ndarray = np.concatenate([[0.0], tpr])[place]
    return value
