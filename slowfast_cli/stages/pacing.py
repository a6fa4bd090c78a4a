"""How many processes have to read so that the device never waits: measured, not guessed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from math import ceil
from statistics import median

from slowfast_cli.data import loader
from slowfast_cli.stages import assemble, prepare, reading
from slowfast_cli.stages.training import Training
from slowfast_cli.types import Batch, Seconds

TRIAL = 40  # batches that are read by a first guess; what they took says how many processes read the rest
SETTLING = 10  # of them, that count for nothing: compilers and caches warm up
MARGIN = 1.3  # processes to have above what just keeps up: files differ
SLOW = 0.05  # share of the time spent on waiting for data above which a remedy is named

Read = Callable[[range, int], Iterator[Batch]]


def training_batches(training: Training, steps: range, seed: int = 0) -> Iterator[Batch]:
    """The batches of a training, on the device, ready for the network.

    Args:
        training: Whose.
        steps: Those of these steps, each in as many parts as the recipe says.
        seed: Another one gives another order.
    """
    recipe, parts = training.recipe, assemble.parts(training.recipe, training.share.world)
    prepared = prepare.training(recipe, training.device, training.views)

    def read(batches: range, workers: int) -> Iterator[Batch]:
        keys = loader.training_keys(
            len(training.train_clips),
            batch=recipe.optim.batch,
            parts=parts,
            epochs=-(-steps.stop // (len(training.train_clips) // recipe.optim.batch)),
            first_step=steps.start,
            seed=recipe.seed + seed,
            share=training.share,
            crops=assemble.crops(recipe),
        )
        mine = islice(keys, batches.start, batches.stop)
        return reading.batches(recipe, training.train_clips, mine, training.device, workers=workers)

    whole = range(len(steps) * parts)
    guess, measures = reading.workers_of(recipe), recipe.data.workers is None
    read_ahead = paced(read, whole, guess=guess, most=reading.cores()) if measures else read(whole, guess)
    for number, batch in enumerate(read_ahead, steps.start * parts):
        yield prepared(batch, number // parts, number // parts / steps.stop)


def paced(read: Read, batches: range, *, guess: int, most: int) -> Iterator[Batch]:
    """Read batches by as many processes as it takes.

    Args:
        read: Reads a range of them, in order, by so many processes.
        batches: Their numbers.
        guess: Processes for the first `TRIAL`.
        most: Processes that there may be.
    """
    trial = batches[:TRIAL]
    read_in: list[Seconds] = []
    worked: list[Seconds] = []
    for batch in read(trial, guess):
        given = time.perf_counter()
        yield batch
        read_in.append(batch.read)
        worked.append(time.perf_counter() - given)
    if rest := batches[TRIAL:]:
        workers = needed(median(read_in[SETTLING:]), median(worked[SETTLING:]), most=most)
        yield from read(rest, workers)


def needed(read_in: Seconds, worked: Seconds, *, most: int) -> int:
    """Processes that read as fast as the device works.

    Args:
        read_in: What one of them takes for a batch.
        worked: On a batch, waiting for data left out.
        most: There may be.

    >>> needed(0.1, 0.05, most=8), needed(0.001, 0.05, most=8), needed(9, 0.05, most=8)
    (3, 1, 8)
    """
    return min(max(1, ceil(MARGIN * read_in / max(worked, 1e-6))), most)


def remedy(read_in: Seconds, worked: Seconds, *, source: str, cores: int) -> str:
    """What to do about a device that waits for data.

    Args:
        read_in: What one process takes for a batch.
        worked: On a batch, waiting left out.
        source: Of the clips: ``shards``, ``media``, ``features``.
        cores: That this process may use.
    """
    wanted = needed(read_in, worked, most=1 << 20)
    told = f"reading a batch takes a worker {read_in:.2g} s, learning from it {worked:.2g} s"
    if wanted <= cores:
        return f"{told}: set data.workers={wanted}"
    short = f"{told}: {wanted} workers would keep up, and there are {cores} cores"
    if source == "media":
        return f"{short}: run `slowfast extract` and set data.source=shards, or use shorter or smaller media"
    return f"{short}: move the shards to a faster disk, or use fewer processes on this machine"
