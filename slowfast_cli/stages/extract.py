"""Media to shards of log-mel: interrupted at any moment it loses the shards in hand, run again it goes on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from slowfast_cli import __version__
from slowfast_cli.media.shard_writer import Making
from slowfast_cli.media.shards import manifest
from slowfast_cli.media.source import shown
from slowfast_cli.stages.extract_worker import Advanced, Ended, Job, Made, Message, Work, make_all
from slowfast_cli.stages.shard_folder import (
    FAILURES,
    MISSING,
    clean,
    failures,
    locked,
    next_number,
    published,
    remove_all,
    report,
    same_settings,
    usable,
)
from slowfast_cli.types import Corpus, DataError, Failure, Recording, Seconds

if TYPE_CHECKING:
    from slowfast_cli.features.logmel import FrontEnd

SHARD_SECONDS = 2560.0  # of sound a shard: 65 MB of float16 at a hop of 10 ms
GUESSED_SECONDS = 10.0  # of a recording whose segments do not say where they stop


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands.

    Attributes:
        recordings: Done in this run, failures included.
        total: To be done in this run.
        kept: Done by earlier runs, and left as they are.
        seconds: Of sound, in this run.
        expected: Of sound, over this run: an estimate that becomes exact.
        failures: In this run.
        elapsed: Wall-clock time of this run.
    """

    recordings: int
    total: int
    kept: int
    seconds: Seconds
    expected: Seconds
    failures: int
    elapsed: Seconds

    @property
    def speed(self) -> float:
        """Seconds of sound a second."""
        return self.seconds / max(self.elapsed, 1e-9)

    @property
    def remaining(self) -> Seconds | None:
        """Estimated wall-clock time to go; None before anything is known."""
        return max(0.0, self.expected - self.seconds) / self.speed if self.seconds > 0 else None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a run has done, and what is in the folder now.

    Attributes:
        recordings: Stored by this run.
        kept: Stored by earlier runs.
        seconds: Of sound, stored by this run.
        elapsed: Wall-clock time of this run.
        failures: Of the recordings asked for, those that gave nothing, from this run and earlier ones.
        listed: Segments in the lists.
        missing: Segments without media.
        lost: Segments whose recording failed; of pictures, not those that only have no sound.
        soundless: Segments of those.
        bytes: Of all shards.
        folder: Where they are.
    """

    recordings: int
    kept: int
    seconds: Seconds
    elapsed: Seconds
    failures: tuple[Failure, ...]
    listed: int
    missing: int
    lost: int
    soundless: int
    bytes: int
    folder: Path

    @property
    def speed(self) -> float:
        """Seconds of sound a second."""
        return self.seconds / max(self.elapsed, 1e-9)


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

    Args:
        corpora: Splits of one data set; a recording that several use is stored once.
        out: The folder of the shards; made when it is not there.
        front_end: What to compute.
        dtype: Of the stored rows: ``float16`` or ``float32``.
        jobs: Worker processes; 1 works in this process.
        device: Where to compute, such as ``cuda``.
        fresh: Remove the shards in ``out`` first.
        max_missing: Share of listed segments that may be missing or fail.
        retry: Also try again what failed in earlier runs.

    Yields:
        `Progress` as it goes, `Summary` at the end.

    Raises:
        SlowFastError: Another run writes to ``out``, or a worker was killed.
        DataError: ``out`` cannot be written or holds shards of other settings; or, after everything is written, more
            than ``max_missing`` is missing.
    """
    if dtype not in ("float16", "float32") or jobs < 1:
        raise ValueError(f"extract: dtype {dtype}, jobs {jobs}: float16 or float32, and at least 1")
    recordings = _recordings(corpora)
    lengths = _lengths(corpora)
    source = source_hash(corpora)
    with locked(out):
        if fresh:
            remove_all(out)
        entries = usable(out)
        clean(out, entries)
        same_settings(out, entries, front_end.settings())
        done = {id for each in entries for id in each.ids}
        failed = {each.id for line in entries for each in line.failures} - done
        pending = [each for each in recordings if each.id not in done and (retry or each.id not in failed)]
        made_of = {
            "front_end": front_end.settings(), "mels": front_end.mels, "dtype": dtype, "source": source,
            "version": __version__,
        }  # fmt: skip
        work = Work(folder=out, front_end=front_end, making=Making(**made_of), device=device)  # type: ignore[arg-type]
        plan = _plan(pending, lengths, first=next_number(entries), jobs=jobs)
        state = _State(pending, lengths, kept=sum(each.id in done for each in recordings))
        yield state.progress()
        try:
            with closing(make_all(work, plan, min(jobs, max(1, len(plan))))) as messages:  # type: ignore[type-var]
                for message in messages:
                    if isinstance(message, Made):
                        published(out, message.temporary, message.entry)
                    if state.take(message):
                        yield state.progress()
        finally:
            clean(out, manifest(out))
            report(out, corpora)
        summary = state.summary(out, corpora)
        yield summary
    _require_enough(summary, max_missing)


def source_hash(corpora: Iterable[Corpus]) -> str:
    """SHA-256 over what the lists say: segments, times and targets, not where the media lie."""
    hashed = sha256()
    for corpus in corpora:
        hashed.update(f"{corpus.name}\t{corpus.split}\n".encode())
        for segment in corpus.segments:
            line = (segment.id, segment.recording.id, segment.start, segment.stop, sorted(segment.targets.items()))
            hashed.update(repr(line).encode())
    return hashed.hexdigest()


class _State:
    """Counts of one run."""

    def __init__(self, pending: Sequence[Recording], lengths: dict[str, Seconds], *, kept: int) -> None:
        self.total, self.kept, self.lengths = len(pending), kept, lengths
        self.started = time.monotonic()
        self.recordings = self.failed = 0
        self.seconds = self.stored = 0.0
        self.expected = sum(lengths[each.id] for each in pending)

    def take(self, message: Message) -> bool:
        """Count a message; whether it changed anything that shows."""
        if isinstance(message, Advanced):
            self.seconds += message.seconds
        elif isinstance(message, Ended):
            self.recordings += 1
            self.failed += message.failed
            self.stored += 0.0 if message.failed else message.seconds
            self.expected += message.seconds - self.lengths[message.id]
        else:
            return False
        return True

    def progress(self) -> Progress:
        return Progress(
            recordings=self.recordings,
            total=self.total,
            kept=self.kept,
            seconds=self.seconds,
            expected=max(self.expected, self.seconds),
            failures=self.failed,
            elapsed=time.monotonic() - self.started,
        )

    def summary(self, out: Path, corpora: Sequence[Corpus]) -> Summary:
        failed = failures(out, corpora)
        ids = {each.id: each.soundless for each in failed}
        hit = [
            corpus.seen and ids[segment.recording.id]
            for corpus in corpora
            for segment in corpus.segments
            if segment.recording.id in ids
        ]
        return Summary(
            recordings=self.recordings - self.failed,
            kept=self.kept,
            seconds=self.stored,
            elapsed=time.monotonic() - self.started,
            failures=failed,
            listed=sum(corpus.listed for corpus in corpora),
            missing=sum(len(corpus.missing) for corpus in corpora),
            lost=len(hit) - sum(hit),
            soundless=sum(hit),
            bytes=sum(each.bytes for each in manifest(out)),
            folder=out,
        )


def _recordings(corpora: Sequence[Corpus]) -> list[Recording]:
    found: dict[str, Recording] = {}
    for corpus in corpora:
        for recording in corpus.recordings:
            if found.setdefault(recording.id, recording) != recording:
                raise DataError(
                    f"{corpus.name}: recording {recording.id} is {shown(recording.path)} here and "
                    f"{shown(found[recording.id].path)} in another split: give the files names of their own"
                )
    return list(found.values())


def _lengths(corpora: Sequence[Corpus]) -> dict[str, Seconds]:
    """Estimated length of every recording: where its last segment stops."""
    lengths: dict[str, Seconds] = {}
    for segment in (segment for corpus in corpora for segment in corpus.segments):
        id, stop = segment.recording.id, segment.stop or segment.start + GUESSED_SECONDS
        lengths[id] = max(lengths.get(id, 0.0), stop)
    return lengths


def _plan(pending: Sequence[Recording], lengths: dict[str, Seconds], *, first: int, jobs: int) -> list[Job]:
    """Cut the work into shards of about equal length, as many as workers at least."""
    total = sum(lengths[each.id] for each in pending)
    size = total / max(jobs, ceil(total / SHARD_SECONDS), 1)
    groups: list[list[Recording]] = []
    held = size
    for recording in pending:
        if held >= size:
            groups.append([])
            held = 0.0
        groups[-1].append(recording)
        held += lengths[recording.id]
    return [Job(number=first + index, recordings=tuple(group)) for index, group in enumerate(groups)]


def _require_enough(summary: Summary, max_missing: float) -> None:
    lost = summary.missing + summary.lost
    if summary.listed and lost > max_missing * summary.listed:
        raise DataError(
            f"{shown(summary.folder)}: of {summary.listed} segments listed {summary.missing} are missing and "
            f"{summary.lost} failed ({lost / summary.listed:.0%}), more than --max-missing {max_missing:.0%}: see "
            f"{FAILURES} and {MISSING} there; what could be read is stored"
        )
