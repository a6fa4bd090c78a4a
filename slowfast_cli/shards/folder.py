"""The folder that `extract` writes to: one run at a time, nothing in it that the manifest does not name."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from slowfast_cli.media.audio_source import printable
from slowfast_cli.shards import index
from slowfast_cli.shards.manifest import MANIFEST, Entry, manifest, part_name, parts, read_part
from slowfast_cli.shards.reader import differing
from slowfast_cli.shards.writer import TEMPORARY, publish, rewrite
from slowfast_cli.storage import remote
from slowfast_cli.storage.lock import file_lock, lock_holder
from slowfast_cli.types import Corpus, DataError, Failure, Settings, SlowFastError

FAILURES = "failures.csv"
MISSING = "missing.csv"


def next_number(entries: Sequence[Entry]) -> int:
    """The number of the next shard."""
    return max((int(each.shard[len("shard-") : -len(".h5")]) for each in entries if each.shard), default=-1) + 1


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Create the folder and lock it against other runs.

    Raises:
        DataError: It cannot be written.
        SlowFastError: Another run holds the lock.
    """
    with ExitStack() as stack:
        try:
            out.mkdir(parents=True, exist_ok=True)
            obtained = stack.enter_context(file_lock(out / ".lock"))
        except OSError as error:
            raise DataError(
                f"{printable(out)}: cannot be written ({error.strerror}): choose another folder with --out"
            ) from error
        if not obtained:
            raise SlowFastError(
                f"{printable(out)}: another `slowfast extract` (process {lock_holder(out / '.lock')}) writes there: "
                "wait for it, or choose another folder with --out"
            )
        yield


def usable(out: Path) -> list[Entry]:
    """The manifests' entries whose shards are whole; the others are struck out, to be made again."""
    found: list[Entry] = []
    for path in parts(out):
        entries = read_part(path)
        usable = [each for each in entries if not each.shard or _size(out / each.shard) == each.bytes]
        if len(usable) < len(entries):
            rewrite(path, "".join(each.line() for each in usable))
            remote.upload(path)
        found += usable
    return found


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _shard_files(out: Path) -> list[Path]:
    return [*out.glob("shard-[0-9]*[0-9].h5"), *out.glob(f"shard-*{TEMPORARY}")]


def clean(out: Path, entries: Iterable[Entry]) -> None:
    """Remove what an interrupted run left: shards that the manifest does not name, indices of earlier manifests."""
    index.sweep(out)
    named = {each.shard for each in entries}
    for path in _shard_files(out):
        if path.name not in named:
            with suppress(OSError, DataError):
                remote.remove(path)


def remove_all(out: Path) -> None:
    """Remove the shards, the manifests with their indices and the tables, and nothing else."""
    index.sweep(out, all=True)
    try:
        for path in (*parts(out), out / FAILURES, out / MISSING, *_shard_files(out)):
            remote.remove(path)
    except OSError as error:
        raise DataError(f"{printable(out)}: cannot be emptied ({error.strerror}): choose another folder") from error


def same_settings(out: Path, entries: Sequence[Entry], wanted: Settings) -> None:
    """Refuse to mix settings in one folder.

    Raises:
        DataError: What is there was made with others.
    """
    for each in entries:
        made, wants = differing(each.front_end, wanted)
        if made:
            where = printable(out / (each.shard or MANIFEST))
            raise DataError(
                f"{where}: made with {made}, this run wants {wants}: choose another --out, or start over with --fresh"
            )


def published(out: Path, temporary: Path, entry: Entry, part: int) -> None:
    """Give a shard its name and enter it in a manifest, which is the part of one process.

    Raises:
        DataError: The disk is full or read-only.
    """
    try:
        publish(out, temporary, entry, part)
        for name in (entry.shard, part_name(part)) if entry.shard else (part_name(part),):
            remote.upload(out / name)
    except OSError as error:
        raise DataError(
            f"{printable(out)}: {part_name(part)} cannot be written ({error.strerror}): make room, then run the same "
            "command again"
        ) from error


def failures(out: Path, corpora: Sequence[Corpus]) -> tuple[Failure, ...]:
    """Of the recordings that the corpora use, those that failed, with the latest reason."""
    entries = manifest(out)
    wanted = {recording.id for corpus in corpora for recording in corpus.recordings}
    wanted -= {id for each in entries for id in each.ids}
    return tuple({each.id: each for line in entries for each in line.failures if each.id in wanted}.values())


def report(out: Path, corpora: Sequence[Corpus]) -> None:
    """Write the tables of what failed and of what is missing; a full disk must not hide the error before."""
    with suppress(OSError, DataError):
        rewrite(out / FAILURES, _table(failures(out, corpora)))
        rewrite(out / MISSING, _table(each for corpus in corpora for each in corpus.missing))
        for name in (FAILURES, MISSING):
            remote.upload(out / name)


def _table(failures: Iterable[Failure]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "path", "reason"))
    writer.writerows((printable(each.id), printable(each.path), printable(each.reason)) for each in failures)
    return text.getvalue()
