"""Progress and summary of an extraction, over all ranks."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slowfast_cli.data.stored_features import digest
from slowfast_cli.engine import distributed
from slowfast_cli.shards.folder import failures
from slowfast_cli.shards.manifest import read_manifests
from slowfast_cli.stages.extract.worker import Advanced, Ended, Message
from slowfast_cli.types import Corpus, Failure, LostError, Seconds, Share, SlowFastError

STATUS_INTERVAL = 1.0  # seconds between status updates of a rank
STATUS_TIMEOUT = 1800.0  # seconds without a status update after which the other ranks are given up


@dataclass(frozen=True, kw_only=True)
class Progress:
    """State of a run, summed over all ranks."""

    recordings: int  # done in this run, failures included
    total: int  # to be done in this run
    kept: int  # done by earlier runs
    seconds: Seconds  # of sound, done in this run
    expected: Seconds  # of sound in this run: an estimate that becomes exact
    failures: int  # in this run
    elapsed: Seconds  # wall-clock time of this run

    @property
    def speed(self) -> float:
        """Seconds of sound per second."""
        return self.seconds / max(self.elapsed, 1e-9)

    @property
    def remaining(self) -> Seconds | None:
        """Estimated remaining wall-clock time; None before any sound is done."""
        return max(0.0, self.expected - self.seconds) / self.speed if self.seconds > 0 else None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Result of a run, and the contents of its folder."""

    recordings: int  # stored by this run
    kept: int  # stored by earlier runs
    changed: int  # files that changed since earlier runs, and were extracted anew
    seconds: Seconds  # of sound, stored by this run
    elapsed: Seconds  # wall-clock time of this run
    failures: tuple[Failure, ...]  # recordings of the corpora that could not be stored, in this run or earlier ones
    listed: int  # segments in the annotation lists
    missing: int  # segments without media
    lost: int  # segments whose recording failed; in a video corpus, except those that only lack audio
    soundless: int  # segments of a video corpus that only lack audio
    bytes: int  # size of all shards
    spectra: tuple[str, ...]  # precisions of the spectra of the shards: float32, float64
    folder: Path

    @property
    def speed(self) -> float:
        """Seconds of sound per second."""
        return self.seconds / max(self.elapsed, 1e-9)


class Counts:
    """Counters of one run; rank 0 adds the counters that the other ranks publish.

    Args:
        estimates: Estimated length by id of the recordings of this rank.
        total: Recordings to be done by all ranks.
        kept: Recordings done by earlier runs.
        changed: Files that changed since earlier runs.
        expected: Estimated seconds of all ranks.
        share: Rank and world size.
    """

    def __init__(
        self, estimates: dict[str, Seconds], *, total: int, kept: int, expected: Seconds, share: Share, changed: int = 0
    ) -> None:
        self.total, self.kept, self.changed, self.expected = total, kept, changed, expected
        self._estimates, self._share = estimates, share
        self._own = {"recordings": 0, "failed": 0, "seconds": 0.0, "stored": 0.0, "more": 0.0}
        self._others: dict[int, dict[str, Any]] = {}
        self._start = self._exchanged = time.monotonic()

    def add(self, message: Message) -> bool:
        """Count a message; return whether the progress changed."""
        if isinstance(message, Advanced):
            self._own["seconds"] += message.seconds
        elif isinstance(message, Ended):
            self._own["recordings"] += 1
            self._own["failed"] += message.failed
            self._own["stored"] += 0.0 if message.failed else message.seconds
            self._own["more"] += message.seconds - self._estimates[message.id]
        else:
            return False
        if time.monotonic() - self._exchanged > STATUS_INTERVAL:
            self._exchange()
        return True

    def _exchange(self) -> None:
        self._exchanged = time.monotonic()
        if self._share.rank:
            distributed.publish_status(self._own, self._share)
        else:
            self._others = distributed.read_status(self._share)

    def finish(self, problem: str = "") -> None:
        """Publish the final status of this rank: done, or failed with a problem."""
        if self._share.rank:
            distributed.publish_status({**self._own, "problem": problem}, self._share)

    def all_done(self) -> bool:
        """Whether all other ranks have published their final status."""
        return sum("problem" in status for status in self._others.values()) == self._share.world - 1

    def wait(self) -> Iterator[Progress]:
        """Wait until the other ranks are done.

        Raises:
            LostError: A rank that is not done has not published a status for ``STATUS_TIMEOUT``.
            SlowFastError: Another rank has failed.
        """
        last, since = self._others, time.monotonic()
        while True:
            self._exchange()
            for rank, status in self._others.items():
                if status.get("problem"):
                    raise SlowFastError(f"process {rank} of {self._share.world}: {status['problem']}")
            if self.all_done():
                break
            yield self.progress()
            if self._others != last:
                last, since = self._others, time.monotonic()
            elif time.monotonic() - since > STATUS_TIMEOUT:
                lost = [rank for rank in range(1, self._share.world) if "problem" not in self._others.get(rank, {})]
                raise LostError(
                    f"no status from processes {lost} for {STATUS_TIMEOUT / 60:g} minutes: re-run the command to "
                    "resume, finished shards are kept"
                )
            time.sleep(STATUS_INTERVAL / 4)
        yield self.progress()

    def _sum(self, name: str) -> float:
        return float(sum(counts[name] for counts in (self._own, *self._others.values())))

    def progress(self) -> Progress:
        """Current state of the run."""
        seconds = self._sum("seconds")
        return Progress(
            recordings=int(self._sum("recordings")),
            total=self.total,
            kept=self.kept,
            seconds=seconds,
            expected=max(self.expected + self._sum("more"), seconds),
            failures=int(self._sum("failed")),
            elapsed=time.monotonic() - self._start,
        )

    def summary(self, out: Path, corpora: Sequence[Corpus]) -> Summary:
        """Summarize the run from its counters and the contents of the folder."""
        failed = failures(out, corpora)
        distinct = {(digest(corpus.segments), len(corpus.missing)): corpus for corpus in corpora}  # val may be test
        corpora = list(distinct.values())
        without_audio = {failure.id: failure.soundless for failure in failed}
        frames_only = [  # per segment of a failed recording: whether it can still be used for its frames
            corpus.has_video and without_audio[segment.recording.id]
            for corpus in corpora
            for segment in corpus.segments
            if segment.recording.id in without_audio
        ]
        entries = read_manifests(out)
        return Summary(
            recordings=int(self._sum("recordings") - self._sum("failed")),
            kept=self.kept,
            changed=self.changed,
            seconds=self._sum("stored"),
            elapsed=time.monotonic() - self._start,
            failures=failed,
            listed=sum(corpus.listed for corpus in corpora),
            missing=sum(len(corpus.missing) for corpus in corpora),
            lost=len(frames_only) - sum(frames_only),
            soundless=sum(frames_only),
            bytes=sum(entry.bytes for entry in entries),
            spectra=tuple(sorted({entry.spectra for entry in entries if entry.shard})),
            folder=out,
        )
