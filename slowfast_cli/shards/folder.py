"""The output folder of `extract`: locked by one run at a time, and free of shards that no manifest lists."""

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from slowfast_cli.media.audio_source import printable
from slowfast_cli.shards import index
from slowfast_cli.shards.manifest import (
    MANIFEST,
    Entry,
    Stamp,
    iter_entries,
    manifest_files,
    manifest_name,
    read_manifests,
)
from slowfast_cli.shards.reader import settings_diff
from slowfast_cli.shards.writer import TEMPORARY, publish, rewrite
from slowfast_cli.storage import remote
from slowfast_cli.storage.lock import file_lock, lock_holder
from slowfast_cli.types import Corpus, DataError, Failure, Recording, Settings, SlowFastError

FAILURES = "failures.csv"
MISSING = "missing.csv"


def next_shard_number(entries: Sequence[Entry]) -> int:
    """Return the number of the next shard."""
    return max((int(entry.shard[len("shard-") : -len(".h5")]) for entry in entries if entry.shard), default=-1) + 1


@contextmanager
def lock_folder(out: Path) -> Iterator[None]:
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
            raise DataError(f"{printable(out)}: cannot be written ({error.strerror}): choose another --out") from error
        if not obtained:
            raise SlowFastError(
                f"{printable(out)}: another `slowfast extract` (process {lock_holder(out / '.lock')}) writes there: "
                "wait for it, or choose another folder with --out"
            )
        yield


def intact_entries(out: Path) -> list[Entry]:
    """Return the entries whose shards are complete; remove the others from the manifests, to extract them again."""
    result: list[Entry] = []
    for path in manifest_files(out):
        entries = list(iter_entries(path))
        intact = [entry for entry in entries if not entry.shard or _size(out / entry.shard) == entry.bytes]
        if len(intact) < len(entries):
            rewrite(path, "".join(entry.line() for entry in intact))
            remote.upload(path)
        result += intact
    return result


def file_stamp(recording: Recording) -> Stamp | None:
    """State of the file that a recording's audio is read from; None if it cannot be found."""
    try:
        state = (recording.sound or recording.path).stat()
    except (OSError, ValueError):
        return None
    return state.st_size, state.st_mtime_ns


def changed(entries: Iterable[Entry], recordings: Iterable[Recording]) -> frozenset[str]:
    """Ids of stored or failed recordings whose file is not the one that a manifest notes.

    The copy of a remote file has a time of its own: of it only the size is compared.
    """
    noted: dict[str, Stamp | None] = {}
    for entry in entries:
        noted |= zip((failure.id for failure in entry.failures), entry.failed_files, strict=False)
        noted |= zip(entry.ids, entry.files, strict=False)
    ids = set()
    for recording in recordings:
        before, now = noted.get(recording.id), file_stamp(recording)
        compared = 1 if remote.url(recording.sound or recording.path) else 2
        if before and now and before[:compared] != now[:compared]:
            ids.add(recording.id)
    return frozenset(ids)


def forget(out: Path, ids: Collection[str]) -> list[Entry]:
    """Take recordings out of the manifests, to extract them again; return the entries."""
    result: list[Entry] = []
    for path in manifest_files(out):
        entries = list(iter_entries(path))
        remaining = [_without(entry, ids) for entry in entries]
        if remaining != entries:
            rewrite(path, "".join(entry.line() for entry in remaining))
            remote.upload(path)
        result += remaining
    return result


def _without(entry: Entry, ids: Collection[str]) -> Entry:
    kept = [row for row, failure in enumerate(entry.failures) if failure.id not in ids]
    return replace(
        entry,
        ids=tuple("" if id in ids else id for id in entry.ids),  # their rows stay in the shard
        failures=tuple(entry.failures[row] for row in kept),
        failed_files=tuple(entry.failed_files[row] for row in kept if entry.failed_files),
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _shard_files(out: Path) -> list[Path]:
    return [*out.glob("shard-[0-9]*[0-9].h5"), *out.glob(f"shard-*{TEMPORARY}")]


def remove_leftovers(out: Path, entries: Iterable[Entry]) -> None:
    """Remove what an interrupted run left: unlisted shards, and indices of earlier manifests."""
    index.remove_stale(out)
    listed = {entry.shard for entry in entries}
    for path in _shard_files(out):
        if path.name not in listed:
            with suppress(OSError, DataError):
                remote.remove(path)


def remove_all(out: Path) -> None:
    """Remove all shards, manifests, indices and tables, and nothing else."""
    index.remove_stale(out, all=True)
    try:
        for path in (*manifest_files(out), out / FAILURES, out / MISSING, *_shard_files(out)):
            remote.remove(path)
    except OSError as error:
        raise DataError(f"{printable(out)}: cannot be emptied ({error.strerror}): choose another folder") from error


def check_settings(out: Path, entries: Sequence[Entry], settings: Settings) -> None:
    """Raise `DataError` if the folder contains shards with other settings."""
    for entry in entries:
        stored, wanted = settings_diff(entry.front_end, settings)
        if stored:
            where = printable(out / (entry.shard or MANIFEST))
            raise DataError(f"{where}: made with {stored}, this run wants {wanted}: use another --out or --fresh")


def spectra_precision(out: Path, entries: Sequence[Entry], *, exact: bool, fast: bool) -> str:
    """Return the precision of the spectra of new shards: that of the folder's shards, so that all are made alike.

    Args:
        out: The folder.
        entries: Its entries.
        exact: Whether float64 is required.
        fast: Whether float32 is possible.

    Raises:
        DataError: Float64 is required, and the folder contains shards with float32 spectra.
    """
    stored = {entry.spectra for entry in entries if entry.shard}
    if exact and "float32" in stored:
        raise DataError(
            f"{printable(out)}: made with spectra in float32, this run wants float64 (--exact): use another --out or "
            "--fresh"
        )
    return "float32" if fast and "float64" not in stored else "float64"


def publish_shard(out: Path, temporary: Path, entry: Entry, rank: int) -> None:
    """Rename a finished shard, add it to this process's manifest, upload both; raise `DataError` on a full disk."""
    name = manifest_name(rank)
    try:
        publish(out, temporary, entry, rank)
        for file in (entry.shard, name) if entry.shard else (name,):
            remote.upload(out / file)
    except OSError as error:
        raise DataError(
            f"{printable(out)}: {name} cannot be written ({error.strerror}): free space and run the command again"
        ) from error


def failures(out: Path, corpora: Sequence[Corpus]) -> tuple[Failure, ...]:
    """Return the latest failure of each recording of the corpora that is not stored."""
    entries = read_manifests(out)
    ids = {recording.id for corpus in corpora for recording in corpus.recordings}
    ids -= {id for entry in entries for id in entry.ids}
    by_id = {failure.id: failure for entry in entries for failure in entry.failures if failure.id in ids}
    return tuple(by_id.values())


def write_reports(out: Path, corpora: Sequence[Corpus]) -> None:
    """Write the tables of failures and of missing files; errors are suppressed, not to hide an earlier one."""
    with suppress(OSError, DataError):
        rewrite(out / FAILURES, _table(failures(out, corpora)))
        rewrite(out / MISSING, _table(failure for corpus in corpora for failure in corpus.missing))
        for name in (FAILURES, MISSING):
            remote.upload(out / name)


def _table(failures: Iterable[Failure]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("id", "path", "reason"))
    writer.writerows((printable(item.id), printable(item.path), printable(item.reason)) for item in failures)
    return text.getvalue()
