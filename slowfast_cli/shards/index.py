"""Index of all recordings in a shard folder: arrays on disk that all processes of a machine map into memory.

Stored beside the manifests, from which it can be rebuilt at any time::

    index-<state of the manifests>/    ids.npy shard.npy first.npy rows.npy seconds.npy, sorted by id; shards.json;
                                       sha256.json, the checksums of these files

The name identifies the manifests by their sizes and modification times, so that a stale index is never used; a damaged
one, whose checksums differ, is built again. The index is written under a temporary name and renamed, by
`slowfast extract` or by the first reader that finds none.
"""

import json
import mmap
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from slowfast_cli.shards.manifest import iter_entries, manifest_files
from slowfast_cli.types import Failure, Settings

FORMAT = 2
PREFIX = "index-"
TEMPORARY = ".tmp"
TABLE = "shards.json"
CHECKSUMS = "sha256.json"
COLUMNS = {"shard": np.int32, "first": np.int64, "rows": np.int64, "seconds": np.float64}  # and ids, of any width
FILES = ("ids.npy", *(f"{name}.npy" for name in COLUMNS), TABLE)
SHARD_KEYS = {"names": "names", "sizes": "sizes", "hashes": "hashes", "front_end_of": "made"}  # keys in shards.json
LOAD_ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError)  # of a missing or damaged index


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """The contents of a folder's manifests, with N recordings sorted by id."""

    names: tuple[str, ...]  # shard files
    sizes: tuple[int, ...]  # their sizes, bytes
    hashes: tuple[str, ...]  # their SHA-256
    front_end_of: tuple[int, ...]  # index into `front_ends` of each shard
    front_ends: tuple[Settings, ...]  # distinct settings of the shards; empty without manifests
    failures: tuple[Failure, ...]  # recordings without rows
    ids: np.ndarray  # (N,) bytes of fixed width
    shard: np.ndarray  # shard of each recording, (N,)
    first: np.ndarray  # its first row in the shard, (N,)
    rows: np.ndarray  # its number of rows, (N,)
    seconds: np.ndarray  # its length, (N,)
    mapped: Path | None = None  # folder that the arrays are mapped from; None: in memory

    def find(self, id: bytes) -> int | None:
        """Return the position of a recording; None if it is not stored."""
        if len(id) > self.ids.itemsize:  # numpy would compare with a widened copy of all ids
            return None
        place = int(np.searchsorted(self.ids, np.array(id, self.ids.dtype)))
        return place if place < len(self.ids) and self.ids[place] == id else None

    def contains(self, ids: np.ndarray) -> np.ndarray:
        """Return which of M recordings, given by id bytes, are stored: (M,) bool."""
        return self._search(ids)[1]

    def lengths(self, ids: np.ndarray) -> np.ndarray:
        """Return the lengths of M recordings in seconds, NaN if not stored: (M,)."""
        places, stored = self._search(ids)
        return np.where(stored, self.seconds[places] if len(self.seconds) else np.nan, np.nan)

    def _search(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the insertion position of each id, and whether it is stored."""
        if not len(self.ids):
            return np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
        wanted = ids if ids.dtype == self.ids.dtype else ids.astype(self.ids.dtype)
        places = np.minimum(np.searchsorted(self.ids, wanted), len(self.ids) - 1)
        return places, self.ids[places] == ids

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the name of a mapped index, so that spawned workers map the files instead of copying them."""
        if self.mapped is not None:
            return (_load, (self.mapped,))  # which has compared the checksums
        return (partial(Index, **self.__dict__), ())


def manifest_state(folder: Path) -> str:
    """Hash the names, sizes and modification times of the manifests."""
    state: list[object] = [FORMAT]
    for path in manifest_files(folder):
        stat = path.stat()
        state.append((path.name, stat.st_size, stat.st_mtime_ns))
    return sha256(repr(state).encode()).hexdigest()[:16]


def open_index(folder: Path) -> Index:
    """Open the index of a shard folder; build it if it is missing, stale or broken.

    An index that cannot be written is kept in memory.

    Raises:
        DataError: A manifest is broken or cannot be read.
    """
    try:
        path = folder / f"{PREFIX}{manifest_state(folder)}"
    except OSError:  # `build_index` raises an error that names the reason
        return build_index(folder)
    with suppress(*LOAD_ERRORS):
        return _verified(path)
    index = build_index(folder)
    if index.front_ends:
        with suppress(OSError):
            _write(path, index)
        with suppress(*LOAD_ERRORS):  # the one just written, or that of another process, to share its memory
            return _verified(path)
    return index


def build_index(folder: Path) -> Index:
    """Build an index of the manifests, in memory; raise `DataError` if a manifest is broken or cannot be read."""
    front_ends: dict[str, Settings] = {}
    shards: list[tuple[str, int, str, int]] = []
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("ids", *COLUMNS)}
    failed: dict[str, Failure] = {}
    for entry in (entry for path in manifest_files(folder) for entry in iter_entries(path)):
        failed |= {failure.id: failure for failure in entry.failures}
        settings = json.dumps(entry.front_end, sort_keys=True)
        front_ends.setdefault(settings, entry.front_end)
        if entry.shard:
            rows = np.array(entry.rows, np.int64)
            columns["ids"].append(np.array([os.fsencode(id) for id in entry.ids], dtype=bytes))
            columns["shard"].append(np.full(len(rows), len(shards), np.int32))
            columns["first"].append(np.cumsum(rows) - rows)
            columns["rows"].append(rows)
            columns["seconds"].append(np.array(entry.seconds, np.float64))
            shards.append((entry.shard, entry.bytes, entry.sha256, list(front_ends).index(settings)))
    # In the order of shards, of equal ids the last was written last.
    turn = sorted(range(len(shards)), key=lambda number: int(shards[number][0][len("shard-") : -len(".h5")]))
    columns = {name: [column[number] for number in turn] for name, column in columns.items()}
    ids = np.concatenate(columns.pop("ids") or [np.zeros(0, "S1")])
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    last = np.append(ordered[1:] != ordered[:-1], True)[: len(ids)]
    order = order[last & (ordered != b"")]  # rows without an id are no longer used
    names, sizes, hashes, front_end_of = zip(*shards, strict=True) if shards else ((), (), (), ())
    arrays = {name: np.concatenate([*columns[name], np.zeros(0, kind)])[order] for name, kind in COLUMNS.items()}
    index = Index(
        names=names, sizes=sizes, hashes=hashes, front_end_of=front_end_of, front_ends=tuple(front_ends.values()),
        failures=(), ids=ids[order],
        shard=arrays["shard"], first=arrays["first"], rows=arrays["rows"], seconds=arrays["seconds"],
    )  # fmt: skip
    failures = tuple(failure for id, failure in failed.items() if index.find(os.fsencode(id)) is None)
    return Index(**{**index.__dict__, "failures": failures})


def remove_stale(folder: Path, *, all: bool = False) -> None:
    """Remove stale and unfinished indices, or all of them."""
    current = "" if all else f"{PREFIX}{manifest_state(folder)}"
    for path in folder.glob(f"{PREFIX}*"):
        if path.name != current:
            shutil.rmtree(path, ignore_errors=True)


def _write(path: Path, index: Index) -> None:
    """Write an index atomically."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        temporary.mkdir()
        for name in ("ids", *COLUMNS):
            with (temporary / f"{name}.npy").open("wb") as file:
                np.save(file, getattr(index, name), allow_pickle=False)
                os.fsync(file.fileno())
        table = {
            **{key: getattr(index, name) for name, key in SHARD_KEYS.items()},
            "front_ends": index.front_ends,
            "failures": [{**asdict(failure), "path": str(failure.path)} for failure in index.failures],
        }
        with (temporary / TABLE).open("w", encoding="utf-8") as text:
            json.dump(table, text)
            text.flush()
            os.fsync(text.fileno())
        checksums = {name: _checksum(temporary / name) for name in FILES}
        (temporary / CHECKSUMS).write_text(json.dumps(checksums), encoding="utf-8")
        if path.exists():  # broken; processes that have mapped its files keep them
            shutil.rmtree(path, ignore_errors=True)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _verified(path: Path) -> Index:
    """Map an index; raise one of `LOAD_ERRORS` if it is missing, incomplete or damaged."""
    checksums = json.loads((path / CHECKSUMS).read_text(encoding="utf-8"))
    if checksums != {name: _checksum(path / name) for name in FILES}:
        raise ValueError(f"{path}: checksums differ")
    return _load(path)


def _checksum(path: Path) -> str:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:  # takes no memory
        return sha256(content).hexdigest()


def _load(path: Path) -> Index:
    """Map an index."""
    table = json.loads((path / TABLE).read_text(encoding="utf-8"))
    # Views as plain arrays, because `np.memmap` is slow to index.
    arrays = {name: np.load(path / f"{name}.npy", mmap_mode="r").view(np.ndarray) for name in ("ids", *COLUMNS)}
    failures = tuple(Failure(**{**failure, "path": Path(failure["path"])}) for failure in table.pop("failures"))
    shards: dict[str, Any] = {name: tuple(table[key]) for name, key in SHARD_KEYS.items()}
    return Index(**shards, **arrays, front_ends=tuple(table["front_ends"]), failures=failures, mapped=path)
