"""Scores of sound event detection: event-based and segment-based F1, and intersection criteria.

Definitions: Mesaros et al., "Metrics for Polyphonic Sound Event Detection", Applied Sciences 6, 2016 (as in sed_eval);
Bilen et al., "A Framework for the Robust Evaluation of Sound Event Detection", ICASSP 2020 (intersections).

Shapes: R truth events, E detected events, T frames of a file.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from slowfast_cli.types import Seconds

Spans = np.ndarray
"""Onsets and offsets of events in seconds, (E, 2) float64."""
EventsOfFiles = Mapping[str, Spans]
"""Events of one class by file."""
NONE: Spans = np.zeros((0, 2))


@dataclass(frozen=True, kw_only=True)
class FrameScores:
    """Scores of the frames of a file."""

    scores: np.ndarray
    """Of T frames and C classes, (T, C)."""
    edges: np.ndarray
    """Start of each frame, and the end of the last, (T + 1,) seconds."""


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
    onset = np.abs(truth_R2[:, None, 0] - events_E2[None, :, 0])
    offset = np.abs(truth_R2[:, None, 1] - events_E2[None, :, 1])
    allowed = np.maximum(collar.seconds, (collar.offset_rate or 0.0) * (truth_R2[:, 1] - truth_R2[:, 0]))[:, None]
    if collar.digits is not None:
        onset, offset, allowed = (values.round(collar.digits) for values in (onset, offset, allowed))
    near = onset <= collar.seconds
    matches: np.ndarray = near if collar.offset_rate is None else near & (offset <= allowed)
    return matches


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
    for file, duration in durations.items():
        count = int(np.ceil(duration / length))
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


@dataclass(frozen=True, kw_only=True)
class IntersectionCounts:
    """Detected truth events, false events, and false events that another class triggers, by class."""

    found: int
    false: int
    cross: tuple[int, ...] = ()


def intersection_counts(
    truth_R2: Spans, events_E2: Spans, others: Sequence[Spans], criteria: Intersection
) -> IntersectionCounts:
    """Judge the events of a class in one file by how much they overlap truth events.

    Args:
        truth_R2: Truth events of the class.
        events_E2: Detected events of the class.
        others: Truth events of each other class.
        criteria: Shares of overlap.
    """
    lengths = events_E2[:, 1] - events_E2[:, 0]
    overlap_RE = overlaps(truth_R2, events_E2)
    relevant = _at_least(overlap_RE.sum(0), criteria.dtc * lengths)
    found = _at_least(overlap_RE[:, relevant].sum(1), criteria.gtc * (truth_R2[:, 1] - truth_R2[:, 0]))
    false = events_E2[~relevant]
    cross: tuple[int, ...] = ()
    if criteria.cttc is not None:
        least = criteria.cttc * lengths[~relevant]
        cross = tuple(int(_at_least(overlaps(other, false).sum(0), least).sum()) for other in others)
    return IntersectionCounts(found=int(found.sum()), false=len(false), cross=cross)


def overlaps(truth_R2: Spans, events_E2: Spans) -> np.ndarray:
    """Seconds that truth events and detected events share, (R, E)."""
    last = np.minimum(truth_R2[:, None, 1], events_E2[None, :, 1])
    first = np.maximum(truth_R2[:, None, 0], events_E2[None, :, 0])
    shared: np.ndarray = np.maximum(last - first, 0.0)
    return shared


def _at_least(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Compare to 9 decimals, so that rounding of sums decides nothing; a share of zero seconds is none."""
    enough: np.ndarray = (values.round(9) >= bounds.round(9)) & (bounds > 0)
    return enough


def spans_above(scores_T: np.ndarray, threshold: float, edges: np.ndarray) -> Spans:
    """Join neighboring frames with a score above a threshold.

    Args:
        scores_T: Score of each frame.
        threshold: Frames above it are active.
        edges: Start of each frame, and the end of the last, (T + 1,) seconds.
    """
    active = np.concatenate([[False], scores_T > threshold, [False]])
    changes = np.flatnonzero(active[1:] != active[:-1]).reshape(-1, 2)
    return edges[changes]


def sweep(
    files: Mapping[str, FrameScores], index: int, count: Callable[[str, Spans], Sequence[int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Count at every threshold that changes the events of a class.

    Args:
        files: Scores by file.
        index: Of the class.
        count: Counts of the events of one file.

    Returns:
        Scores (P,), falling: frames with at least that score are active. The counts of all files at each, (P, counts).
    """
    values, changes = list[float](), list[np.ndarray]()
    for file, frames in files.items():
        scores = frames.scores[:, index]
        own = np.unique(scores)[::-1]
        events = (spans_above(scores, np.nextafter(value, -np.inf), frames.edges) for value in own)
        counts = np.array([count(file, spans) for spans in events])
        values += own.tolist()
        changes += list(np.diff(counts, axis=0, prepend=0))
    order = np.argsort(-np.array(values), kind="stable")
    falling = np.array(values)[order]
    last = np.append(falling[1:] != falling[:-1], True)  # all files have reached the score
    return falling[last], np.cumsum(np.array(changes)[order], axis=0)[last]


@dataclass(frozen=True, kw_only=True)
class BestThreshold:
    """The threshold with the best F1 of a class, and its counts."""

    threshold: float
    """Halfway between the highest and the lowest score with these counts; frames above it are active."""
    counts: Counts


def best_threshold(files: Mapping[str, FrameScores], truth: EventsOfFiles, index: int, collar: Collar) -> BestThreshold:
    """Find the threshold of a class with the best event-based F1.

    Args:
        files: Scores by file.
        truth: Truth events of the class by file.
        index: Of the class.
        collar: Tolerance of a match.
    """

    def count(file: str, spans: Spans) -> Sequence[int]:
        own = event_counts({file: truth.get(file, NONE)}, {file: spans}, collar)
        return own.right, own.detected

    values, totals = sweep(files, index, count)
    true = sum(len(truth.get(file, NONE)) for file in files)
    right, detected = totals[:, 0], totals[:, 1]
    f1 = 2 * right / np.maximum(detected + true, 1)
    best = int(f1.argmax())
    other = np.flatnonzero((totals[best:] != totals[best]).any(axis=1))
    below = values[best + other[0]] if len(other) else values[-1]
    counts = Counts(right=int(right[best]), detected=int(detected[best]), true=true)
    return BestThreshold(threshold=float((values[best] + below) / 2), counts=counts)
