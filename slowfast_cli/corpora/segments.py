"""Segments as columns: what millions of them have in common once, what differs in arrays, and each made when asked for.

A list of objects would be copied page by page in every worker process, because reading an object writes its count of
references; arrays are shared. N segments.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar, overload

import numpy as np

from slowfast_cli.types import Recording, Segment

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns(Sequence[Segment]):
    """Whole recordings, each a file of its own, with one label set.

    Attributes:
        ids: Of segments and recordings, (N,) bytes of fixed width.
        files: Their names, (N,) bytes of fixed width.
        folders: That files are in.
        folder: Which of them each file is in, (N,) unsigned.
        labels: The label set.
        classes: How many it has.
        targets: Class indices: (N,); or those of all segments one after the other, where several may hold at once.
        offsets: Where those of each begin and end, (N + 1,); None where each has one.
    """

    ids: np.ndarray
    files: np.ndarray
    folders: tuple[Path, ...]
    folder: np.ndarray
    labels: str
    classes: int
    targets: np.ndarray
    offsets: np.ndarray | None = None

    def __post_init__(self) -> None:
        count = len(self.ids)
        sizes = {"files": len(self.files), "folder": len(self.folder)}
        sizes["targets" if self.offsets is None else "offsets"] = (
            len(self.targets) if self.offsets is None else len(self.offsets) - 1
        )
        if wrong := {name: size for name, size in sizes.items() if size != count}:
            raise ValueError(f"columns: {count} ids, and {wrong}: one of each is right")
        if self.offsets is not None and (
            self.offsets[0] != 0 or self.offsets[-1] != len(self.targets) or (np.diff(self.offsets) < 0).any()
        ):
            raise ValueError(f"columns: offsets do not part {len(self.targets)} targets")
        for name, column, size in (
            ("target", self.targets, self.classes),
            ("folder", self.folder, len(self.folders)),
        ):
            if len(column) and not 0 <= int(column.min()) <= int(column.max()) < size:
                raise ValueError(f"columns: {name} {int(column.max())} is not one of {size}")
        ordered = np.sort(self.ids)
        if twice := np.flatnonzero(ordered[1:] == ordered[:-1]).tolist():
            raise ValueError(f"columns: segment {os.fsdecode(bytes(ordered[twice[0]]))} is listed twice")

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Segment: ...
    @overload
    def __getitem__(self, index: slice) -> Columns: ...
    def __getitem__(self, index: int | slice) -> Segment | Columns:
        """A segment, or some of them as columns."""
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        if not -len(self) <= index < len(self):
            raise IndexError(f"segment {index} of {len(self)}")
        place = index % len(self)
        id = os.fsdecode(bytes(self.ids[place]))
        path = self.folders[self.folder[place]] / os.fsdecode(bytes(self.files[place]))
        return Segment(id=id, recording=Recording(id=id, path=path), targets={self.labels: self._target(place)})

    def _target(self, place: int) -> int | tuple[int, ...]:
        if self.offsets is None:
            return int(self.targets[place])
        return tuple(self.targets[self.offsets[place] : self.offsets[place + 1]].tolist())

    def __iter__(self) -> Iterator[Segment]:
        return (self[index] for index in range(len(self)))

    def take(self, places: np.ndarray) -> Columns:
        """Some of the segments, by their places or by a mask, as columns."""
        places = np.flatnonzero(places) if places.dtype == bool else places
        targets, offsets = self.targets, self.offsets
        if offsets is None:
            targets = targets[places]
        else:
            targets, offsets = some_runs(targets, offsets, places)
        return Columns(
            ids=self.ids[places],
            files=self.files[places],
            folders=self.folders,
            folder=self.folder[places],
            labels=self.labels,
            classes=self.classes,
            targets=targets,
            offsets=offsets,
        )


def some_runs(values: np.ndarray, offsets: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some of the runs that lie one after the other in an array.

    >>> values, offsets = some_runs(np.array([5, 6, 7, 8]), np.array([0, 1, 3, 4]), np.array([2, 1]))
    >>> values.tolist(), offsets.tolist()
    ([8, 6, 7], [0, 1, 3])
    """
    counts, begins = np.diff(offsets)[places], offsets[:-1][places]
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    return values[np.repeat(begins - ends[:-1], counts) + np.arange(ends[-1])], ends


class Made(Sequence[T], Generic[S, T]):
    """Values that are made of others when asked for, and not kept.

    Args:
        items: What they are made of.
        make: Makes one; worker processes that do not fork get it as a pickle.
    """

    def __init__(self, items: Sequence[S], make: Callable[[S], T]) -> None:
        self.items, self.make = items, make

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Made[S, T]: ...
    def __getitem__(self, index: int | slice) -> T | Made[S, T]:
        """A value, or some of them unmade."""
        return Made(self.items[index], self.make) if isinstance(index, slice) else self.make(self.items[index])

    def __iter__(self) -> Iterator[T]:
        return map(self.make, self.items)


class Packed(Sequence[Segment]):
    """Segments that lie in one array as bytes, and are made when asked for: a copy of a process shares its pages.

    Args:
        segments: Of any kind.
    """

    def __init__(self, segments: Sequence[Segment]) -> None:
        pieces = [pickle.dumps(segment, pickle.HIGHEST_PROTOCOL) for segment in segments]
        self._ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
        self._bytes = np.frombuffer(b"".join(pieces), np.uint8)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> Segment: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Segment, ...]: ...
    def __getitem__(self, index: int | slice) -> Segment | tuple[Segment, ...]:
        """A segment, or some of them."""
        if isinstance(index, slice):
            return tuple(self[place] for place in range(*index.indices(len(self))))
        end = self._ends[index]
        first = self._ends[index - 1] if index % len(self) else 0
        segment: Segment = pickle.loads(self._bytes[first:end].data)
        return segment


def packed(segments: Sequence[Segment]) -> Sequence[Segment]:
    """The same without an object for each: columns as they are, others as bytes."""
    return Packed(segments) if isinstance(segments, tuple | list) else segments


def joined(first: Sequence[T], second: Sequence[T]) -> Sequence[T]:
    """Both, one after the other: a tuple, unless there is nothing to join."""
    return (*first, *second) if first and second else first or second


def changed(segments: Sequence[Segment], change: Callable[[Segment], Segment]) -> Sequence[Segment]:
    """Every segment changed: columns when asked for, a tuple at once."""
    return tuple(map(change, segments)) if isinstance(segments, tuple | list) else Made(segments, change)


def typical(segments: Sequence[Segment]) -> Sequence[Segment]:
    """Segments to look at to know which label sets all have: one of columns, which are all alike; else all."""
    return segments if isinstance(segments, tuple | list) else segments[:1]
