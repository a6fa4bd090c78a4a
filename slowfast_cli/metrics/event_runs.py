"""The events of a class at all thresholds at once.

At a threshold, the events of a class are the runs of neighboring frames with at least that score. A falling threshold
adds runs, and extends and joins others: each distinct run exists from one score down to another. T frames have at most
T such runs, so counts at every threshold follow from one pass over the runs instead of one over the frames for each
threshold.

Shapes: N frames and F files together, N + F edges of frames, R runs, K changes of counts, P thresholds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Spans = np.ndarray
"""Onsets and offsets of events in seconds, (E, 2) float64."""
EventsOfFiles = Mapping[str, Spans]
"""Events of one class by file."""


@dataclass(frozen=True, kw_only=True)
class FrameScores:
    """Scores of the frames of a file."""

    scores: np.ndarray
    """Of T frames and C classes, (T, C)."""
    edges: np.ndarray
    """Start of each frame, and the end of the last, (T + 1,) seconds."""


@dataclass(frozen=True, kw_only=True)
class Frames:
    """The frames of all files, one file after the other."""

    names: tuple[str, ...]
    """Of the files."""
    parts: tuple[np.ndarray, ...]
    """Scores of each file, (T, columns)."""
    columns: Sequence[int]
    """Column of each class."""
    bounds: np.ndarray
    """First frame of each file, and the number of frames, (F + 1,)."""
    edges: np.ndarray
    """Of the frames, (N + F,) seconds; those of a file begin at `first_edges`."""

    def scores(self, index: int) -> np.ndarray:
        """Scores of a class, (N,)."""
        column = self.columns[index]
        return np.concatenate([part[:, column] for part in self.parts])

    @property
    def first_edges(self) -> np.ndarray:
        """Index of the first edge of each file, (F,)."""
        return self.bounds[:-1] + np.arange(len(self.names))


def stack_frames(files: Mapping[str, FrameScores], columns: Sequence[int] | None = None) -> Frames:
    """Put the frames of files together.

    Args:
        files: Scores by file.
        columns: Column of each class that is counted; by default all.
    """
    parts = tuple(file.scores for file in files.values())
    return Frames(
        names=tuple(files), parts=parts, columns=range(parts[0].shape[1]) if columns is None else columns,
        bounds=np.cumsum([0, *map(len, parts)]), edges=np.concatenate([file.edges for file in files.values()]),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Every run that is an event at some threshold, file after file."""

    file: np.ndarray
    """Index of its file, (R,)."""
    first: np.ndarray
    """Index of the edge at which it begins, (R,)."""
    last: np.ndarray
    """Index of the edge at which it ends, (R,)."""
    appears: np.ndarray
    """The highest threshold at which it is an event, (R,)."""
    vanishes: np.ndarray
    """The highest threshold at which it is part of a longer one; -inf: none, (R,)."""

    def changes(self, amount_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Thresholds (K,) at which a sum over the existing runs changes, and by how much, (K,)."""
        counted = amount_R != 0
        ends = counted & np.isfinite(self.vanishes)
        thresholds = np.concatenate([self.appears[counted], self.vanishes[ends]])
        return thresholds, np.concatenate([amount_R[counted], -amount_R[ends]])


def find_runs(frames: Frames, index: int) -> Runs:
    """Find the runs of a class."""
    count = len(frames.names)
    file_N = np.repeat(np.arange(count), np.diff(frames.bounds))
    place_N = np.arange(len(file_N)) + file_N + 1  # with a frame of -inf before each file and after the last
    scores = np.full(len(file_N) + count + 1, -np.inf)
    scores[place_N] = frames.scores(index)
    left, right = place_N - 1, place_N + 1
    before, after = np.arange(-1, len(scores) - 1), np.arange(1, len(scores) + 1)
    own = scores[place_N]
    # Neighbors that do not end the run point on to the neighbors that they have found, so that distances double.
    while (active := np.flatnonzero(scores[left] > own)).size:
        left[active] = before[left[active]]
        before[place_N] = left
    while (active := np.flatnonzero(scores[right] >= own)).size:
        right[active] = after[right[active]]
        after[place_N] = right
    lowest = scores[left] < own  # the first frame with the lowest score of its run stands for it
    left, right = left[lowest], right[lowest]
    return Runs(
        file=file_N[lowest], first=left, last=right - 1, appears=own[lowest],
        vanishes=np.maximum(scores[left], scores[right]),
    )  # fmt: skip


def totals(thresholds_K: np.ndarray, *changes_K: np.ndarray) -> tuple[np.ndarray, ...]:
    """Add up changes as the threshold falls.

    >>> totals(np.array([0.5, 0.9, 0.5]), np.array([1, 1, -1]))
    (array([0.9, 0.5]), array([1, 1]))

    Returns:
        Distinct thresholds, falling, (P,); the sum of each kind of changes at each of them, (P,).
    """
    order = np.argsort(-thresholds_K, kind="stable")
    falling = thresholds_K[order]
    last = np.append(falling[1:] != falling[:-1], True)[: len(falling)]
    return falling[last], *(np.cumsum(changes[order])[last] for changes in changes_K)


def ranges(first_I: np.ndarray, last_I: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Write out ranges of integers: the number of the range, and the integer.

    >>> ranges(np.array([3, 7, 9]), np.array([5, 7, 10]))
    (array([0, 0, 2]), array([3, 4, 9]))
    """
    sizes = last_I - first_I
    number = np.repeat(np.arange(len(sizes)), sizes)
    begin = np.cumsum(sizes) - sizes
    return number, np.arange(len(number)) - begin[number] + first_I[number]


def runs_beside(
    frames: Frames, runs: Runs, truth: EventsOfFiles
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pair each truth event with every run of its file.

    Args:
        frames: The files.
        runs: Runs of the class.
        truth: Truth events of the class by file.

    Returns:
        Onsets and offsets of the truth events, (E, 2), and the files that they are in, (E,); for each pair the index of
        the event and that of the run.
    """
    number = {name: index for index, name in enumerate(frames.names)}
    listed = [(number[name], spans) for name, spans in truth.items() if name in number]
    spans_E2 = np.concatenate([np.zeros((0, 2)), *(spans for _, spans in listed)])
    file_E = np.repeat(np.array([file for file, _ in listed], np.int64), [len(spans) for _, spans in listed])
    first, last = (np.searchsorted(runs.file, file_E, side=side) for side in ("left", "right"))
    event, run = ranges(first, last)
    return spans_E2, file_E, event, run


def lengths(frames: Frames, runs: Runs) -> np.ndarray:
    """Length of each run, (R,) seconds."""
    seconds: np.ndarray = frames.edges[runs.last] - frames.edges[runs.first]
    return seconds


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Seconds of truth before each edge, for the M pairs of file and class that have any truth."""

    classes: np.ndarray
    """Of each pair, in the order of the files, (M,)."""
    bounds: np.ndarray
    """First pair of each file, and the number of pairs, (F + 1,)."""
    offsets: np.ndarray
    """What to add to the index of an edge to find it in `seconds`, (M,)."""
    seconds: np.ndarray
    """Seconds of truth before each edge of the pair's file, pair after pair."""

    def within(self, pair: np.ndarray, runs: Runs, run: np.ndarray) -> np.ndarray:
        """Seconds of truth of some pairs within some runs."""
        at = self.offsets[pair]
        covered: np.ndarray = self.seconds[at + runs.last[run]] - self.seconds[at + runs.first[run]]
        return covered

    def pair_of(self, index: int) -> np.ndarray:
        """The pair of a class in each file, (F,); -1 without one."""
        files = np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.bounds))
        own = self.classes == index
        pairs = np.full(len(self.bounds) - 1, -1)
        pairs[files[own]] = np.flatnonzero(own)
        return pairs


def cover(frames: Frames, truth: Sequence[EventsOfFiles]) -> Coverage:
    """Compute the coverage of files by the truth events of each class."""
    in_file: dict[str, list[int]] = {}
    for index, of_class in enumerate(truth):
        for name, spans in of_class.items():
            if len(spans):
                in_file.setdefault(name, []).append(index)
    classes, offsets, parts = list[int](), list[int](), [np.zeros(0)]
    bounds, size = [0], 0
    for name, first, count in zip(frames.names, frames.first_edges, np.diff(frames.bounds) + 1, strict=True):
        edges = frames.edges[first : first + count]
        for index in in_file.get(name, ()):
            spans = truth[index][name]
            classes.append(index)
            offsets.append(size - int(first))
            parts.append(np.clip(edges[:, None] - spans[:, 0], 0, spans[:, 1] - spans[:, 0]).sum(1))
            size += int(count)
        bounds.append(len(classes))
    return Coverage(
        classes=np.array(classes, np.int64), bounds=np.array(bounds), offsets=np.array(offsets, np.int64),
        seconds=np.concatenate(parts),
    )  # fmt: skip
