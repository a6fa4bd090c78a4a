"""Predict several files concurrently in threads; decoding, FFTs and the forward pass release the GIL.

Each thread decodes some files and runs the network on them, on its share of the cores. One core per forward pass is
faster than all cores on one pass after the other: no thread waits at the end of each layer.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from threading import Event

import torch

from slowfast_cli.stages.predict.results import Failed, FilePrediction

MOST_THREADS = 8  # each needs memory for a batch and its activations
MOST_FILES = 8  # in one job: the views of that many files fill a batch
AHEAD = 2  # jobs per thread

Results = list[FilePrediction | Failed]
PredictFiles = Callable[[Sequence[Path]], Iterable[FilePrediction | Failed]]


def predict_parallel(
    paths: Iterable[Path | Failed], predict_files: PredictFiles, *, threads: int, most_files: int = MOST_FILES
) -> Iterator[FilePrediction | Failed]:
    """Predict files concurrently; yield the results in the order of the files.

    At most ``AHEAD`` jobs of ``most_files`` files per thread are read ahead of the consumer. The first jobs have one
    file each, so that the first results come at once and few files are shared evenly.

    Args:
        paths: Files, and files that have failed already.
        predict_files: Returns the results of some files, in order: one of each file, or any number if ``most_files`` is
            1; called by several threads concurrently. The results of a single file are yielded as they come.
        threads: Number of cores.
        most_files: In one job.

    Raises:
        Exception: Whatever ``predict_files`` raises.
    """
    waiting = iter(paths)
    first = list(islice(waiting, 2))
    if len(first) < 2:  # a single file gets all cores
        for path in first:
            yield from [path] if isinstance(path, Failed) else predict_files([path])
        return
    workers = max(1, min(threads, MOST_THREADS))
    stop, pending, wait = Event(), deque[Future[Results]](), True
    pool = ThreadPoolExecutor(workers, "predict", torch.set_num_threads, (max(1, threads // workers),))
    try:
        for job in _jobs(chain(first, waiting), workers, most_files):
            pending.append(pool.submit(_run, job, predict_files, stop))
            while len(pending) > AHEAD * workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    except KeyboardInterrupt:
        wait = False  # a thread may be converting the network, which only the end of the program stops
        raise
    finally:  # also if the consumer closes the generator
        stop.set()
        pool.shutdown(wait=wait, cancel_futures=True)


def _jobs(paths: Iterator[Path | Failed], workers: int, most: int = MOST_FILES) -> Iterator[list[Path | Failed]]:
    """Split files into jobs of 1, then 2, 4, ... files; as many jobs of each size as workers.

    >>> [len(job) for job in _jobs(iter([Path("x")] * 14), 2)]
    [1, 1, 2, 2, 4, 4]
    """
    number = 0
    while job := list(islice(paths, min(1 << (number // workers), most))):
        yield job
        number += 1


def _run(job: Sequence[Path | Failed], predict_files: PredictFiles, stop: Event) -> Results:
    """Predictions and failures in the order of the job."""
    if stop.is_set():
        return []
    files = [path for path in job if isinstance(path, Path)]
    if len(files) == len(job):
        return list(predict_files(files))
    results = iter(predict_files(files) if files else ())
    return [path if isinstance(path, Failed) else next(results) for path in job]
