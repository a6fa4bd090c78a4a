"""Manifests of a shard folder: one line per shard, in one file per process that has written shards."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TypeAlias

from slowfast_cli.media.audio_source import printable
from slowfast_cli.types import DataError, Failure, Seconds, Settings

MANIFEST = "manifest.jsonl"
SHARD_NAME = re.compile(r"shard-\d{5,9}\.h5")
MAX_COUNT = 2**48  # bytes or rows of a shard; no disk has more
Stamp: TypeAlias = tuple[int, int]  # size in bytes and modification time in ns of a file


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of a manifest."""

    shard: str  # file name; empty if every recording failed
    bytes: int  # file size
    sha256: str  # of the file
    front_end: Settings  # settings of its rows
    source: str  # hash of the annotation lists
    ids: tuple[str, ...]  # recordings in it, in order; empty for rows that are no longer used
    rows: tuple[int, ...]  # number of rows of each recording
    seconds: tuple[Seconds, ...]  # length of each recording
    failures: tuple[Failure, ...] = field(default=())  # recordings without rows
    files: tuple[Stamp | None, ...] = ()  # of each recording's file; empty in old manifests
    failed_files: tuple[Stamp | None, ...] = ()  # of each failure's file
    spectra: str = "float64"  # precision in which the spectra of its rows were computed; old manifests: float64

    def line(self) -> str:
        """Serialize as one line of JSON."""
        failures = [{**vars(failure), "path": str(failure.path)} for failure in self.failures]
        return json.dumps({**self.__dict__, "failures": failures}) + "\n"


def parse_entry(line: str) -> Entry:
    """Parse a line of a manifest; raise `ValueError` if it is malformed, or a value is impossible."""
    try:
        values = json.loads(line)
        failures = tuple(Failure(**{**failure, "path": Path(failure["path"])}) for failure in values.pop("failures"))
        values |= {name: tuple(values[name]) for name in ("ids", "rows", "seconds")}
        for name in ("files", "failed_files"):
            values[name] = tuple(stamp and tuple(stamp) for stamp in values.get(name, ()))
        entry = Entry(**values, failures=failures)
        wrong = next((what for what, valid in _checks(entry) if not valid), None)
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"not a manifest line: {error!r}") from error
    if wrong:
        raise ValueError(f"{wrong} expected")
    return entry


def _checks(entry: Entry) -> Iterator[tuple[str, bool]]:
    """What each field must be, and whether it is."""
    kept, failed = len(entry.ids), len(entry.failures)
    texts = (entry.shard, entry.sha256, entry.source, *entry.ids)
    texts += tuple(text for failure in entry.failures for text in (failure.id, failure.reason))
    yield "texts without null characters", set(map(type, texts)) <= {str} and "\0" not in "".join(texts)
    yield "texts that are file names", bool(os.fsencode("".join(texts))) or not any(texts)
    yield "a shard called shard-NNNNN.h5", not (entry.shard or kept) or bool(SHARD_NAME.fullmatch(entry.shard))
    yield "bytes from 0", _is_count(entry.bytes)
    yield "spectra in float32 or float64", entry.spectra in ("float32", "float64")
    yield "front-end settings", isinstance(entry.front_end, dict) and all(map(_is_setting, entry.front_end.values()))
    yield f"{kept} numbers of rows and seconds", len(entry.rows) == len(entry.seconds) == kept
    yield "rows from 0", all(map(_is_count, entry.rows)) and sum(entry.rows) < MAX_COUNT
    yield "finite seconds from 0", all(type(value) in (int, float) and 0 <= value < inf for value in entry.seconds)
    yield "failures with true or false", all(type(failure.soundless) is bool for failure in entry.failures)
    for stamps, count in ((entry.files, kept), (entry.failed_files, failed)):
        yield f"{count} files", len(stamps) in (0, count)
        yield "files with size and time", all(stamp is None or _is_stamp(stamp) for stamp in stamps)
    named = [id for id in entry.ids if id]
    yield "every recording once", len(set(named)) == len(named)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < MAX_COUNT


def _is_setting(value: object) -> bool:
    return isinstance(value, bool | str) or (isinstance(value, int | float) and -inf < value < inf)


def _is_stamp(stamp: Stamp) -> bool:
    return len(stamp) == 2 and set(map(type, stamp)) == {int} and _is_count(stamp[0]) and abs(stamp[1]) < 2**63


def manifest_name(rank: int) -> str:
    """Return the manifest file name of a process; no two processes write to one file.

    >>> manifest_name(0), manifest_name(12)
    ('manifest.jsonl', 'manifest-00012.jsonl')
    """
    return f"manifest-{rank:05d}.jsonl" if rank else MANIFEST


def manifest_files(folder: Path) -> list[Path]:
    """Return the existing manifests of a folder, in order."""
    return [path for path in (folder / MANIFEST, *sorted(folder.glob("manifest-*.jsonl"))) if path.exists()]


def read_manifests(folder: Path) -> list[Entry]:
    """Read all manifests of a folder; see `iter_entries`."""
    return [entry for path in manifest_files(folder) for entry in iter_entries(path)]


def iter_entries(path: Path) -> Iterator[Entry]:
    """Read one manifest line by line, in constant memory; an incomplete last line (interrupted write) is ignored.

    Raises:
        DataError: A line is malformed, or the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                try:
                    entry = parse_entry(line.decode())
                except ValueError as error:
                    raise DataError(
                        f"{printable(path)}: line {number} is broken ({error}): run `slowfast extract` with --fresh"
                    ) from error
                yield entry
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read: {error.strerror}") from error
