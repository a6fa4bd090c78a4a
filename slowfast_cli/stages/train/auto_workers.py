"""How many processes have to read so that the device never waits: measured, not guessed."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from math import ceil

from slowfast_cli.build import assemble, clips, transforms
from slowfast_cli.data import loader
from slowfast_cli.data.loader import PREFETCH
from slowfast_cli.stages.train.state import Training
from slowfast_cli.types import Batch

MARGIN = 1.3  # processes to have above what just keeps up: files differ
SLOW = 0.05  # share of the time spent on waiting for data above which a remedy is named

Read = Callable[[range, int], Generator[Batch]]


def training_batches(training: Training, steps: range, seed: int = 0) -> Iterator[Batch]:
    """The batches of a training, on the device, ready for the network.

    Args:
        training: Whose.
        steps: Those of these steps, each in as many parts as the recipe says.
        seed: Another one gives another order.
    """
    recipe, parts = training.recipe, assemble.parts(training.recipe, training.share.world)
    prepared = transforms.training(recipe, training.device, training.views)

    def read(batches: range, workers: int) -> Generator[Batch]:
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
        yield from clips.batches(recipe, training.train_clips, mine, training.device, workers=workers)

    whole = range(len(steps) * parts)
    guess, measures = clips.workers_of(recipe), recipe.data.workers is None
    read_ahead = paced(read, whole, guess=guess, most=clips.cores()) if measures else read(whole, guess)
    for number, batch in enumerate(read_ahead, steps.start * parts):
        yield prepared(batch, number // parts, number // parts / steps.stop)


def paced(read: Read, batches: range, *, guess: int, most: int) -> Iterator[Batch]:
    """Read batches by a first guess of processes, and by more where these keep the device waiting.

    What counts is how long the last third of a trial was waited for, when all that was read ahead is used up: reading,
    and sending it from process to process.

    Args:
        read: Reads a range of them, in order, by so many processes.
        batches: Their numbers.
        guess: Processes for the trial.
        most: Processes that there may be.
    """
    length = 3 * PREFETCH * max(guess, 1)
    data_wait = worked = 0.0
    reader = read(batches, guess)
    for place, batch in enumerate(reader):
        given = time.perf_counter()
        yield batch
        if place >= length * 2 // 3:
            data_wait, worked = data_wait + batch.data_wait, worked + time.perf_counter() - given
        if place + 1 == length:
            break
    share = data_wait / max(data_wait + worked, 1e-9)
    more = min(wanted(share, guess), most) if share > SLOW else guess
    if more <= guess:
        yield from reader
        return
    reader.close()
    yield from read(batches[length:], more)


def wanted(share: float, workers: int) -> int:
    """Processes that read as fast as the device works.

    Args:
        share: Of the time that was spent on waiting for data.
        workers: Processes that read meanwhile.

    >>> wanted(0.5, 2), wanted(0.1, 4), wanted(0, 1)
    (6, 6, 2)
    """
    return ceil(MARGIN * max(workers, 1) / (1 - min(share, 0.99)))


def remedy(share: float, workers: int, *, source: str, cores: int) -> str:
    """What to do about a device that waits for data.

    Args:
        share: Of the time that is spent on waiting.
        workers: Processes that read.
        source: Of the clips: ``shards``, ``media``, ``features``.
        cores: That this process may use.
    """
    count = wanted(share, workers)
    if count <= cores:
        return f"{workers} processes read: set data.workers={count}"
    short = f"{workers} processes read, {count} would keep up, and there are {cores} cores"
    if source == "media":
        return f"{short}: run `slowfast extract` and set data.source=shards, or use shorter or smaller media"
    return f"{short}: move the shards to a faster disk, or use fewer processes on this machine"
