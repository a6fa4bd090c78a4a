"""Log-mel rows kept in HDF5 shards: random access by recording, safe in any number of processes.

A folder of shards holds::

    manifest.jsonl      one line a shard: its name, size, sha256, settings, what is in it, and what failed; of several
                        processes that extracted together each has its own, as manifest-00001.jsonl
    shard-00000.h5      logmel (rows, mels); index/{id,first,rows,seconds}; attributes: front end, version, source list

    index-.../          where each recording is, made of the manifests, see `slowfast_cli.shards.index`

The manifests are the truth: a shard that they do not name does not count. Rows of a recording are consecutive.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from slowfast_cli.media.audio_source import printable
from slowfast_cli.shards import index
from slowfast_cli.storage import remote
from slowfast_cli.types import DataError, Seconds, Settings

OPEN_FILES = 64  # shards a process keeps open at a time


def differing(made: Settings, wanted: Settings) -> tuple[str, str]:
    """What two settings disagree in, each in words; empty where they are the same.

    >>> differing({"mels": 80, "hop_ms": 10}, {"mels": 128, "hop_ms": 10})
    ('mels=80', 'mels=128')
    """
    names = [name for name in {**wanted, **made} if made.get(name) != wanted.get(name)]
    both = [", ".join(f"{name}={side.get(name, 'as ever')}" for name in names) for side in (made, wanted)]
    return both[0], both[1]


class Shards:
    """The stored recordings of one folder.

    Args:
        folder: Where they are.
        settings: The front end that is wanted; None takes any.

    Raises:
        DataError: There are none, they were made with other settings, or a file is missing or of another size.
    """

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        self.folder = folder
        self._index = index.opened(folder)
        if not self._index.front_ends:
            raise DataError(f"{printable(folder)}: no shards there: run `slowfast extract`, or say where they are")
        self.settings = dict(settings) if settings is not None else dict(self._index.front_ends[0])
        self._check()
        self.failures = self._index.failures
        self._open: OrderedDict[int, Any] = OrderedDict()
        self._process = os.getpid()
        self._inherited: list[Any] = []

    def _check(self) -> None:
        """Refuse shards of other settings and sizes."""
        differs = [differing(made, self.settings) for made in self._index.front_ends]
        folder = os.fspath(self.folder)
        for name, bytes, which in zip(self._index.names, self._index.sizes, self._index.made, strict=True):
            made, wanted = differs[which]
            if made:
                raise DataError(
                    f"{printable(self.folder / name)}: made with {made}, the recipe wants {wanted}: re-run `slowfast "
                    "extract` for that recipe"
                )
            try:
                size = os.stat(f"{folder}/{name}").st_size  # noqa: PTH116  (thousands of them at every start)
            except OSError as error:
                raise self._broken(self.folder / name, error.strerror or str(error)) from error
            if size != bytes:
                raise self._broken(self.folder / name, f"{size} bytes, the manifest says {bytes}")

    def _broken(self, path: Path, reason: str) -> DataError:
        return DataError(
            f"{printable(path)}: broken shard ({reason}): remove it and run `slowfast extract` again, which makes it anew"
        )

    def __len__(self) -> int:
        return len(self._index.ids)

    def __contains__(self, id: str) -> bool:
        return self._index.find(key(id)) is not None

    def held(self, ids: np.ndarray) -> np.ndarray:
        """Which of many recordings are stored, by their ids as bytes: (N,) bool."""
        return self._index.held(ids)

    def lengths(self, ids: Sequence[str]) -> np.ndarray:
        """Lengths of many recordings, in seconds, NaN of those that are not stored: (N,)."""
        return self._index.lengths(np.array([key(id) for id in ids], dtype=bytes))

    def _place(self, id: str) -> int:
        place = self._index.find(key(id))
        if place is None:
            reason = next((each.reason for each in self.failures if each.id == id), "never extracted")
            where = f"{printable(self.folder)}: no rows of recording {printable(id)}"
            raise DataError(f"{where} ({reason}): run `slowfast extract`")
        return place

    def ids(self) -> tuple[str, ...]:
        """The stored recordings."""
        return tuple(os.fsdecode(bytes(each)) for each in self._index.ids)

    def rows(self, id: str) -> int:
        """How many rows a recording has.

        Raises:
            DataError: It is not stored.
        """
        return int(self._index.rows[self._place(id)])

    def seconds(self, id: str) -> Seconds:
        """Length of a recording.

        Raises:
            DataError: It is not stored.
        """
        return float(self._index.seconds[self._place(id)])

    def read(self, id: str, first: int = 0, count: int | None = None) -> np.ndarray:
        """Read rows of a recording, of the type that they are stored in: half as many bytes go to a device as float16.

        Args:
            id: The recording.
            first: Row to start with.
            count: How many; None reads to the end.

        Shape:
            (count, F); fewer rows where the recording ends

        Raises:
            DataError: It is not stored, or its shard is broken or was made with other settings.
        """
        if first < 0 or (count is not None and count < 0):
            raise ValueError(f"rows of {id}: first {first}, count {count}: neither may be negative")
        place = self._place(id)
        end = int(self._index.rows[place]) if count is None else min(int(self._index.rows[place]), first + count)
        start = int(self._index.first[place])
        shard = int(self._index.shard[place])
        rows = self._file(shard)
        try:
            found: np.ndarray = rows[start + min(first, end) : start + end]
        except (OSError, RuntimeError) as error:
            raise self._broken(self.folder / self._index.names[shard], str(error)) from error
        return found

    def _file(self, shard: int) -> Any:
        if self._process != os.getpid():  # forked: the parent's handles share its file position and are left alone
            self._inherited.append(self._open)
            self._open, self._process = OrderedDict(), os.getpid()
        if shard in self._open:
            self._open.move_to_end(shard)
            return self._open[shard]
        path = self.folder / self._index.names[shard]
        try:
            file = h5py.File(remote.ensure_local(path), "r", locking=False)
            made = json.loads(file.attrs["front_end"])
            rows = file["logmel"]
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise self._broken(path, str(error)) from error
        if told := differing(made, self.settings)[0]:
            raise self._broken(path, f"it says it was made with {told}")
        self._open[shard] = rows
        if len(self._open) > OPEN_FILES:
            self._open.popitem(last=False)[1].file.close()
        return rows

    def verify(self) -> tuple[str, ...]:
        """Read every shard and compare its checksum: the names of those that differ."""
        pairs = zip(self._index.names, self._index.hashes, strict=True)
        return tuple(name for name, known in pairs if digest(remote.ensure_local(self.folder / name)) != known)

    def close(self) -> None:
        """Close the files this process has open; reading opens them again."""
        if self._process == os.getpid():
            for rows in self._open.values():
                rows.file.close()
        self._open = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict(), "_process": 0, "_inherited": []}


def key(id: str) -> bytes:
    """An id as the bytes that indices hold: ids made of file names may not be UTF-8."""
    return os.fsencode(id)


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    hashed = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            hashed.update(block)
    return hashed.hexdigest()
