"""What is in a folder of shards: a line for each, in one file for each process that has written some."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from slowfast_cli.media.audio_source import printable
from slowfast_cli.types import DataError, Failure, Seconds, Settings

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of the manifest.

    Attributes:
        shard: File name; empty when everything in hand failed.
        bytes: Its size.
        sha256: Of the file.
        front_end: Settings that made its rows.
        source: Hash of the lists that named the recordings.
        ids: Recordings in it, in order.
        rows: Of each.
        seconds: Of each.
        failures: Recordings that gave nothing.
    """

    shard: str
    bytes: int
    sha256: str
    front_end: Settings
    source: str
    ids: tuple[str, ...]
    rows: tuple[int, ...]
    seconds: tuple[Seconds, ...]
    failures: tuple[Failure, ...] = field(default=())

    def line(self) -> str:
        """As JSON on one line."""
        failures = [{**vars(each), "path": str(each.path)} for each in self.failures]
        return json.dumps({**self.__dict__, "failures": failures}) + "\n"


def entry(line: str) -> Entry:
    """Read a line of the manifest.

    Raises:
        ValueError: It is no such line.
    """
    try:
        values = json.loads(line)
        failures = tuple(Failure(**{**each, "path": Path(each["path"])}) for each in values.pop("failures"))
        values |= {name: tuple(values[name]) for name in ("ids", "rows", "seconds")}
        return Entry(**values, failures=failures)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no manifest line: {error!r}") from error


def part_name(part: int) -> str:
    """File name of the manifest of a process: no two write to the same file, whichever machines they are on.

    >>> part_name(0), part_name(12)
    ('manifest.jsonl', 'manifest-00012.jsonl')
    """
    return f"manifest-{part:05d}.jsonl" if part else MANIFEST


def parts(folder: Path) -> list[Path]:
    """The manifests that are there, in order."""
    return [path for path in (folder / MANIFEST, *sorted(folder.glob("manifest-*.jsonl"))) if path.exists()]


def manifest(folder: Path) -> list[Entry]:
    """Read the manifests of a folder of shards; no entries when there are none.

    A last line that an interrupt cut short is left out: its shard does not count.

    Raises:
        DataError: Another line is broken, or a file cannot be read.
    """
    return [each for path in parts(folder) for each in read_part(path)]


def read_part(path: Path) -> list[Entry]:
    """Read one manifest, as `manifest` does all."""
    return list(each_entry(path))


def each_entry(path: Path) -> Iterator[Entry]:
    """Read one manifest a line at a time: that of millions of recordings is not held at once."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):  # torn by an interrupt
                    return
                yield _numbered(path, number, line)
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read: {error.strerror}") from error


def _numbered(path: Path, number: int, line: bytes) -> Entry:
    try:
        return entry(line.decode())
    except ValueError as error:
        raise DataError(
            f"{printable(path)}: line {number} is broken ({error}): run `slowfast extract` with --fresh"
        ) from error
