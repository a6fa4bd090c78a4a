"""Read log-mel rows from HDF5 shards by recording; safe in any number of processes.

A shard folder contains::

    manifest.jsonl      one line per shard: name, size, sha256, settings, recordings and failures; each further process
                        of a distributed extraction writes its own, such as manifest-00001.jsonl
    shard-00000.h5      logmel (rows, mels); index/{id,first,rows,seconds}; attributes: front end, version, source list
    index-.../          position of each recording, derived from the manifests, see `slowfast_cli.shards.index`

Only shards listed in a manifest are used. The rows of a recording are consecutive.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from slowfast_cli.media.audio_source import printable
from slowfast_cli.shards import index
from slowfast_cli.storage import remote
from slowfast_cli.storage.atomic import file_hash
from slowfast_cli.types import DataError, Seconds, Settings, text_of

MAX_CHUNK = 1 << 26  # bytes; a shard of 10000 mel bands has chunks of 10 MB
OPEN_FILES = 64  # shards that a process keeps open


def settings_diff(stored: Settings, wanted: Settings) -> tuple[str, str]:
    """Describe the entries in which two settings differ; empty if they are equal.

    >>> settings_diff({"mels": 80, "hop_ms": 10}, {"mels": 128, "hop_ms": 10})
    ('mels=80', 'mels=128')
    """
    names = [name for name in {**wanted, **stored} if stored.get(name) != wanted.get(name)]
    both = [", ".join(f"{name}={side.get(name, 'default')}" for name in names) for side in (stored, wanted)]
    return both[0], both[1]


class Shards:
    """The recordings stored in a shard folder.

    Args:
        folder: Shard folder.
        settings: Required front-end settings; None accepts any.

    Raises:
        DataError: There are no shards, they have other settings, or a file is missing or has another size.
    """

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        self.folder = folder
        self._index = index.open_index(folder)
        if not self._index.front_ends:
            raise DataError(f"{printable(folder)}: no shards there: run `slowfast extract`, or set data.shards")
        self.settings = dict(settings) if settings is not None else dict(self._index.front_ends[0])
        self._check()
        self.failures = self._index.failures
        self._open: OrderedDict[int, Any] = OrderedDict()
        self._process = os.getpid()
        self._inherited: list[Any] = []

    def _check(self) -> None:
        """Raise `DataError` for shards with other settings or sizes."""
        differences = [settings_diff(stored, self.settings) for stored in self._index.front_ends]
        folder = os.fspath(self.folder)
        for name, bytes, which in zip(self._index.names, self._index.sizes, self._index.front_end_of, strict=True):
            stored, wanted = differences[which]
            if stored:
                raise DataError(
                    f"{printable(self.folder / name)}: made with {stored}, the recipe wants {wanted}: extract again"
                )
            try:
                size = os.stat(f"{folder}/{name}").st_size  # noqa: PTH116  (thousands of files at every start)
            except OSError as error:
                raise self._broken(self.folder / name, error.strerror or str(error)) from error
            if size != bytes:
                raise self._broken(self.folder / name, f"{size} bytes, the manifest says {bytes}")

    def _broken(self, path: Path, reason: str) -> DataError:
        return DataError(f"{printable(path)}: broken shard ({reason}): remove it and run `slowfast extract` again")

    def __len__(self) -> int:
        return len(self._index.ids)

    def __contains__(self, id: str) -> bool:
        return self._index.find(id_bytes(id)) is not None

    def contains(self, ids: np.ndarray) -> np.ndarray:
        """Return which of N recordings, given by id bytes, are stored: (N,) bool."""
        return self._index.contains(ids)

    def lengths(self, ids: Sequence[str]) -> np.ndarray:
        """Return the lengths of N recordings in seconds, NaN if not stored: (N,)."""
        return self._index.lengths(np.array([id_bytes(id) for id in ids], dtype=bytes))

    def _place(self, id: str) -> int:
        place = self._index.find(id_bytes(id))
        if place is None:
            reason = next((failure.reason for failure in self.failures if failure.id == id), "never extracted")
            where = f"{printable(self.folder)}: no rows of recording {printable(id)}"
            raise DataError(f"{where} ({reason}): run `slowfast extract`")
        return place

    def ids(self) -> tuple[str, ...]:
        """Return the ids of the stored recordings."""
        return tuple(os.fsdecode(bytes(id)) for id in self._index.ids)

    def rows(self, id: str) -> int:
        """Return the number of rows of a recording; raise `DataError` if it is not stored."""
        return int(self._index.rows[self._place(id)])

    def seconds(self, id: str) -> Seconds:
        """Return the length of a recording; raise `DataError` if it is not stored."""
        return float(self._index.seconds[self._place(id)])

    def read(self, id: str, first: int = 0, count: int | None = None) -> np.ndarray:
        """Read rows of a recording in their stored type: float16 halves the bytes copied to a device.

        Args:
            id: Recording.
            first: First row.
            count: Number of rows; None reads to the end.

        Shape: (count, F); fewer rows at the end of the recording

        Raises:
            DataError: The recording is not stored, or its shard is broken or has other settings.
        """
        if first < 0 or (count is not None and count < 0):
            raise ValueError(f"read({id}): first={first}, count={count}, expected non-negative values")
        place = self._place(id)
        end = int(self._index.rows[place]) if count is None else min(int(self._index.rows[place]), first + count)
        start = int(self._index.first[place])
        shard = int(self._index.shard[place])
        rows = self._file(shard)
        path = self.folder / self._index.names[shard]
        if start + end > len(rows):
            raise self._broken(path, f"{len(rows)} rows, the manifest says at least {start + end}")
        try:
            values: np.ndarray = rows[start + min(first, end) : start + end]
        except Exception as error:  # of a damaged file, HDF5 raises anything
            raise self._broken(path, text_of(error)) from error
        return values

    def _file(self, shard: int) -> Any:
        if self._process != os.getpid():  # forked: the parent's handles share its file position, do not use them
            self._inherited.append(self._open)
            self._open, self._process = OrderedDict(), os.getpid()
        if shard in self._open:
            self._open.move_to_end(shard)
            return self._open[shard]
        path = self.folder / self._index.names[shard]
        local = remote.ensure_local(path)
        try:
            file = h5py.File(local, "r", locking=False)
            settings = dict(json.loads(file.attrs["front_end"]))
            rows = _dataset(file, settings.get("mels"))
        except DataError as error:
            raise self._broken(path, str(error)) from error
        except Exception as error:  # of a damaged file, HDF5 raises anything
            raise self._broken(path, text_of(error)) from error
        if difference := settings_diff(settings, self.settings)[0]:
            raise self._broken(path, f"its attributes say {difference}")
        self._open[shard] = rows
        if len(self._open) > OPEN_FILES:
            self._open.popitem(last=False)[1].file.close()
        return rows

    def verify(self) -> tuple[str, ...]:
        """Compare the checksums of all shards; return the names of those that differ."""
        pairs = zip(self._index.names, self._index.hashes, strict=True)
        return tuple(name for name, known in pairs if file_hash(remote.ensure_local(self.folder / name)) != known)

    def close(self) -> None:
        """Close the open files of this process; reading reopens them."""
        if self._process == os.getpid():
            for rows in self._open.values():
                rows.file.close()
        self._open = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict(), "_process": 0, "_inherited": []}


def _dataset(file: Any, mels: object) -> Any:
    """Return the rows of a shard; raise `DataError` if they lie in other files, or the file has less than it promises.

    Reading takes at most `MAX_CHUNK` bytes more memory than the rows.
    """
    if not isinstance(file.get("logmel", getlink=True), h5py.HardLink):
        raise DataError("logmel is a link, expected a dataset")
    rows = file["logmel"]
    if not isinstance(rows, h5py.Dataset) or rows.is_virtual or rows.external:
        raise DataError("logmel is not a dataset of its own")
    if rows.dtype not in (np.float16, np.float32) or rows.ndim != 2 or rows.shape[1] != mels:
        raise DataError(f"logmel is {rows.dtype} of shape {rows.shape}, expected float16 or float32 (rows, {mels})")
    if np.prod(rows.chunks or (0,), dtype=float) * rows.dtype.itemsize > MAX_CHUNK:
        raise DataError(f"chunks of {rows.chunks} are larger than {MAX_CHUNK:,} bytes")
    if rows.id.get_storage_size() < rows.nbytes:
        raise DataError(f"{rows.id.get_storage_size():,} bytes of rows, its shape {rows.shape} needs {rows.nbytes:,}")
    return rows


def id_bytes(id: str) -> bytes:
    """Encode an id as in the index; ids that are file names may not be UTF-8."""
    return os.fsencode(id)
