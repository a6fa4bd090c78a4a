"""Files answered several at a time by threads: decoders, Fourier transforms and networks all leave Python alone.

Each thread reads some files and runs them through the network by itself, on its share of the cores. One core to a
forward pass is faster than all cores to one after the other: there is nothing to wait for at the end of each layer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from threading import Event

import torch

from slowfast_cli.stages.predict.results import Failed, FilePrediction

MOST_THREADS = 8  # each holds a batch and what the network makes of it
MOST_FILES = 8  # in one job: the views of so many fill a batch
AHEAD = 2  # jobs a thread

Told = list[FilePrediction | Failed]
Whole = Callable[[Sequence[Path]], Told]


def predict_parallel(
    paths: Iterable[Path | Failed], whole: Whole, *, threads: int
) -> Iterator[FilePrediction | Failed]:
    """Answers for files, in their order, whatever order they are found in.

    No more than ``AHEAD`` jobs of ``MOST_FILES`` files a thread are read ahead of the answers that were taken. The
    first jobs are of one file each, so that first answers come at once and few files are shared evenly.

    Args:
        paths: Files, and those that have failed before.
        whole: Answers for some files, in order; called by several threads at a time.
        threads: Cores there are.

    Raises:
        Exception: What ``whole`` raises.
    """
    waiting = iter(paths)
    first = list(islice(waiting, 2))
    if len(first) < 2:  # a single file has all cores
        for path in first:
            yield from [path] if isinstance(path, Failed) else whole([path])
        return
    workers = max(1, min(threads, MOST_THREADS))
    stop, pending = Event(), deque[Future[Told]]()
    pool = ThreadPoolExecutor(workers, "predict", torch.set_num_threads, (max(1, threads // workers),))
    try:
        for job in _jobs(chain(first, waiting), workers):
            pending.append(pool.submit(_told, job, whole, stop))
            while len(pending) > AHEAD * workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:  # also where nobody wants more answers, or the user has interrupted
        stop.set()
        pool.shutdown(cancel_futures=True)


def _jobs(paths: Iterator[Path | Failed], workers: int) -> Iterator[list[Path | Failed]]:
    """Files by ones, then twos and fours, as many of each as there are workers.

    >>> [len(job) for job in _jobs(iter([Path("x")] * 14), 2)]
    [1, 1, 2, 2, 4, 4]
    """
    number = 0
    while job := list(islice(paths, min(1 << (number // workers), MOST_FILES))):
        yield job
        number += 1


def _told(job: Sequence[Path | Failed], whole: Whole, stop: Event) -> Told:
    """Answers and failures in the order of the job."""
    if stop.is_set():
        return []
    files = [path for path in job if isinstance(path, Path)]
    found = iter(whole(files) if files else ())
    return [each if isinstance(each, Failed) else next(found) for each in job]
