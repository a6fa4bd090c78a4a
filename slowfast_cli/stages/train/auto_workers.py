"""Number of worker processes that keep the device busy: measured, not guessed."""

import time
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from math import ceil

from slowfast_cli.build.clips import cores, load_batches, workers_of
from slowfast_cli.build.corpus import class_of_each
from slowfast_cli.build.schedule import micro_batches
from slowfast_cli.build.task import task_spec
from slowfast_cli.build.transforms import Progress, training_transform
from slowfast_cli.data import loader
from slowfast_cli.data.loader import PREFETCH
from slowfast_cli.stages.train.state import Training
from slowfast_cli.types import Batch

MARGIN = 1.3  # more workers than just keep up, as files differ
SLOW = 0.05  # share of data wait above which the user is advised

Read = Callable[[range, int], Generator[Batch]]


def training_batches(training: Training, steps: range, seed: int = 0) -> Iterator[Batch]:
    """Yield the micro-batches of some training steps, on the device, ready for the network.

    Args:
        training: The run.
        steps: Numbers of the steps.
        seed: Added to the recipe's seed for another order of the clips.
    """
    recipe, count = training.recipe, micro_batches(training.recipe, training.share.world)
    transform = training_transform(recipe, training.device, training.views)
    clips = class_of_each(training.train) if recipe.data.balanced else len(training.train_clips)

    def read(batches: range, workers: int) -> Generator[Batch]:
        keys = loader.training_keys(
            clips,
            batch=recipe.optim.batch,
            micro_batches=count,
            epochs=-(-steps.stop // (len(training.train_clips) // recipe.optim.batch)),
            first_step=steps.start,
            seed=recipe.seed + seed,
            share=training.share,
            crops=task_spec(recipe).crops,
        )
        selected = islice(keys, batches.start, batches.stop)
        yield from load_batches(recipe, training.train_clips, selected, training.device, workers=workers)

    numbers, default = range(len(steps) * count), workers_of(recipe)
    tuned = recipe.data.workers is None
    batches = tune_workers(read, numbers, default=default, most=cores()) if tuned else read(numbers, default)
    for number, batch in enumerate(batches, steps.start * count):
        yield transform(batch, Progress(step=number // count, share=number // count / steps.stop))


def tune_workers(read: Read, batches: range, *, default: int, most: int) -> Iterator[Batch]:
    """Read batches with the default number of workers, then with more if the device had to wait.

    The wait is measured over the last third of a trial, when the batches read ahead are used up.

    Args:
        read: Reads a range of batches, in order, with a number of workers.
        batches: Numbers of the batches.
        default: Workers of the trial.
        most: Upper bound.
    """
    length = 3 * PREFETCH * max(default, 1)
    data_wait = compute = 0.0
    reader = read(batches, default)
    for index, batch in enumerate(reader):
        start = time.perf_counter()
        yield batch
        if index >= length * 2 // 3:
            data_wait, compute = data_wait + batch.data_wait, compute + time.perf_counter() - start
        if index + 1 == length:
            break
    share = data_wait / max(data_wait + compute, 1e-9)
    workers = min(workers_needed(share, default), most) if share > SLOW else default
    if workers <= default:
        yield from reader
        return
    reader.close()
    yield from read(batches[length:], workers)


def workers_needed(share: float, workers: int) -> int:
    """Workers that read as fast as the device computes.

    Args:
        share: Share of the time spent waiting for data.
        workers: Workers that were reading.

    >>> workers_needed(0.5, 2), workers_needed(0.1, 4), workers_needed(0, 1)
    (6, 6, 2)
    """
    return ceil(MARGIN * max(workers, 1) / (1 - min(share, 0.99)))


def data_wait_advice(share: float, workers: int, *, source: str, cores: int) -> str:
    """Say what to change if the device waits for data.

    Args:
        share: Share of the time spent waiting.
        workers: Workers that are reading.
        source: `data.source`: ``shards``, ``media`` or ``features``.
        cores: Cores available to this process.
    """
    count = workers_needed(share, workers)
    if count <= cores:
        return f"{workers} workers read the data: set data.workers={count}"
    short = f"{workers} workers read the data, {count} would keep up, but there are {cores} cores"
    if source == "media":
        return f"{short}: run `slowfast extract` and set data.source=shards, or use shorter or smaller media"
    return f"{short}: move the shards to a faster disk, or use fewer processes on this machine"
