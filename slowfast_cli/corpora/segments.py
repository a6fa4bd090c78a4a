"""The table of segments: struct-of-arrays storage, or objects; `Segment` values are created on access.

A list of objects would be copied page by page in every worker process, because reading an object changes its reference
count; arrays are shared. N segments.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar, overload

import numpy as np

from slowfast_cli.types import Recording, Segment

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class FileColumns:
    """Columns of segments that are whole files with one label set."""

    ids: np.ndarray  # of segments and recordings, (N,) bytes of fixed width
    files: np.ndarray  # file names, (N,) bytes of fixed width
    folders: tuple[Path, ...]
    folder: np.ndarray  # index into `folders` of each file, (N,) unsigned
    labels: str  # the label set
    classes: int  # number of its classes
    targets: np.ndarray  # class indices: (N,), or with `offsets` those of all segments concatenated
    offsets: np.ndarray | None = None  # bounds of each segment's targets, (N + 1,), if several classes may hold at once

    def __post_init__(self) -> None:
        count = len(self.ids)
        targets = len(self.targets) if self.offsets is None else len(self.offsets) - 1
        sizes = {"files": len(self.files), "folder": len(self.folder), "targets": targets}
        if wrong := {name: size for name, size in sizes.items() if size != count}:
            raise ValueError(f"columns: {count} ids, but {wrong}: expected the same number of each")
        if self.offsets is not None and (
            self.offsets[0] != 0 or self.offsets[-1] != len(self.targets) or (np.diff(self.offsets) < 0).any()
        ):
            raise ValueError(f"columns: offsets do not partition {len(self.targets)} targets")
        for name, column, size in (("target", self.targets, self.classes), ("folder", self.folder, len(self.folders))):
            if len(column) and not 0 <= int(column.min()) <= int(column.max()) < size:
                raise ValueError(f"columns: {name} {int(column.max())} is not one of {size}")
        ordered = np.sort(self.ids)
        if twice := np.flatnonzero(ordered[1:] == ordered[:-1]).tolist():
            raise ValueError(f"columns: segment {os.fsdecode(bytes(ordered[twice[0]]))} is listed twice")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> Segment:
        id_ = os.fsdecode(bytes(self.ids[row]))
        path = self.folders[self.folder[row]] / os.fsdecode(bytes(self.files[row]))
        if self.offsets is None:
            target: int | tuple[int, ...] = int(self.targets[row])
        else:
            target = tuple(self.targets[self.offsets[row] : self.offsets[row + 1]].tolist())
        return Segment(id=id_, recording=Recording(id=id_, path=path), targets={self.labels: target})


class _Pickles:
    """Segments pickled into one array, whose memory worker processes share."""

    def __init__(self, segments: Iterable[Segment]) -> None:
        pieces = [pickle.dumps(segment, pickle.HIGHEST_PROTOCOL) for segment in segments]
        self._ends = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
        self._bytes = np.frombuffer(b"".join(pieces), np.uint8)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, row: int) -> Segment:
        segment: Segment = pickle.loads(self._bytes[self._ends[row] : self._ends[row + 1]].data)
        return segment


class Segments(Sequence[Segment]):
    """Immutable table of segments; `take` and `map` return another table on the same storage.

    Args:
        storage: Columns, pickles, or a tuple of objects.
        rows: Rows of the storage that belong to the table, in order; all by default.
        changes: Functions applied to a segment on access, one after the other.
    """

    def __init__(
        self,
        storage: FileColumns | _Pickles | tuple[Segment, ...],
        *,
        rows: np.ndarray | None = None,
        changes: tuple[Callable[[Segment], Segment], ...] = (),
    ) -> None:
        self._storage, self._changes = storage, changes
        self._rows = np.arange(len(storage), dtype=np.int32) if rows is None else rows

    @classmethod
    def of(cls, segments: Sequence[Segment]) -> Segments:
        """Return a table of any sequence of segments; a table is returned unchanged."""
        return segments if isinstance(segments, Segments) else cls(tuple(segments))

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Segment: ...
    @overload
    def __getitem__(self, index: slice) -> Segments: ...
    def __getitem__(self, index: int | slice) -> Segment | Segments:
        """Return a segment, or a table of a slice."""
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        segment = self._storage[int(self._rows[index])]
        for change in self._changes:
            segment = change(segment)
        return segment

    def __iter__(self) -> Iterator[Segment]:
        return (self[index] for index in range(len(self)))

    @property
    def file_ids(self) -> np.ndarray | None:
        """Ids, (N,) bytes, of segments that are whole files in columns; None of others."""
        return self._storage.ids[self._rows] if isinstance(self._storage, FileColumns) else None

    def take(self, rows: np.ndarray) -> Segments:
        """Return some of the segments, by index or by mask (N,)."""
        return Segments(self._storage, rows=self._rows[rows], changes=self._changes)

    def map(self, change: Callable[[Segment], Segment]) -> Segments:
        """Apply a function to every segment: on access, or at once where the segments are objects anyway."""
        if isinstance(self._storage, tuple):
            return Segments(tuple(map(change, self)))
        return Segments(self._storage, rows=self._rows, changes=(*self._changes, change))

    def shared(self) -> Segments:
        """Return a table without an object per segment, whose memory worker processes share."""
        return Segments(_Pickles(self)) if isinstance(self._storage, tuple) else self

    def sample(self) -> Sequence[Segment]:
        """Segments that show which label sets all have: one of columns, which are alike, else all."""
        return self[:1] if isinstance(self._storage, FileColumns) else self


def select_runs(values: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Select runs of a ragged array, given as concatenated values and bounds.

    >>> values, offsets = select_runs(np.array([5, 6, 7, 8]), np.array([0, 1, 3, 4]), np.array([2, 1]))
    >>> values.tolist(), offsets.tolist()
    ([8, 6, 7], [0, 1, 3])
    """
    counts, begins = np.diff(offsets)[rows], offsets[:-1][rows]
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    return values[np.repeat(begins - ends[:-1], counts) + np.arange(ends[-1])], ends


class LazyMap(Sequence[T], Generic[S, T]):
    """Values computed from ``items`` by ``make`` on access, and not stored; it is pickled for spawned workers."""

    def __init__(self, items: Sequence[S], make: Callable[[S], T]) -> None:
        self.items, self.make = items, make

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> LazyMap[S, T]: ...
    def __getitem__(self, index: int | slice) -> T | LazyMap[S, T]:
        """Return a value, or a lazy map of a slice."""
        return LazyMap(self.items[index], self.make) if isinstance(index, slice) else self.make(self.items[index])

    def __iter__(self) -> Iterator[T]:
        return map(self.make, self.items)


def concat(first: Sequence[T], second: Sequence[T]) -> Sequence[T]:
    """Concatenate to a tuple; if one is empty, return the other unchanged."""
    return (*first, *second) if first and second else first or second
