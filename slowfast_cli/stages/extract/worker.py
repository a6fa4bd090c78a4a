"""The part of `extract` that decodes and transforms: one shard after another, in this process or in several."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from multiprocessing import connection
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from slowfast_cli.features.logmel import LogMel
from slowfast_cli.media import audio
from slowfast_cli.media.audio_source import NoAudioError, printable
from slowfast_cli.settings import FrontEnd
from slowfast_cli.shards.manifest import Entry
from slowfast_cli.shards.writer import TEMPORARY, ShardSpec, ShardWriter
from slowfast_cli.types import DataError, Failure, Recording, Seconds, SlowFastError

# Ways a decoder dies of one file; any other signal comes from outside and stops the run.
CRASHES = frozenset(-getattr(signal, name) for name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"))


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is the same for every shard.

    Attributes:
        folder: Where shards go.
        front_end: What is computed.
        making: What is written into each.
        device: Where it is computed.
    """

    folder: Path
    front_end: FrontEnd
    making: ShardSpec
    device: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """One shard to make."""

    number: int
    recordings: tuple[Recording, ...]

    @property
    def name(self) -> str:
        """The shard's file name."""
        return f"shard-{self.number:05d}.h5"


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A recording is being decoded."""

    id: str


@dataclass(frozen=True, kw_only=True)
class Advanced:
    """So many more seconds of sound are done."""

    seconds: Seconds


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A recording is done, or has failed."""

    id: str
    seconds: Seconds
    failed: bool


@dataclass(frozen=True, kw_only=True)
class Made:
    """A shard is on the disk under a temporary name."""

    entry: Entry
    temporary: Path


@dataclass(frozen=True, kw_only=True)
class Broke:
    """A worker cannot go on."""

    error: SlowFastError


Message: TypeAlias = "Begun | Advanced | Ended | Made | Broke"


def make(work: Work, job: Job) -> Iterator[Message]:
    """Make one shard.

    Yields:
        What happens; `Made` at the end.

    Raises:
        DataError: It cannot be written.
    """
    logmel = LogMel(work.front_end).to(work.device).eval()
    failures: list[Failure] = []
    temporary = work.folder / f"{job.name}.{multiprocessing.current_process().pid}{TEMPORARY}"
    try:
        with ShardWriter(temporary, work.making) as writer:
            for recording in job.recordings:
                yield Begun(id=recording.id)
                seconds = 0.0
                try:
                    for rows, length in _transformed(logmel, recording):
                        writer.append(rows)
                        seconds += length
                        yield Advanced(seconds=length)
                except DataError as error:
                    writer.drop()
                    mute = isinstance(error, NoAudioError)
                    failures.append(Failure(id=recording.id, path=recording.path, reason=str(error), soundless=mute))
                else:
                    writer.keep(recording.id, seconds)
                yield Ended(id=recording.id, seconds=seconds, failed=bool(failures) and failures[-1].id == recording.id)
            yield Made(entry=writer.finish(job.name, failures), temporary=temporary)
    except OSError as error:
        raise DataError(
            f"{printable(work.folder)}: writing {job.name} failed ({error}): "
            "make room or mend the disk; run the same command again to go on, finished shards are kept"
        ) from error


def _transformed(logmel: LogMel, recording: Recording) -> Iterator[tuple[np.ndarray, Seconds]]:
    """Rows of log-mel and the seconds of sound that came in since the last ones.

    Raises:
        DataError: It does not decode, is truncated, or is digital silence throughout.
    """
    rate = logmel.front_end.rate
    counted = told = 0
    peak = 0.0

    def samples() -> Iterator[torch.Tensor]:
        nonlocal counted, peak
        try:
            for block in audio.blocks(recording, rate=rate, whole=True):
                counted += len(block)
                peak = max(peak, float(np.abs(block).max()))
                yield torch.from_numpy(block)
        except (ValueError, RuntimeError, ArithmeticError, LookupError, OSError) as error:
            raise DataError(
                f"{printable(recording.path)}: its decoder failed ({type(error).__name__}: {error})"
            ) from error

    for rows in logmel.stream(samples()):
        yield rows.cpu().numpy(), (counted - told) / rate
        told = counted
    if peak == 0:
        raise DataError(f"{printable(recording.path)}: silent: each of its samples is 0")


def _serve(pipe: connection.Connection, work: Work) -> None:
    """Make the shards that come through a pipe, until it closes: also when the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent stops us
    torch.set_num_threads(1)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while (job := pipe.recv()) is not None:
            try:
                with closing(make(work, job)) as messages:  # type: ignore[type-var]
                    for message in messages:
                        pipe.send(message)
            except SlowFastError as error:
                pipe.send(Broke(error=error))


class _Worker:
    """A process and what it is at."""

    def __init__(self, work: Work) -> None:
        context = multiprocessing.get_context("spawn")  # forking a process with threads or CUDA in it hangs
        self.pipe, theirs = context.Pipe()
        self.process: Any = context.Process(target=_serve, args=(theirs, work), daemon=True)
        self.process.start()
        theirs.close()  # so that the pipe ends when the process does
        self.job: Job | None = None
        self.at: str | None = None

    def begin(self, job: Job) -> None:
        self.job, self.at = job, None
        with suppress(BrokenPipeError, ConnectionResetError):  # reading will find out
            self.pipe.send(job)

    def stop(self) -> None:
        self.pipe.close()
        if self.job is not None:
            self.process.terminate()
        self.process.join()


def make_all(work: Work, jobs: Sequence[Job], processes: int) -> Iterator[Message]:
    """Make shards, in this process when one is enough.

    A recording whose decoder crashes its process is a failure; the rest of its shard is made by a new process.

    Raises:
        SlowFastError: A worker was killed from outside.
        DataError: A shard cannot be written.
    """
    if processes == 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # tiles of a spectrogram are too small to share: on a busy machine that costs 20 times
        try:
            for job in jobs:
                yield from make(work, job)
        finally:
            torch.set_num_threads(threads)
    else:
        yield from _in_processes(work, jobs, processes)


def _in_processes(work: Work, jobs: Sequence[Job], processes: int) -> Iterator[Message]:
    queue = deque(jobs)
    workers: list[_Worker] = []
    try:
        while queue or workers:
            while queue and len(workers) < processes:
                workers.append(_Worker(work))
                workers[-1].begin(queue.popleft())
            for pipe in connection.wait([worker.pipe for worker in workers]):
                worker = next(each for each in workers if each.pipe is pipe)
                message = _received(worker, work, queue.append)
                if message is not None:
                    yield message
                if isinstance(message, Made):
                    worker.job = None
                    if queue:
                        worker.begin(queue.popleft())
                if worker.job is None:
                    workers.remove(worker)
                    worker.stop()
    finally:
        for worker in workers:
            worker.stop()


def _received(worker: _Worker, work: Work, resubmit: Callable[[Job], None]) -> Message | None:
    try:
        message: Message = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        return _crashed(worker, work, resubmit)
    if isinstance(message, Broke):
        raise message.error
    if isinstance(message, Begun):
        worker.at = message.id
    return message


def _crashed(worker: _Worker, work: Work, resubmit: Callable[[Job], None]) -> Made:
    worker.process.join()
    code, job = worker.process.exitcode, worker.job
    culprit = next((each for each in job.recordings if each.id == worker.at), None) if job else None
    if job is None or culprit is None or code not in CRASHES:
        raise SlowFastError(
            f"a worker process ended with exit code {code} (-9 is often memory running out): "
            "run the same command again to go on, with fewer --jobs; finished shards are kept"
        )
    rest = tuple(each for each in job.recordings if each is not culprit)
    if rest:
        resubmit(replace(job, recordings=rest))
    worker.job = None
    reason = f"{printable(culprit.path)}: its decoder crashed (exit code {code})"
    failure = Failure(id=culprit.id, path=culprit.path, reason=reason)
    making = work.making
    lost = Entry(
        shard="", bytes=0, sha256="", front_end=making.front_end, source=making.source, ids=(), rows=(), seconds=(),
        failures=(failure,),
    )  # fmt: skip
    return Made(entry=lost, temporary=work.folder)
