"""Media to shards of log-mel: interrupted at any moment it loses the shards in hand, run again it goes on."""

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
    check_settings,
    intact_entries,
    lock_folder,
    next_shard_number,
    publish_shard,
    remove_all,
    remove_leftovers,
    write_reports,
)
from slowfast_cli.shards.manifest import Entry, read_manifests
from slowfast_cli.shards.writer import ShardSpec
from slowfast_cli.stages.extract import plan as extract_plan
from slowfast_cli.stages.extract.progress import Counts, Progress, Summary
from slowfast_cli.stages.extract.worker import Job, Made, Work, make_all
from slowfast_cli.storage import remote
from slowfast_cli.types import Corpus, DataError, Settings, Share, SlowFastError

if TYPE_CHECKING:
    from slowfast_cli.settings import FrontEnd

SHARD_SECONDS = 2560.0  # of sound a shard: 65 MB of float16 at a hop of 10 ms


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
) -> Iterator[Progress | Summary]:
    """Store the log-mel of every recording of some corpora.

    Of several processes each makes its part of the shards and enters them in a manifest of its own; the first one
    keeps other runs away, and waits for the others.

    Args:
        corpora: Splits of one data set; a recording that several use is stored once.
        out: The folder of the shards; made when it is not there.
        front_end: What to compute.
        dtype: Of the stored rows: ``float16`` or ``float32``.
        jobs: Worker processes of this one; 1 works in this process.
        device: Where to compute, such as ``cuda``; ``auto`` takes this process's GPU where there is one.
        fresh: Remove the shards in ``out`` first.
        max_missing: Share of listed segments that may be missing or fail.
        retry: Also try again what failed in earlier runs.

    Yields:
        `Progress` as it goes; `Summary` at the end, in the first process only.

    Raises:
        SlowFastError: Another run writes to ``out``, or a worker was killed.
        DataError: ``out`` cannot be written or holds shards of other settings; or, after everything is written, more
            than ``max_missing`` is missing.
    """
    if dtype not in ("float16", "float32") or jobs < 1:
        raise ValueError(f"extract: dtype {dtype}, jobs {jobs}: float16 or float32, and at least 1")
    share, at = distributed.join(), str(distributed.device(device))
    recordings, lengths = extract_plan.recordings(corpora), extract_plan.lengths(corpora)
    made_of = {
        "front_end": front_end.settings(), "mels": front_end.mels, "dtype": dtype, "source": source_hash(corpora),
        "version": __version__,
    }  # fmt: skip
    with ExitStack() as stack:
        entries = _opened(out, stack, front_end.settings(), fresh=fresh, share=share)
        done = {id for each in entries for id in each.ids}
        failed = {each.id for line in entries for each in line.failures} - done
        pending = [each for each in recordings if each.id not in done and (retry or each.id not in failed)]
        first = next_shard_number(entries)
        _require_one_plan(out, extract_plan.told_apart(pending, first), share)
        seconds = [lengths[each.id] for each in pending]
        plan = extract_plan.plan(
            pending, seconds, first=first, shard_seconds=SHARD_SECONDS, jobs=jobs, ranks=share.world
        )[share.rank]
        kept = sum(each.id in done for each in recordings)
        counts = Counts(lengths, total=len(pending), kept=kept, expected=sum(seconds), share=share)
        work = Work(folder=out, front_end=front_end, making=ShardSpec(**made_of), device=at)  # type: ignore[arg-type]
        yield counts.progress()
        try:
            yield from _made(work, plan, jobs, counts, share)
        finally:
            if share.rank == 0 and counts.all_done():  # what others are still writing is not to be swept away
                remove_leftovers(out, read_manifests(out))
                write_reports(out, corpora)
                index.open_index(out)  # written now, or every reader would start by making it
        if share.rank == 0:
            summary = counts.summary(out, corpora)
            yield summary
    if share.rank == 0:
        _require_enough(summary, max_missing)


def _opened(out: Path, stack: ExitStack, wanted: Settings, *, fresh: bool, share: Share) -> list[Entry]:
    """What is in the folder: the first process locks it and tidies up, then the others look at it too."""
    problem: SlowFastError | None = None
    if share.rank == 0:
        try:
            remote.mirror(out)
            stack.enter_context(lock_folder(out))
            if fresh:
                remove_all(out)
            entries = intact_entries(out)
            remove_leftovers(out, entries)
            check_settings(out, entries, wanted)
        except SlowFastError as error:
            problem = error
    distributed.fail_together(problem, share)
    return entries if share.rank == 0 else read_manifests(remote.mirror(out))


def _require_one_plan(out: Path, told: str, share: Share) -> None:
    if len(set(distributed.gather([told], share))) > 1:
        raise DataError(
            f"{printable(out)}: the processes do not see the same recordings still to be done: data set and shards "
            "have to lie where every machine sees them"
        )


def _made(work: Work, plan: Sequence[Job], jobs: int, counts: Counts, share: Share) -> Generator[Progress]:
    """Make this process's shards; the first one then waits for the others."""
    problem = "was interrupted"
    try:
        with closing(make_all(work, plan, min(jobs, max(1, len(plan))))) as messages:  # type: ignore[type-var]
            for message in messages:
                if isinstance(message, Made):
                    publish_shard(work.folder, message.temporary, message.entry, share.rank)
                if counts.take(message):
                    yield counts.progress()
        problem = ""
    except SlowFastError as error:
        problem = str(error)
        raise
    finally:
        counts.end(problem)
    if share.rank == 0 and share.world > 1:
        yield from counts.wait()


def source_hash(corpora: Iterable[Corpus]) -> str:
    """SHA-256 over what the lists say: segments, times and targets, not where the media lie."""
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
            f"{printable(summary.folder)}: of {summary.listed} segments listed {summary.missing} are missing and "
            f"{summary.lost} failed ({lost / summary.listed:.0%}), more than --max-missing {max_missing:.0%}: see "
            f"{FAILURES} and {MISSING} there; what could be read is stored"
        )
