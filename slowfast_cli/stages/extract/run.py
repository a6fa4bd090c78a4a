"""Extract log-mels of media into shards; an interrupted run loses unfinished shards only and can be resumed."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from slowfast_cli import __version__
from slowfast_cli.engine import distributed
from slowfast_cli.media.audio_source import printable
from slowfast_cli.shards import index
from slowfast_cli.shards.folder import (
    FAILURES,
    MISSING,
    changed,
    check_settings,
    forget,
    intact_entries,
    lock_folder,
    next_shard_number,
    publish_shard,
    remove_all,
    remove_leftovers,
    spectra_precision,
    write_reports,
)
from slowfast_cli.shards.manifest import Entry, read_manifests
from slowfast_cli.shards.writer import ShardSpec
from slowfast_cli.stages.extract import plan as extract_plan
from slowfast_cli.stages.extract.estimate import Estimate, estimate
from slowfast_cli.stages.extract.progress import Counts, Progress, Summary
from slowfast_cli.stages.extract.worker import Job, ShardWritten, Work, write_shards
from slowfast_cli.storage import remote
from slowfast_cli.types import Corpus, DataError, Recording, Settings, Share, SlowFastError

if TYPE_CHECKING:
    from slowfast_cli.settings import FrontEnd

SHARD_SECONDS = 2560.0  # of sound per shard: 65 MB of float16 at a hop of 10 ms


def extract(  # noqa: PLR0913
    corpora: Sequence[Corpus],
    out: Path,
    *,
    front_end: FrontEnd,
    dtype: str = "float16",
    jobs: int = 1,
    device: str = "cpu",
    fresh: bool = False,
    max_missing: float = 0.25,
    retry: bool = False,
    exact: bool = False,
) -> Iterator[Progress | Estimate | Summary]:
    """Store the log-mel of every recording of some corpora.

    Recordings whose file has changed since they were stored, or since they failed, are extracted again.

    Each rank writes its part of the shards and lists them in its own manifest; rank 0 locks the folder against other
    runs and waits for the other ranks.

    Args:
        corpora: Splits of one data set; a recording that several of them use is stored once.
        out: Folder of the shards; created if it does not exist.
        front_end: Log-mel settings.
        dtype: Of the stored rows: ``float16`` or ``float32``.
        jobs: Worker processes per rank; 1 works in this process.
        device: Computes the log-mels, such as ``cuda``; ``auto`` takes the GPU of this rank if there is one.
        fresh: Remove the shards in ``out`` first.
        max_missing: Largest fraction of the listed segments that may be missing or fail.
        retry: Also retry recordings that failed in earlier runs.
        exact: Compute all spectra in float64. By default, rows stored as float16 and computed on a CPU have float32
            spectra where that changes no log-mel by more than 1e-3, unless ``out`` contains shards made with float64.

    Yields:
        `Progress` repeatedly; on rank 0 also `Estimate` before the work and `Summary` last.

    Raises:
        SlowFastError: Another run writes to ``out``, or a worker was killed.
        DataError: ``out`` cannot be written or contains shards of other settings or, with ``exact``, float32 spectra;
            or, after everything is written, more than ``max_missing`` is missing.
    """
    if dtype not in ("float16", "float32") or jobs < 1:
        raise ValueError(f"extract: dtype={dtype}, jobs={jobs}: expected dtype float16 or float32, jobs >= 1")
    share, at = distributed.join(), str(distributed.device(device))
    recordings, lengths = extract_plan.recordings(corpora), extract_plan.lengths(corpora)
    settings = front_end.settings()
    fast = not exact and dtype == "float16" and at == "cpu"
    with ExitStack() as stack:
        entries, renewed = _open_folder(out, stack, recordings, settings, fresh=fresh, exact=exact, share=share)
        spec = ShardSpec(
            front_end=settings, mels=front_end.mels, dtype=dtype, source=source_hash(corpora), version=__version__,
            spectra=spectra_precision(out, entries, exact=exact, fast=fast),
        )  # fmt: skip
        done = {id for entry in entries for id in entry.ids}
        failed = {failure.id for entry in entries for failure in entry.failures} - done
        pending = [item for item in recordings if item.id not in done and (retry or item.id not in failed)]
        first = next_shard_number(entries)
        require_one_plan(out, extract_plan.plan_hash(pending, first), share)
        seconds = [lengths[recording.id] for recording in pending]
        plan = extract_plan.plan(
            pending, seconds, first=first, shard_seconds=SHARD_SECONDS, jobs=jobs, ranks=share.world
        )[share.rank]
        kept = sum(recording.id in done for recording in recordings)
        counts = Counts(lengths, total=len(pending), kept=kept, expected=sum(seconds), share=share, changed=renewed)
        if share.rank == 0 and pending:
            yield estimate(pending, front_end, dtype=dtype, out=out)
        yield counts.progress()
        try:
            work = Work(folder=out, front_end=front_end, spec=spec, device=at)
            yield from _write(work, plan, jobs, counts, share)
        finally:
            if share.rank == 0 and counts.all_done():  # otherwise other ranks may still be writing temporary files
                remove_leftovers(out, read_manifests(out))
                write_reports(out, corpora)
                index.open_index(out)  # builds the index now, instead of once per reader
        if share.rank == 0:
            summary = counts.summary(out, corpora)
            yield summary
    if share.rank == 0:
        _require_enough(summary, max_missing)


def _open_folder(
    out: Path,
    stack: ExitStack,
    recordings: Sequence[Recording],
    settings: Settings,
    *,
    fresh: bool,
    exact: bool,
    share: Share,
) -> tuple[list[Entry], int]:
    """Lock and clean up the folder on rank 0; then read its entries on all ranks.

    Returns:
        The entries; on rank 0, the number of recordings whose file has changed and which are no longer among them.
    """
    renewed: frozenset[str] = frozenset()
    problem: SlowFastError | None = None
    if share.rank == 0:
        try:
            remote.mirror(out)
            stack.enter_context(lock_folder(out))
            if fresh:
                remove_all(out)
            entries = intact_entries(out)
            remove_leftovers(out, entries)
            check_settings(out, entries, settings)
            spectra_precision(out, entries, exact=exact, fast=True)
            if renewed := changed(entries, recordings):
                entries = forget(out, renewed)
        except SlowFastError as error:
            problem = error
    distributed.fail_together(problem, share)
    return entries if share.rank == 0 else read_manifests(remote.mirror(out)), len(renewed)


def require_one_plan(out: Path, plan_hash: str, share: Share) -> None:
    """Raise `DataError` if ranks have planned different work."""
    if len(set(distributed.gather([plan_hash], share))) > 1:
        raise DataError(
            f"{printable(out)}: ranks disagree on the remaining recordings: put --root and --out on storage shared by "
            "all nodes"
        )


def _write(work: Work, plan: Sequence[Job], jobs: int, counts: Counts, share: Share) -> Generator[Progress]:
    """Write the shards of this rank; rank 0 then waits for the others."""
    problem = "was interrupted"
    try:
        with closing(write_shards(work, plan, min(jobs, max(1, len(plan))))) as messages:  # type: ignore[type-var]
            for message in messages:
                if isinstance(message, ShardWritten):
                    publish_shard(work.folder, message.temporary, message.entry, share.rank)
                if counts.add(message):
                    yield counts.progress()
        problem = ""
    except SlowFastError as error:
        problem = str(error)
        raise
    finally:
        counts.finish(problem)
    if share.rank == 0 and share.world > 1:
        yield from counts.wait()


def source_hash(corpora: Iterable[Corpus]) -> str:
    """SHA-256 of the annotation lists: segments, times and targets, without the paths of the media."""
    hashed = sha256()
    for corpus in corpora:
        hashed.update(f"{corpus.name}\t{corpus.split}\n".encode())
        for segment in corpus.segments:
            line = (segment.id, segment.recording.id, segment.start, segment.stop, sorted(segment.targets.items()))
            hashed.update(repr(line).encode())
    return hashed.hexdigest()


def _require_enough(summary: Summary, max_missing: float) -> None:
    lost = summary.missing + summary.lost
    if summary.listed and lost > max_missing * summary.listed:
        raise DataError(
            f"{printable(summary.folder)}: of {summary.listed} listed segments {summary.missing} are missing and "
            f"{summary.lost} failed ({lost / summary.listed:.0%}), more than --max-missing {max_missing:.0%}: see "
            f"{FAILURES} and {MISSING} there; the readable recordings are stored"
        )
