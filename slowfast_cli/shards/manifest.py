"""Manifests of a shard folder: one line per shard, in one file per process that has written shards."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from slowfast_cli.media.audio_source import printable
from slowfast_cli.types import DataError, Failure, Seconds, Settings

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of a manifest."""

    shard: str  # file name; empty if every recording failed
    bytes: int  # file size
    sha256: str  # of the file
    front_end: Settings  # settings of its rows
    source: str  # hash of the annotation lists
    ids: tuple[str, ...]  # recordings in it, in order
    rows: tuple[int, ...]  # number of rows of each recording
    seconds: tuple[Seconds, ...]  # length of each recording
    failures: tuple[Failure, ...] = field(default=())  # recordings without rows

    def line(self) -> str:
        """Serialize as one line of JSON."""
        failures = [{**vars(failure), "path": str(failure.path)} for failure in self.failures]
        return json.dumps({**self.__dict__, "failures": failures}) + "\n"


def parse_entry(line: str) -> Entry:
    """Parse a line of a manifest; raise `ValueError` if it is malformed."""
    try:
        values = json.loads(line)
        failures = tuple(Failure(**{**failure, "path": Path(failure["path"])}) for failure in values.pop("failures"))
        values |= {name: tuple(values[name]) for name in ("ids", "rows", "seconds")}
        return Entry(**values, failures=failures)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a manifest line: {error!r}") from error


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
