"""Scores of sound event detection: event-based and segment-based F1, and intersection criteria.

Definitions: Mesaros et al., "Metrics for Polyphonic Sound Event Detection", Applied Sciences 6, 2016 (as in sed_eval);
Bilen et al., "A Framework for the Robust Evaluation of Sound Event Detection", ICASSP 2020 (intersections).

Shapes: R truth events, E detected events, T frames of a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from slowfast_cli.metrics.event_runs import EventsOfFiles, Frames, Runs, Spans, find_runs, runs_beside, totals
from slowfast_cli.types import Seconds

NONE: Spans = np.zeros((0, 2))


@dataclass(frozen=True, kw_only=True)
class Collar:
    """Tolerance within which a detected event matches a truth event (Mesaros et al., Sec. 3.2)."""

    seconds: Seconds = 0.2
    """Of onset and offset."""
    offset_rate: float | None = 0.2
    """The offset may differ by this fraction of the truth event's length, if that is more; None ignores offsets."""
    digits: int | None = 6
    """Decimals that differences are rounded to, as sed_scores_eval does; None compares raw floats, as sed_eval does."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Right, detected and true events of a class."""

    right: int = 0
    detected: int = 0
    true: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            right=self.right + other.right, detected=self.detected + other.detected, true=self.true + other.true
        )

    @property
    def precision(self) -> float:
        """Share of detected events that are right; 0 without any."""
        return self.right / self.detected if self.detected else 0.0

    @property
    def recall(self) -> float:
        """Share of truth events that are detected; 0 without any."""
        return self.right / self.true if self.true else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.right / (self.detected + self.true) if self.detected + self.true else 0.0


def event_counts(truth: EventsOfFiles, events: EventsOfFiles, collar: Collar) -> Counts:
    """Match the events of a class one to one within each file, as many as possible.

    Args:
        truth: Truth events by file.
        events: Detected events by file.
        collar: Tolerance of a match.
    """
    total = Counts()
    for file in truth.keys() | events.keys():
        theirs, ours = truth.get(file, NONE), events.get(file, NONE)
        matches = _matches(theirs, ours, collar)
        pairs = maximum_bipartite_matching(csr_matrix(matches)) if matches.any() else np.array([-1])
        total += Counts(right=int((pairs >= 0).sum()), detected=len(ours), true=len(theirs))
    return total


def _matches(truth_R2: Spans, events_E2: Spans, collar: Collar) -> np.ndarray:
    """Which truth events (R) an event (E) matches, (R, E)."""
    return _near(truth_R2[:, None], events_E2[None], collar)


def _near(truth: np.ndarray, events: np.ndarray, collar: Collar) -> np.ndarray:
    """Whether events are near enough to truth events: (..., 2) onsets and offsets of both, which are broadcast."""
    onset, offset = (np.abs(truth[..., side] - events[..., side]) for side in (0, 1))
    allowed = np.maximum(collar.seconds, (collar.offset_rate or 0.0) * (truth[..., 1] - truth[..., 0]))
    if collar.digits is not None:
        onset, offset, allowed = (values.round(collar.digits) for values in (onset, offset, allowed))
    near: np.ndarray = onset <= collar.seconds
    return near if collar.offset_rate is None else near & (offset <= allowed)


def segment_counts(
    truth: EventsOfFiles, events: EventsOfFiles, durations: Mapping[str, Seconds], length: Seconds = 1.0
) -> Counts:
    """Count the segments of ``length`` seconds that events of a class touch.

    Args:
        truth: Truth events by file.
        events: Detected events by file.
        durations: Length of each file.
        length: Of a segment.
    """
    total = Counts()
    for file in durations.keys() & (truth.keys() | events.keys()):
        count = int(np.ceil(durations[file] / length))
        theirs, ours = (_active(of.get(file, NONE), count, length) for of in (truth, events))
        total += Counts(right=int((theirs & ours).sum()), detected=int(ours.sum()), true=int(theirs.sum()))
    return total


def _active(spans: Spans, count: int, length: Seconds) -> np.ndarray:
    """The segments that events touch, (count,) bool."""
    active = np.zeros(count, bool)
    for onset, offset in spans:
        active[int(onset / length) : int(np.ceil(offset / length))] = True  # raw floats, as in sed_eval
    return active


@dataclass(frozen=True, kw_only=True)
class Intersection:
    """Shares of overlap that decide which events are right (Bilen et al., Sec. 2)."""

    dtc: float = 0.5
    """Detection tolerance: share of a detected event that truth events must cover."""
    gtc: float = 0.5
    """Ground truth intersection: share of a truth event that relevant detected events must cover."""
    cttc: float | None = None
    """Cross-trigger tolerance: share of a false event that truth events of another class must cover; None: unused."""


def overlaps(truth_R2: Spans, events_E2: Spans) -> np.ndarray:
    """Seconds that truth events and detected events share, (R, E)."""
    last = np.minimum(truth_R2[:, None, 1], events_E2[None, :, 1])
    first = np.maximum(truth_R2[:, None, 0], events_E2[None, :, 0])
    shared: np.ndarray = np.maximum(last - first, 0.0)
    return shared


def at_least(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Compare to 9 decimals, so that rounding of sums decides nothing; a share of zero seconds is none."""
    enough: np.ndarray = (values.round(9) >= bounds.round(9)) & (bounds > 0)
    return enough


@dataclass(frozen=True, kw_only=True)
class BestThreshold:
    """The threshold with the best F1 of a class, and its counts."""

    threshold: float
    """Halfway between the highest and the lowest score with these counts; frames above it are active."""
    counts: Counts


def best_threshold(frames: Frames, truth: EventsOfFiles, index: int, collar: Collar) -> BestThreshold:
    """Find the threshold of a class with the best event-based F1.

    Args:
        frames: Scores of the files, see `slowfast_cli.metrics.event_runs.stack_frames`.
        truth: Truth events of the class by file.
        index: Of the class.
        collar: Tolerance of a match.
    """
    runs = find_runs(frames, index)
    detected = runs.changes(np.ones(len(runs.file), int))
    right = _right(frames, runs, truth, collar)
    none, no = np.zeros(len(detected[0]), int), np.zeros(len(right[0]), int)
    values, right_P, detected_P = totals(
        np.concatenate([detected[0], right[0]]), np.concatenate([none, right[1]]), np.concatenate([detected[1], no])
    )
    true = sum(len(truth.get(file, NONE)) for file in frames.names)
    best = int((2 * right_P / np.maximum(detected_P + true, 1)).argmax())
    other = np.flatnonzero((right_P[best:] != right_P[best]) | (detected_P[best:] != detected_P[best]))
    below = values[best + other[0]] if len(other) else frames.scores(index).min()
    counts = Counts(right=int(right_P[best]), detected=int(detected_P[best]), true=true)
    return BestThreshold(threshold=float((values[best] + below) / 2), counts=counts)


def _right(frames: Frames, runs: Runs, truth: EventsOfFiles, collar: Collar) -> tuple[np.ndarray, np.ndarray]:
    """Thresholds (K,) at which the number of right events changes, and by how much, (K,)."""
    spans, file_E, event, run = runs_beside(frames, runs, truth)
    events = np.stack([frames.edges[runs.first[run]], frames.edges[runs.last[run]]], 1)
    near = _near(spans[event], events, collar)
    event, run = event[near], run[near]
    thresholds, changes = [np.zeros(0)], [np.zeros(0, int)]
    bounds = np.append(np.flatnonzero(np.diff(file_E[event], prepend=-1)), len(event))  # a file's matches are neighbors
    for first, last in pairwise(bounds):
        of_file, runs_of_file = event[first:last], run[first:last]
        appears, vanishes = runs.appears[runs_of_file], runs.vanishes[runs_of_file]
        values = np.unique(np.concatenate([appears, vanishes[np.isfinite(vanishes)]]))[::-1]
        counts = [_matched(of_file, runs_of_file, (appears >= value) & (vanishes < value)) for value in values]
        thresholds.append(values)
        changes.append(np.diff(counts, prepend=0))
    return np.concatenate(thresholds), np.concatenate(changes)


def _matched(event: np.ndarray, run: np.ndarray, exists: np.ndarray) -> int:
    """The most pairs of truth event and existing run, each at most once."""
    if not exists.any() or (event == event[0]).all():
        return int(exists.any())
    _, rows = np.unique(event[exists], return_inverse=True)
    _, columns = np.unique(run[exists], return_inverse=True)
    return int((maximum_bipartite_matching(csr_matrix((np.ones(len(rows)), (rows, columns)))) >= 0).sum())
