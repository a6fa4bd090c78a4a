"""Write shards atomically: an interrupted write leaves nothing that a manifest lists."""

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
from slowfast_cli.shards.manifest import Entry, manifest_name
from slowfast_cli.shards.reader import id_bytes
from slowfast_cli.storage.atomic import file_hash, replace_file, sync

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slowfast_cli.shards.manifest import Stamp
    from slowfast_cli.types import Failure, Seconds, Settings

CHUNK_ROWS = 256  # fastest of 64 to 1001 for clips of 512 rows, with checksums
TEMPORARY = ".tmp"


@dataclass(frozen=True, kw_only=True)
class ShardSpec:
    """Properties shared by all shards of a run."""

    front_end: Settings  # settings of the rows
    mels: int  # row width
    dtype: str  # float16 or float32
    source: str  # hash of the annotation lists
    version: str  # of the toolkit
    spectra: str = "float64"  # precision of the spectra: float32 or float64


class _DeferredErrorFile(io.RawIOBase):
    """A file whose write errors are stored and raised by `check`.

    HDF5 keeps data that it could not write and crashes the process when the file is closed later.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("w+b", buffering=0)
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the first write error."""
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        """Write all bytes; store the error on failure."""
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
        """Read; bytes that could not be written read as zeros."""
        view = memoryview(buffer).cast("B")
        count = self._file.readinto(view) or 0
        view[count:] = bytes(len(view) - count)
        return len(view)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Seek as in any file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        """Change the size; store the error on failure."""
        try:
            return self._file.truncate(size)
        except OSError as error:
            self._error = self._error or error
            return size or 0

    def flush(self) -> None:
        """Do nothing: the file is unbuffered."""

    def close(self) -> None:
        """Close the underlying file."""
        self._file.close()
        super().close()


class ShardWriter:
    """Context manager that writes one shard under a temporary name; without `finish`, the file is removed on exit."""

    def __init__(self, path: Path, spec: ShardSpec) -> None:
        self.path = path
        self._spec = spec
        self._disk = _DeferredErrorFile(path)
        self._file: Any = h5py.File(self._disk, "w")
        self._file.attrs["front_end"] = json.dumps(spec.front_end)
        self._file.attrs["spectra"] = spec.spectra
        self._file.attrs["source_list"] = spec.source
        self._file.attrs["slowfast"] = spec.version
        self._file.attrs["decoders"] = json.dumps(decoder_versions())
        self._rows: Any = self._file.create_dataset(
            "logmel", (0, spec.mels), spec.dtype, maxshape=(None, spec.mels), chunks=(CHUNK_ROWS, spec.mels),
            fletcher32=True,
        )  # fmt: skip
        self._kept = self._written = 0
        self._index: list[tuple[str, int, int, Seconds, Stamp | None]] = []

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None or not self._index:
            self.abandon()

    def append(self, rows: np.ndarray) -> None:
        """Write the next rows (T, F) of the current recording."""
        end = self._written + len(rows)
        if end > len(self._rows):
            self._rows.resize(end, axis=0)
        self._rows[self._written : end] = rows
        self._written = end
        self._disk.check()

    def keep(self, id: str, seconds: Seconds, file: Stamp | None = None) -> None:
        """Finish the current recording, read from ``file``, and keep its rows."""
        self._index.append((id, self._kept, self._written - self._kept, seconds, file))
        self._kept = self._written

    def drop(self) -> None:
        """Discard the rows of the current recording."""
        self._written = self._kept

    def finish(self, name: str, failures: list[Failure], failed_files: Sequence[Stamp | None] = ()) -> Entry:
        """Write the index, flush the file to disk and compute its checksum.

        Args:
            name: Final file name of the shard.
            failures: Recordings without rows.
            failed_files: State of the file of each failure.

        Returns:
            Manifest entry; without kept recordings its shard is empty, and there is no file.
        """
        stored = list(zip(*self._index, strict=True)) or [(), (), (), (), ()]
        ids, firsts, rows, seconds, files = stored
        size, checksum = 0, ""
        if ids:
            self._rows.resize(self._kept, axis=0)
            index = self._file.create_group("index")
            index["id"] = np.array([id_bytes(id) for id in ids], dtype=bytes)
            index["first"] = np.array(firsts, np.int64)
            index["rows"] = np.array(rows, np.int64)
            index["seconds"] = np.array(seconds, np.float64)
            self._file.close()
            self._disk.check()
            self._disk.close()
            sync(self.path)
            size, checksum = self.path.stat().st_size, file_hash(self.path)
        return Entry(
            shard=name if ids else "", bytes=size, sha256=checksum, front_end=self._spec.front_end,
            source=self._spec.source, ids=tuple(ids), rows=tuple(rows), seconds=tuple(seconds),
            failures=tuple(failures), files=tuple(files), failed_files=tuple(failed_files),
            spectra=self._spec.spectra,
        )  # fmt: skip

    def abandon(self) -> None:
        """Close and remove the file in any state."""
        with suppress(Exception):  # errors of HDF5 do not matter for a file that is removed
            self._file.close()
        self._disk.close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def publish(folder: Path, temporary: Path, entry: Entry, rank: int = 0) -> None:
    """Rename a finished shard, then append its entry to the manifest of a process; synced to disk in this order."""
    path = folder / manifest_name(rank)
    if entry.shard:
        temporary.replace(folder / entry.shard)
        sync(folder)
    _cut_torn_line(path)
    with path.open("a", encoding="utf-8") as file:
        file.write(entry.line())
        file.flush()
        os.fsync(file.fileno())


def rewrite(path: Path, text: str) -> None:
    """Replace a text file atomically."""

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")

    replace_file(path, write)
    sync(path.parent)


def _cut_torn_line(path: Path) -> None:
    """Cut off an incomplete last line, left by an interrupt."""
    if path.exists():
        text = path.read_bytes()
        if text and not text.endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(text.rfind(b"\n") + 1)
