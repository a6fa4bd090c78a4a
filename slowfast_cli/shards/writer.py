"""Writing a shard so that an interrupt at any moment leaves either the whole of it or nothing that counts."""

from __future__ import annotations

import io
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from slowfast_cli.media.audio_decoders import decoder_versions
from slowfast_cli.shards.manifest import Entry, part_name
from slowfast_cli.shards.reader import digest, key

if TYPE_CHECKING:
    from slowfast_cli.types import Failure, Seconds, Settings

CHUNK_ROWS = 256  # the quickest of 64 to 1001 for a clip of 512 rows, checksums included (training_input.py)
TEMPORARY = ".tmp"


@dataclass(frozen=True, kw_only=True)
class Making:
    """What all shards of one run share.

    Attributes:
        front_end: The settings of the rows.
        mels: Their width.
        dtype: ``float16`` or ``float32``.
        source: Hash of the lists that name the recordings.
        version: Of the toolkit.
    """

    front_end: Settings
    mels: int
    dtype: str
    source: str
    version: str


class _Patient(io.RawIOBase):
    """A file whose writes never fail as far as HDF5 can see.

    HDF5 keeps what it could not write and crashes the process when it is closed later; so a full disk is noted here,
    and whoever writes asks for it with `check`.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("w+b", buffering=0)
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the first error there was."""
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        """Write all of it, or note why not."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            while self._error is None and done < len(view):
                done += self._file.write(view[done:])
        except OSError as error:
            self._error = error
        if self._error is not None:
            self._file.seek(len(view) - done, os.SEEK_CUR)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """Read; what could not be written reads as zeros."""
        view = memoryview(buffer).cast("B")
        found = self._file.readinto(view) or 0
        view[found:] = bytes(len(view) - found)
        return len(view)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of any file."""
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        """Change the size, or note why not."""
        try:
            return self._file.truncate(size)
        except OSError as error:
            self._error = self._error or error
            return size or 0

    def flush(self) -> None:
        """There is no buffer."""

    def close(self) -> None:
        """Close the file on disk too."""
        self._file.close()
        super().close()


class ShardWriter:
    """One shard under a temporary name; `finish` makes it durable, leaving the block without it removes it.

    Args:
        path: The temporary file.
        making: Front end, type and origin of the rows.
    """

    def __init__(self, path: Path, making: Making) -> None:
        self.path = path
        self._making = making
        self._disk = _Patient(path)
        self._file: Any = h5py.File(self._disk, "w")
        self._file.attrs["front_end"] = json.dumps(making.front_end)
        self._file.attrs["source_list"] = making.source
        self._file.attrs["slowfast"] = making.version
        self._file.attrs["decoders"] = json.dumps(decoder_versions())
        shape = (0, making.mels)
        self._rows: Any = self._file.create_dataset(
            "logmel",
            shape,
            making.dtype,
            maxshape=(None, making.mels),
            chunks=(CHUNK_ROWS, making.mels),
            fletcher32=True,
        )
        self._kept = self._written = 0
        self._index: list[tuple[str, int, int, Seconds]] = []

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None or not self._index:
            self.abandon()

    def append(self, rows: np.ndarray) -> None:
        """Write the next rows (T, F) of the recording in hand."""
        end = self._written + len(rows)
        if end > len(self._rows):
            self._rows.resize(end, axis=0)
        self._rows[self._written : end] = rows
        self._written = end
        self._disk.check()

    def keep(self, id: str, seconds: Seconds) -> None:
        """End the recording in hand: its rows count."""
        self._index.append((id, self._kept, self._written - self._kept, seconds))
        self._kept = self._written

    def drop(self) -> None:
        """Forget the rows of the recording in hand."""
        self._written = self._kept

    def finish(self, name: str, failures: list[Failure]) -> Entry:
        """Write the index, bring everything to the disk and take the checksum.

        Args:
            name: The shard's final file name.
            failures: Recordings that gave nothing.

        Returns:
            The manifest's entry; its shard is empty when nothing was kept, and then there is no file either.
        """
        making = self._making
        stored = list(zip(*self._index, strict=True)) or [(), (), (), ()]
        ids, firsts, rows, seconds = stored
        size, checksum = 0, ""
        if ids:
            self._rows.resize(self._kept, axis=0)
            index = self._file.create_group("index")
            index["id"] = np.array([key(id) for id in ids], dtype=bytes)
            index["first"] = np.array(firsts, np.int64)
            index["rows"] = np.array(rows, np.int64)
            index["seconds"] = np.array(seconds, np.float64)
            self._file.close()
            self._disk.check()
            self._disk.close()
            _to_disk(self.path)
            size, checksum = self.path.stat().st_size, digest(self.path)
        return Entry(
            shard=name if ids else "",
            bytes=size,
            sha256=checksum,
            front_end=making.front_end,
            source=making.source,
            ids=tuple(ids),
            rows=tuple(rows),
            seconds=tuple(seconds),
            failures=tuple(failures),
        )

    def abandon(self) -> None:
        """Close and remove the file, whatever state it is in."""
        with suppress(Exception):  # whatever HDF5 still wants to say, the file goes
            self._file.close()
        self._disk.close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def publish(folder: Path, temporary: Path, entry: Entry, part: int = 0) -> None:
    """Give a finished shard its name, then enter it in a manifest; both reach the disk in that order.

    Args:
        folder: Of the shards.
        temporary: Where the shard is.
        entry: What is in it.
        part: Which of the manifests.
    """
    path = folder / part_name(part)
    if entry.shard:
        temporary.replace(folder / entry.shard)
        _to_disk(folder)
    _end_torn_line(path)
    with path.open("a", encoding="utf-8") as file:
        file.write(entry.line())
        file.flush()
        os.fsync(file.fileno())


def rewrite(path: Path, text: str) -> None:
    """Replace a file's text at once: a reader sees the old or the new one."""
    temporary = path.with_name(path.name + TEMPORARY)
    with temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _to_disk(path.parent)


def _end_torn_line(path: Path) -> None:
    """Cut off a last line that an interrupt left without its end."""
    if path.exists():
        text = path.read_bytes()
        if text and not text.endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(text.rfind(b"\n") + 1)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
