"""Where features go: a folder with a file for each item, or with one table; finished items survive an interruption.

Each process appends the items that it has finished to ``finished-<rank>.jsonl``; rows of a table wait in
``rows-<rank>.bin`` until all are there.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import SpooledTemporaryFile
from threading import Lock
from typing import Any

import numpy as np

from slowfast_cli.stages.embed.batching import Rows
from slowfast_cli.stages.embed.items import Item
from slowfast_cli.stages.embed.writers import FORMATS, MOST_ROWS, Table, write_table
from slowfast_cli.storage.atomic import remove_temporaries, write_text
from slowfast_cli.storage.finished import end_line
from slowfast_cli.types import Seconds, UsageError

SETTINGS, INDEX, TABLE = "settings.json", "index.csv", "features"
LOCK = ".lock"
COMPLETE = "complete.json"  # which items a table has
SMALL = 16 << 20  # bytes of rows of an item that stay in memory


class Spool:
    """Rows of an item until all are there: in memory, or beyond `SMALL` bytes in a temporary file."""

    def __init__(self, folder: Path, dtype: np.dtype[Any]) -> None:
        self._file = SpooledTemporaryFile(SMALL, dir=str(folder))  # noqa: SIM115  (closed by `close`)
        self.dtype, self.width = dtype, 0
        self.start, self.end = list[Seconds](), list[Seconds]()

    def add(self, rows: Rows) -> None:
        """Append rows.

        Raises:
            UsageError: They are beyond the range of the stored type.
        """
        if np.abs(rows.features).max() > np.finfo(self.dtype).max:
            raise UsageError(
                f"features reach {np.abs(rows.features).max():g}, beyond {self.dtype}: add --dtype float32"
            )
        self.width = rows.features.shape[1]
        self._file.write(rows.features.astype(self.dtype).tobytes())
        self.start += rows.start
        self.end += rows.end

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows, some at a time, (n, D)."""
        self._file.seek(0)
        while block := self._file.read(MOST_ROWS * self.width * self.dtype.itemsize):
            yield np.frombuffer(block, self.dtype).reshape(-1, self.width)

    def close(self) -> None:
        """Free the memory or the file."""
        self._file.close()


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A finished item, as recorded."""

    name: str
    source: str  # as in `Item.source`
    path: str  # absolute
    version: list[int]
    width: int
    start: list[Seconds]  # of each row; only in a table, else of the first
    end: list[Seconds]  # of each row; only in a table, else of the last
    rows: int
    file: str  # of its features, in the folder; of its rows for a table
    offset: int = 0  # of its rows in the file, bytes
    note: str = ""  # what a truncated recording lacks


@dataclass(frozen=True, kw_only=True)
class Output:
    """The folder of the features."""

    folder: Path
    format: str
    key: str
    dtype: str
    table: bool
    settings: Mapping[str, Any]
    ending: str = ""  # of the names of files, before the suffix

    def require(self) -> None:
        """Refuse a folder with features of other settings, or other files; raise `UsageError`."""
        recorded = self.folder / SETTINGS
        if recorded.is_file():
            if recorded.read_text(encoding="utf-8") != json.dumps(self.plain, indent=1):
                raise UsageError(
                    f"--out {self.folder}: has features of other settings ({SETTINGS}): name another folder"
                )
        elif self.folder.exists() and (
            not self.folder.is_dir() or any(path.name != LOCK for path in self.folder.iterdir())
        ):
            raise UsageError(f"--out {self.folder}: is not an empty folder, and has no features: name another one")

    def open(self, items: Sequence[Item]) -> None:
        """Record the settings, and forget rows that a table of other items has; the caller holds the lock.

        Raises:
            UsageError: The folder has features of another recording under the name of an item.
        """
        paths = {item.name: _path(item) for item in items}
        for entry in self._entries():
            if paths.get(entry.name, entry.path) != entry.path:
                raise UsageError(
                    f"--out {self.folder}: has features of {entry.path} under the name {entry.name}, which "
                    f"{paths[entry.name]} would get: name another folder"
                )
        remove_temporaries(self.folder)
        write_text(self.folder / SETTINGS, json.dumps(self.plain, indent=1))
        if self.table and not self._is_complete(items):
            for journal in self.folder.glob("finished-*.jsonl"):
                if not self.folder.joinpath(journal.name.replace("finished", "rows")).with_suffix(".bin").is_file():
                    journal.unlink()

    @property
    def plain(self) -> dict[str, Any]:
        """All settings, as plain values."""
        return {**self.settings, "format": self.format, "key": self.key, "dtype": self.dtype, "table": self.table}

    @property
    def table_path(self) -> Path:
        """The table of all items."""
        return self.folder / f"{TABLE}{FORMATS[self.format].suffix}"

    def finished(self, items: Sequence[Item]) -> dict[str, Entry]:
        """Items of unchanged recordings whose features are there, by name; a line cut by an interruption is skipped."""
        versions = {item.name: (_path(item), item.version) for item in items}
        entries = {entry.name: entry for entry in self._entries()}
        return {
            name: entry
            for name, entry in entries.items()
            if versions.get(name) == (entry.path, entry.version)
            and ((self.folder / entry.file).is_file() or (self.table and self._is_complete(items)))
        }

    def recorded(self, rows: str) -> int:
        """Bytes of a file of rows that are recorded; an interruption may have left more."""
        size = np.dtype(self.dtype).itemsize
        return max((e.offset + e.rows * e.width * size for e in self._entries() if e.file == rows), default=0)

    def _entries(self) -> Iterator[Entry]:
        for path in sorted(self.folder.glob("finished-*.jsonl")):
            with path.open(encoding="utf-8", errors="surrogateescape") as lines:
                for line in lines:
                    with suppress(ValueError, TypeError):
                        yield Entry(**json.loads(line))

    def write_table(self, items: Sequence[Item], entries: Mapping[str, Entry]) -> None:
        """Write the table of all finished items in their order; the rows are then no longer kept apart."""
        if self._is_complete(items):
            return
        order = [entries[item.name] for item in items if item.name in entries]
        if not order:
            return
        dtype, width = np.dtype(self.dtype), order[0].width

        def blocks() -> Iterator[np.ndarray]:
            for entry in order:
                with (self.folder / entry.file).open("rb") as rows:
                    rows.seek(entry.offset)
                    for first in range(0, entry.rows, MOST_ROWS):
                        count = min(MOST_ROWS, entry.rows - first) * width
                        yield np.frombuffer(rows.read(count * dtype.itemsize), dtype).reshape(-1, width)

        table = Table(
            key=self.key,
            dtype=dtype,
            width=width,
            blocks=blocks,
            start=[time for entry in order for time in entry.start],
            end=[time for entry in order for time in entry.end],
            settings=self.plain,
            file=[number for number, entry in enumerate(order) for _ in range(entry.rows)],
            files=[_text(entry.source) for entry in order],
        )
        write_table(self.table_path, self.format, table)
        if len(order) == len(items):
            write_text(self.folder / COMPLETE, json.dumps(self._hash(items)))
            for rows in self.folder.glob("rows-*.bin"):
                rows.unlink()

    def _is_complete(self, items: Sequence[Item]) -> bool:
        try:
            recorded = json.loads((self.folder / COMPLETE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return recorded == self._hash(items) and self.table_path.is_file()

    @staticmethod
    def _hash(items: Sequence[Item]) -> str:
        plain = [[item.name, item.source, _path(item), item.version] for item in items]
        return sha256(json.dumps(plain).encode()).hexdigest()


class Writer:
    """Writes the items of one process and records them; used by several threads."""

    def __init__(self, output: Output, rank: int) -> None:
        self._output, self._lock = output, Lock()
        self._journal = output.folder / f"finished-{rank}.jsonl"
        self._rows = output.folder / f"rows-{rank}.bin"
        end_line(self._journal)
        if self._rows.is_file():
            os.truncate(self._rows, output.recorded(self._rows.name))

    def spool(self) -> Spool:
        """A place for the rows of an item."""
        return Spool(self._output.folder, np.dtype(self._output.dtype))

    def store(self, item: Item, spool: Spool, note: str) -> Entry:
        """Write the rows of an item, then record it."""
        output, table = self._output, self._output.table
        name, offset = self._rows.name, 0
        if not table:
            name = f"{item.name}{output.ending}{FORMATS[output.format].suffix}"
            settings = {**output.plain, "source": _text(item.source)}
            rows = Table(
                key=output.key, dtype=spool.dtype, width=spool.width, blocks=spool.blocks, start=spool.start,
                end=spool.end, settings=settings,
            )  # fmt: skip
            write_table(output.folder / name, output.format, rows)
        with self._lock:
            if table:
                offset = self._append(spool)
            entry = Entry(
                name=item.name, source=item.source, path=_path(item), version=item.version, width=spool.width,
                start=spool.start if table else spool.start[:1], end=spool.end if table else spool.end[-1:],
                rows=len(spool.start), file=name, offset=offset, note=note,
            )  # fmt: skip
            with self._journal.open("a", encoding="utf-8", errors="surrogateescape") as journal:
                journal.write(json.dumps(asdict(entry)) + "\n")
        return entry

    def _append(self, spool: Spool) -> int:
        with self._rows.open("ab") as rows:
            offset = rows.tell()
            for block in spool.blocks():
                rows.write(block.tobytes())
        return offset


def _path(item: Item) -> str:
    return str(item.recording.path.absolute())


def _text(name: str) -> str:
    """A file name as valid Unicode."""
    return os.fsencode(name).decode("utf-8", "replace")
