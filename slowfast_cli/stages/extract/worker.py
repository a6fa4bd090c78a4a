"""Workers of `extract`: decode recordings, compute log-mels, write shards; in this process or in several."""

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

from slowfast_cli.features.front_ends import FrontEndModule, make_front_end
from slowfast_cli.media import audio
from slowfast_cli.media.audio_source import NoAudioError, printable
from slowfast_cli.settings import FrontEnd
from slowfast_cli.shards.folder import file_stamp
from slowfast_cli.shards.manifest import Entry, Stamp
from slowfast_cli.shards.writer import TEMPORARY, ShardSpec, ShardWriter
from slowfast_cli.types import BrokenMediaError, DataError, Failure, Recording, Seconds, SlowFastError

# Signals of a decoder that crashes on a file; any other signal comes from outside and stops the run.
CRASHES = frozenset(-getattr(signal, name) for name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"))


@dataclass(frozen=True, kw_only=True)
class Work:
    """Settings shared by all shards."""

    folder: Path  # of the shards
    front_end: FrontEnd
    spec: ShardSpec
    device: str  # computes the log-mels


@dataclass(frozen=True, kw_only=True)
class Job:
    """One shard to write."""

    number: int
    recordings: tuple[Recording, ...]

    @property
    def name(self) -> str:
        """File name of the shard."""
        return f"shard-{self.number:05d}.h5"


@dataclass(frozen=True, kw_only=True)
class Started:
    """Decoding of a recording has started."""

    id: str


@dataclass(frozen=True, kw_only=True)
class Advanced:
    """More sound of the current recording is done."""

    seconds: Seconds  # since the last message


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A recording is done, or has failed."""

    id: str
    seconds: Seconds
    failed: bool


@dataclass(frozen=True, kw_only=True)
class ShardWritten:
    """A shard is on disk under a temporary name."""

    entry: Entry
    temporary: Path


@dataclass(frozen=True, kw_only=True)
class WorkerFailed:
    """A worker cannot continue."""

    error: SlowFastError


Message: TypeAlias = "Started | Advanced | Ended | ShardWritten | WorkerFailed"


def write_shard(work: Work, job: Job) -> Iterator[Message]:
    """Write one shard.

    Yields:
        Messages about its recordings; `ShardWritten` last.

    Raises:
        DataError: The shard cannot be written.
    """
    transform = make_front_end(work.front_end).to(torch.device(work.device))
    transform.exact = work.spec.spectra == "float64"
    failures: list[Failure] = []
    failed_files: list[Stamp | None] = []
    temporary = work.folder / f"{job.name}.{multiprocessing.current_process().pid}{TEMPORARY}"
    try:
        with ShardWriter(temporary, work.spec) as writer:
            for recording in job.recordings:
                yield Started(id=recording.id)
                seconds, file = 0.0, file_stamp(recording)
                try:
                    for rows, length in _features(transform, recording, work.front_end.rate):
                        writer.append(rows)
                        seconds += length
                        yield Advanced(seconds=length)
                except BrokenMediaError as error:
                    writer.drop()
                    mute = isinstance(error, NoAudioError)
                    failures.append(Failure(id=recording.id, path=recording.path, reason=str(error), soundless=mute))
                    failed_files.append(file)
                else:
                    writer.keep(recording.id, seconds, file)
                yield Ended(id=recording.id, seconds=seconds, failed=bool(failures) and failures[-1].id == recording.id)
            yield ShardWritten(entry=writer.finish(job.name, failures, failed_files), temporary=temporary)
    except OSError as error:
        raise DataError(
            f"{printable(work.folder)}: writing {job.name} failed ({error}): free disk space or repair the disk, then "
            "re-run the command to resume; finished shards are kept"
        ) from error


def _features(transform: FrontEndModule, recording: Recording, rate: int) -> Iterator[tuple[np.ndarray, Seconds]]:
    """Blocks of feature rows, each with the seconds of sound decoded since the block before.

    Raises:
        BrokenMediaError: The recording does not decode, is truncated, or is silent throughout.
    """
    counted = reported = 0

    def samples() -> Iterator[torch.Tensor]:
        nonlocal counted
        for block in audio.blocks(recording, rate=rate, whole=True):
            counted += len(block)
            yield torch.from_numpy(block)

    for rows in transform.stream(samples()):
        yield rows.cpu().numpy(), (counted - reported) / rate
        reported = counted


def _serve(pipe: connection.Connection, work: Work) -> None:
    """Write the shards of the jobs received through a pipe until it closes, which it also does if the parent dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent stops its workers
    torch.set_num_threads(1)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while (job := pipe.recv()) is not None:
            try:
                with closing(write_shard(work, job)) as messages:  # type: ignore[type-var]
                    for message in messages:
                        pipe.send(message)
            except SlowFastError as error:
                pipe.send(WorkerFailed(error=error))


class _Worker:
    """A worker process, its job and the recording it is decoding."""

    def __init__(self, work: Work) -> None:
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads or CUDA hangs
        self.pipe, theirs = context.Pipe()
        self.process: Any = context.Process(target=_serve, args=(theirs, work), daemon=True)
        self.process.start()
        theirs.close()  # so that the pipe ends when the process does
        self.job: Job | None = None
        self.recording_id: str | None = None

    def start(self, job: Job) -> None:
        self.job, self.recording_id = job, None
        with suppress(BrokenPipeError, ConnectionResetError):  # the next read notices
            self.pipe.send(job)

    def stop(self) -> None:
        self.pipe.close()
        if self.job is not None:
            self.process.terminate()
        self.process.join()


def write_shards(work: Work, jobs: Sequence[Job], processes: int) -> Iterator[Message]:
    """Write shards, in this process if one is enough.

    A recording whose decoder crashes its process is a failure; a new process writes the rest of its shard.

    Raises:
        SlowFastError: A worker was killed from outside.
        DataError: A shard cannot be written.
    """
    if processes == 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # a block is too small for several threads: on a busy machine they are 20 times slower
        try:
            for job in jobs:
                yield from write_shard(work, job)
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
                workers[-1].start(queue.popleft())
            for pipe in connection.wait([worker.pipe for worker in workers]):
                worker = next(worker for worker in workers if worker.pipe is pipe)
                message = _receive(worker, work, queue.append)
                if message is not None:
                    yield message
                if isinstance(message, ShardWritten):
                    worker.job = None
                    if queue:
                        worker.start(queue.popleft())
                if worker.job is None:
                    workers.remove(worker)
                    worker.stop()
    finally:
        for worker in workers:
            worker.stop()


def _receive(worker: _Worker, work: Work, resubmit: Callable[[Job], None]) -> Message | None:
    try:
        message: Message = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        return _handle_crash(worker, work, resubmit)
    if isinstance(message, WorkerFailed):
        raise message.error
    if isinstance(message, Started):
        worker.recording_id = message.id
    return message


def _handle_crash(worker: _Worker, work: Work, resubmit: Callable[[Job], None]) -> ShardWritten:
    worker.process.join()
    code, job = worker.process.exitcode, worker.job
    recordings = job.recordings if job else ()
    culprit = next((recording for recording in recordings if recording.id == worker.recording_id), None)
    if job is None or culprit is None or code not in CRASHES:
        raise SlowFastError(
            f"a worker process ended with exit code {code} (-9 often means out of memory): re-run the command with "
            "fewer --jobs to resume; finished shards are kept"
        )
    rest = tuple(recording for recording in recordings if recording is not culprit)
    if rest:
        resubmit(replace(job, recordings=rest))
    worker.job = None
    reason = f"{printable(culprit.path)}: its decoder crashed (exit code {code})"
    failure = Failure(id=culprit.id, path=culprit.path, reason=reason)
    entry = Entry(
        shard="", bytes=0, sha256="", front_end=work.spec.front_end, source=work.spec.source, ids=(), rows=(),
        seconds=(), failures=(failure,), failed_files=(file_stamp(culprit),), spectra=work.spec.spectra,
    )  # fmt: skip
    return ShardWritten(entry=entry, temporary=work.folder)
