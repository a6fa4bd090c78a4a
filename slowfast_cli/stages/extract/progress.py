"""How far an extraction is, in all its processes together."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slowfast_cli.engine import distributed
from slowfast_cli.shards.folder import failures
from slowfast_cli.shards.manifest import read_manifests
from slowfast_cli.stages.extract.worker import Advanced, Ended, Message
from slowfast_cli.types import Corpus, Failure, LostError, Seconds, Share, SlowFastError

WORD = 1.0  # second from one word of a process to the next
SILENCE = 1800.0  # seconds without any, after which the others are given up


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

    All numbers are those of all processes together.
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


class Counts:
    """Counts of one run; the first process adds those of the others, which leave word of theirs now and then.

    Args:
        estimates: Of the length of each recording that is to be done by this process.
        total: Recordings to be done by all.
        kept: Done by earlier runs.
        expected: Seconds of all.
        share: This process's part.
    """

    def __init__(
        self, estimates: dict[str, Seconds], *, total: int, kept: int, expected: Seconds, share: Share
    ) -> None:
        self.total, self.kept, self.expected = total, kept, expected
        self._estimates, self._share = estimates, share
        self._own = {"recordings": 0, "failed": 0, "seconds": 0.0, "stored": 0.0, "more": 0.0}
        self._others: dict[int, dict[str, Any]] = {}
        self._began = self._heard = time.monotonic()

    def take(self, message: Message) -> bool:
        """Count a message; whether it changed anything that shows."""
        if isinstance(message, Advanced):
            self._own["seconds"] += message.seconds
        elif isinstance(message, Ended):
            self._own["recordings"] += 1
            self._own["failed"] += message.failed
            self._own["stored"] += 0.0 if message.failed else message.seconds
            self._own["more"] += message.seconds - self._estimates[message.id]
        else:
            return False
        if time.monotonic() - self._heard > WORD:
            self._exchange()
        return True

    def _exchange(self) -> None:
        self._heard = time.monotonic()
        if self._share.rank:
            distributed.publish_status(self._own, self._share)
        else:
            self._others = distributed.read_status(self._share)

    def end(self, problem: str = "") -> None:
        """Leave the last word: this process is done, or cannot go on."""
        if self._share.rank:
            distributed.publish_status({**self._own, "problem": problem}, self._share)

    def all_done(self) -> bool:
        """Whether all other processes have left their last word."""
        return sum("problem" in each for each in self._others.values()) == self._share.world - 1

    def wait(self) -> Iterator[Progress]:
        """Wait for the other processes, however long they take: work that is dealt evenly may go unevenly.

        Raises:
            LostError: Nothing was heard of those that are not done.
            SlowFastError: One of them could not go on.
        """
        told, since = self._others, time.monotonic()
        while True:
            self._exchange()
            for rank, each in self._others.items():
                if each.get("problem"):
                    raise SlowFastError(f"process {rank} of {self._share.world}: {each['problem']}")
            if self.all_done():
                break
            yield self.progress()
            if self._others != told:
                told, since = self._others, time.monotonic()
            elif time.monotonic() - since > SILENCE:
                lost = [rank for rank in range(1, self._share.world) if "problem" not in self._others.get(rank, {})]
                raise LostError(
                    f"nothing was heard of processes {lost} for {SILENCE / 60:g} minutes: run the same command again "
                    "to go on, finished shards are kept"
                )
            time.sleep(WORD / 4)
        yield self.progress()

    def _sum(self, name: str) -> float:
        return float(sum(each[name] for each in (self._own, *self._others.values())))

    def progress(self) -> Progress:
        """Where the run stands."""
        seconds = self._sum("seconds")
        return Progress(
            recordings=int(self._sum("recordings")),
            total=self.total,
            kept=self.kept,
            seconds=seconds,
            expected=max(self.expected + self._sum("more"), seconds),
            failures=int(self._sum("failed")),
            elapsed=time.monotonic() - self._began,
        )

    def summary(self, out: Path, corpora: Sequence[Corpus]) -> Summary:
        """What the run has done, from what it counted and what is in the folder."""
        failed = failures(out, corpora)
        ids = {each.id: each.soundless for each in failed}
        hit = [
            corpus.has_video and ids[segment.recording.id]
            for corpus in corpora
            for segment in corpus.segments
            if segment.recording.id in ids
        ]
        return Summary(
            recordings=int(self._sum("recordings") - self._sum("failed")),
            kept=self.kept,
            seconds=self._sum("stored"),
            elapsed=time.monotonic() - self._began,
            failures=failed,
            listed=sum(corpus.listed for corpus in corpora),
            missing=sum(len(corpus.missing) for corpus in corpora),
            lost=len(hit) - sum(hit),
            soundless=sum(hit),
            bytes=sum(each.bytes for each in read_manifests(out)),
            folder=out,
        )
