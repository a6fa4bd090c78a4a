"""Speed of the training step of a recipe, on noise or on the recipe's data."""

import itertools
from collections.abc import Iterator

import torch
from torch import nn

from slowfast_cli.build.schedule import micro_batch_size, micro_batches
from slowfast_cli.build.task import build_task, step_config
from slowfast_cli.build.trial_step import TrialStep
from slowfast_cli.engine import distributed
from slowfast_cli.engine.fit import Step, fit
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages.bench.timing import Timing, peak_memory, reset_peak_memory, synchronize, time_stages
from slowfast_cli.stages.train.auto_workers import training_batches
from slowfast_cli.stages.train.state import Training, build_training
from slowfast_cli.tasks.task import Task
from slowfast_cli.types import Batch, Seconds, Share

WARM_UP = 3  # steps; the first ones allocate, choose kernels, compile and record graphs
STAGE_ROUNDS = 3


def settings_of(recipe: Recipe) -> dict[str, str]:
    """Describe the settings of the step that a benchmark varies."""
    optim = recipe.optim
    modes = {"compiled": optim.compile, "graphs": optim.cuda_graphs, "checkpointing": optim.activation_checkpointing}
    mode = " ".join(name for name, used in modes.items() if used) or "eager"
    return {"batch": str(optim.batch), "precision": optim.precision, "mode": mode}


def bench_step(recipe: Recipe, device: str, *, steps: int, data: bool = False) -> Timing:
    """Time optimizer steps as training takes them.

    Args:
        recipe: Its batch, precision, compilation and CUDA graphs are used.
        device: ``auto``, ``cpu``, ``cuda``.
        steps: That are timed.
        data: Read and transform the recipe's data; otherwise one batch of noise stays on the device.

    Raises:
        SlowFastError: The data or the weights of the recipe cannot be used.
    """
    at = distributed.device(device)
    try:
        return _time(recipe, at, steps, data=data)
    except torch.OutOfMemoryError:
        return Timing(settings=settings_of(recipe), problem="out of memory")


def _time(recipe: Recipe, at: torch.device, steps: int, *, data: bool) -> Timing:
    reset_peak_memory(at)
    if data:
        training = build_training(recipe, Share(), at, smoke=False)
        recipe = training.recipe  # fitted to the data
    run = _on_data(training, WARM_UP + steps) if data else _on_noise(recipe, at, WARM_UP + steps)
    timed = list(itertools.islice(run, WARM_UP, None))
    synchronize(at)
    memory = peak_memory(at)
    seconds = tuple(step.seconds for step in timed)
    wait = sum(step.data_wait for step in timed) / sum(seconds) if data else None
    return Timing(
        settings=settings_of(recipe),
        clips=recipe.optim.batch,
        seconds=seconds,
        stages={} if recipe.optim.compile or recipe.optim.cuda_graphs else _stages(recipe, at),
        data_wait=wait,
        memory=memory,
    )


def _on_data(training: Training, count: int) -> Iterator[Step]:
    task = build_task(training.recipe, training.val.classes)
    batches = training_batches(training, range(count))
    return _steps(training.recipe, training.model, training.optimizer, task, batches, count)


def _on_noise(recipe: Recipe, at: torch.device, count: int) -> Iterator[Step]:
    trial = TrialStep(recipe, micro_batch_size(recipe), at)
    return _steps(recipe, trial.model, trial.optimizer, trial.task, itertools.repeat(trial.batch), count)


def _steps(
    recipe: Recipe,
    model: Recognizer,
    optimizer: torch.optim.Optimizer,
    task: Task,
    batches: Iterator[Batch],
    count: int,
) -> Iterator[Step]:
    run: nn.Module = torch.compile(model) if recipe.optim.compile else model  # type: ignore[assignment]
    config = step_config(recipe, task, Share())
    for step in fit(run, task.loss, batches, optimizer, lambda done: 1.0, range(count), config=config):
        model.momentum_update()
        yield step


def _stages(recipe: Recipe, at: torch.device) -> dict[str, Seconds]:
    """Time of the parts of a step, each waited for, on noise."""
    micro = micro_batches(recipe)
    trial = TrialStep(recipe, micro_batch_size(recipe), at)
    losses = {}

    def forward() -> None:
        losses.update(trial.forward())

    stages = time_stages(
        {"forward": forward, "backward": lambda: trial.backward(losses), "optimizer": trial.update}, at, STAGE_ROUNDS
    )
    return {name: seconds * (1 if name == "optimizer" else micro) for name, seconds in stages.items()}
