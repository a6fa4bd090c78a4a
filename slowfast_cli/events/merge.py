"""Merge the scores of overlapping windows into events.

Windows are averaged to a track of frames, one hop long. Then, for each class: median filter, hysteresis threshold,
close short gaps, drop short events, score by the mean of the frames. Classes may overlap in time.

Shapes: W windows, T frames, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Literal

import numpy as np
from scipy.ndimage import median_filter

from slowfast_cli.events.event import Event
from slowfast_cli.types import Seconds

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True, kw_only=True)
class Merging:
    """How windows become events."""

    threshold: float = DEFAULT_THRESHOLD
    """Score of a frame that makes an event."""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Of single classes, by name."""
    low: float = 1.0
    """Hysteresis: an event extends over neighboring frames of at least this share of its threshold."""
    smooth: Seconds = 0.0
    """Length of the median filter; 0 for none."""
    max_gap: Seconds = 0.0
    """Events of a class that are no further apart are joined."""
    min_length: Seconds = 0.0
    """Shorter events are dropped."""
    score: Literal["mean", "max"] = "mean"
    """Score of an event: mean or maximum of its frames."""
    unknown: str = ""
    """Class that means none of the others; it makes no events."""


def track(
    starts_W: np.ndarray, ends_W: np.ndarray, scores_WC: np.ndarray, hop: Seconds
) -> tuple[np.ndarray, np.ndarray]:
    """Average overlapping windows over frames of one hop.

    Args:
        starts_W: Start of each window, seconds.
        ends_W: End of each window.
        scores_WC: Scores of the windows.
        hop: Length of a frame.

    Returns:
        Frame scores (T, C), each the mean of the windows that cover the middle of the frame; and the frames' edges
        (T + 1,) in seconds, of which the last is the end of the last window.
    """
    first, last = float(starts_W.min()), float(ends_W.max())
    count = max(ceil(round((last - first) / hop, 6)), 1)
    edges = np.minimum(first + hop * np.arange(count + 1), last)
    middles = (edges[1:] + edges[:-1]) / 2
    sums, windows = np.zeros((count + 1, scores_WC.shape[1])), np.zeros(count + 1)
    for start, end, scores in zip(starts_W, ends_W, scores_WC, strict=True):
        covered = slice(*np.searchsorted(middles, (start, end)))
        sums[covered] += scores
        windows[covered] += 1
    return sums[:count] / np.maximum(windows[:count, None], 1), edges


def merge(
    scores_TC: np.ndarray, edges: np.ndarray, names: Sequence[str], merging: Merging, labels: str = "label"
) -> list[Event]:
    """Find the events of a track.

    Args:
        scores_TC: Frame scores.
        edges: Of the frames, (T + 1,) seconds.
        names: Class names.
        merging: Rules.
        labels: Label set of the classes.

    Returns:
        Events by start.
    """
    hop = float(edges[1] - edges[0])
    width = 2 * (round(merging.smooth / hop) // 2) + 1  # odd number of frames
    smooth = median_filter(scores_TC, size=(width, 1), mode="nearest") if width > 1 else scores_TC
    events, peaks = list[Event](), smooth.max(0)
    for index, name in enumerate(names):
        threshold = merging.thresholds.get(name, merging.threshold)
        if name == merging.unknown or peaks[index] < threshold:
            continue
        for first, last in _stretches(smooth[:, index], edges, threshold, merging):
            frames = smooth[first:last, index]
            score = frames.mean() if merging.score == "mean" else frames.max()
            start, end = float(edges[first]), float(edges[last])
            events.append(Event(start=start, end=end, label=name, score=float(score), index=index, labels=labels))
    return sorted(events, key=lambda event: (event.start, event.end, event.index))


def _stretches(scores_T: np.ndarray, edges: np.ndarray, threshold: float, merging: Merging) -> list[tuple[int, int]]:
    """First frame, and frame after the last, of each event of a class."""
    candidates = _runs(scores_T >= merging.low * threshold)
    runs = [(first, last) for first, last in candidates if scores_T[first:last].max() >= threshold]
    joined = list[tuple[int, int]]()
    for first, last in runs:
        if joined and edges[first] - edges[joined[-1][1]] <= merging.max_gap:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return [(first, last) for first, last in joined if round(edges[last] - edges[first], 6) >= merging.min_length]


def _runs(active_T: np.ndarray) -> list[tuple[int, int]]:
    changes = np.flatnonzero(np.diff(np.concatenate([[False], active_T, [False]]).astype(np.int8)))
    return [(int(first), int(last)) for first, last in changes.reshape(-1, 2)]
