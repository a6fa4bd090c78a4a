"""Where every recording of a folder of shards is: plain arrays on the disk, which all processes of a machine map.

Beside the manifests, from which it can be made again at any time::

    index-<state of the manifests>/    ids.npy shard.npy first.npy rows.npy seconds.npy, sorted by id; shards.json

The name tells which manifests it was made of, by their sizes and times, so one of others is never taken for it. It is
written under another name and renamed when it is whole, by `slowfast extract`, or by the first who reads without one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from slowfast_cli.shards.manifest import each_entry, parts
from slowfast_cli.types import Failure, Settings

FORMAT = 1
PREFIX = "index-"
TEMPORARY = ".tmp"
TABLE = "shards.json"
COLUMNS = {"shard": np.int32, "first": np.int64, "rows": np.int64, "seconds": np.float64}  # and ids, of any width

UNUSABLE = (OSError, ValueError, KeyError, TypeError, EOFError)  # what loading one that is not whole may raise


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """What the manifests of a folder say, N recordings sorted by id.

    Attributes:
        names: Files of the shards.
        sizes: Of each, in bytes.
        hashes: SHA-256 of each.
        made: Which of `front_ends` each was made with.
        front_ends: All settings that any shard was made with; empty where there are no manifests.
        failures: Recordings that gave nothing.
        ids: (N,) bytes of fixed width.
        shard: Which one each is in, (N,).
        first: Row of the shard that each begins at, (N,).
        rows: Of each, (N,).
        seconds: Of each, (N,).
        mapped: The folder that the arrays are mapped from; None where they are in memory.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    hashes: tuple[str, ...]
    made: tuple[int, ...]
    front_ends: tuple[Settings, ...]
    failures: tuple[Failure, ...]
    ids: np.ndarray
    shard: np.ndarray
    first: np.ndarray
    rows: np.ndarray
    seconds: np.ndarray
    mapped: Path | None = None

    def find(self, id: bytes) -> int | None:
        """The place of a recording; None where it is not stored."""
        if len(id) > self.ids.itemsize:  # numpy would widen a copy of all ids to compare
            return None
        place = int(np.searchsorted(self.ids, np.array(id, self.ids.dtype)))
        return place if place < len(self.ids) and self.ids[place] == id else None

    def held(self, ids: np.ndarray) -> np.ndarray:
        """Which of many recordings are stored, by their ids as bytes: (M,) bool."""
        return self._places(ids)[1]

    def lengths(self, ids: np.ndarray) -> np.ndarray:
        """Seconds of many recordings, NaN of those that are not stored: (M,)."""
        places, there = self._places(ids)
        return np.where(there, self.seconds[places] if len(self.seconds) else np.nan, np.nan)

    def _places(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where each would be, and whether it is."""
        if not len(self.ids):
            return np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
        wanted = ids if ids.dtype == self.ids.dtype else ids.astype(self.ids.dtype)
        places = np.minimum(np.searchsorted(self.ids, wanted), len(self.ids) - 1)
        return places, self.ids[places] == ids

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker that does not fork maps the same files: it gets their name, not a copy."""
        if self.mapped is not None:
            return (_load, (self.mapped,))
        return (partial(Index, **self.__dict__), ())


def state(folder: Path) -> str:
    """Tells one state of the manifests from another: a hash of their names, sizes and times."""
    told: list[object] = [FORMAT]
    for path in parts(folder):
        found = path.stat()
        told.append((path.name, found.st_size, found.st_mtime_ns))
    return sha256(repr(told).encode()).hexdigest()[:16]


def opened(folder: Path) -> Index:
    """The index of a folder of shards; one that is missing, of other manifests or broken is made anew.

    Where it cannot be written, it is kept in memory.

    Raises:
        DataError: A manifest is broken or cannot be read.
    """
    try:
        place = folder / f"{PREFIX}{state(folder)}"
    except OSError:  # `made_of` says what is wrong
        return made_of(folder)
    with suppress(*UNUSABLE):
        return _load(place)
    index = made_of(folder)
    if index.front_ends:
        with suppress(OSError):
            _write(place, index)
        with suppress(*UNUSABLE):  # the one just written, or that of another process, whose memory is shared
            return _load(place)
    return index


def made_of(folder: Path) -> Index:
    """Make an index of the manifests, in memory.

    Raises:
        DataError: A manifest is broken or cannot be read.
    """
    front_ends: dict[str, Settings] = {}
    shards: list[tuple[str, int, str, int]] = []
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("ids", *COLUMNS)}
    failed: dict[str, Failure] = {}
    for entry in (entry for path in parts(folder) for entry in each_entry(path)):
        failed |= {each.id: each for each in entry.failures}
        told = json.dumps(entry.front_end, sort_keys=True)
        front_ends.setdefault(told, entry.front_end)
        if entry.shard:
            rows = np.array(entry.rows, np.int64)
            columns["ids"].append(np.array([os.fsencode(id) for id in entry.ids], dtype=bytes))
            columns["shard"].append(np.full(len(rows), len(shards), np.int32))
            columns["first"].append(np.cumsum(rows) - rows)
            columns["rows"].append(rows)
            columns["seconds"].append(np.array(entry.seconds, np.float64))
            shards.append((entry.shard, entry.bytes, entry.sha256, list(front_ends).index(told)))
    ids = np.concatenate(columns.pop("ids") or [np.zeros(0, "S1")])
    order = np.argsort(ids, kind="stable")
    names, sizes, hashes, made = zip(*shards, strict=True) if shards else ((), (), (), ())
    joined = {name: np.concatenate([*columns[name], np.zeros(0, kind)])[order] for name, kind in COLUMNS.items()}
    index = Index(
        names=names, sizes=sizes, hashes=hashes, made=made, front_ends=tuple(front_ends.values()), failures=(),
        ids=ids[order], shard=joined["shard"], first=joined["first"], rows=joined["rows"], seconds=joined["seconds"],
    )  # fmt: skip
    lost = tuple(each for id, each in failed.items() if index.find(os.fsencode(id)) is None)
    return Index(**{**index.__dict__, "failures": lost})


def sweep(folder: Path, *, all: bool = False) -> None:
    """Remove indices of earlier states and what was left unfinished, or all of them."""
    kept = "" if all else f"{PREFIX}{state(folder)}"
    for path in folder.glob(f"{PREFIX}*"):
        if path.name != kept:
            shutil.rmtree(path, ignore_errors=True)


def _write(place: Path, index: Index) -> None:
    """Write an index whole, or not at all."""
    temporary = place.with_name(f"{place.name}.{os.getpid()}{TEMPORARY}")
    try:
        temporary.mkdir()
        for name in ("ids", *COLUMNS):
            with (temporary / f"{name}.npy").open("wb") as file:
                np.save(file, getattr(index, name), allow_pickle=False)
                os.fsync(file.fileno())
        table = {
            "count": len(index.ids),
            **{name: getattr(index, name) for name in ("names", "sizes", "hashes", "made", "front_ends")},
            "failures": [{**asdict(each), "path": str(each.path)} for each in index.failures],
        }
        with (temporary / TABLE).open("w", encoding="utf-8") as text:
            json.dump(table, text)
            text.flush()
            os.fsync(text.fileno())
        if place.exists():  # broken: whoever still maps its files keeps them
            shutil.rmtree(place, ignore_errors=True)
        temporary.rename(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _load(place: Path) -> Index:
    """Map an index.

    Raises:
        OSError: It is not there.
        ValueError: It is not whole; so do the others of `UNUSABLE` tell.
    """
    table = json.loads((place / TABLE).read_text(encoding="utf-8"))
    count = table.pop("count")
    # As plain arrays: numpy's own class of mapped ones is slow to index.
    arrays = {name: np.load(place / f"{name}.npy", mmap_mode="r").view(np.ndarray) for name in ("ids", *COLUMNS)}
    _require_whole(arrays.values(), count)
    failures = tuple(Failure(**{**each, "path": Path(each["path"])}) for each in table.pop("failures"))
    shards: dict[str, Any] = {name: tuple(table[name]) for name in ("names", "sizes", "hashes", "made", "front_ends")}
    if len({len(shards[name]) for name in ("names", "sizes", "hashes", "made")}) > 1:
        raise ValueError(f"{place}: columns of shards differ in length")
    return Index(**shards, **arrays, failures=failures, mapped=place)


def _require_whole(arrays: Iterable[np.ndarray], count: int) -> None:
    if wrong := [array.shape for array in arrays if array.shape != (count,)]:
        raise ValueError(f"an index of {count} recordings has columns of {wrong}")
