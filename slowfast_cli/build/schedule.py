"""Optimizer, number of steps and learning rate of a recipe, counted in epochs or in steps as the recipe does."""

from collections.abc import Callable

import torch
from torch import nn

from slowfast_cli.engine import schedule
from slowfast_cli.engine.optim import make_optimizer
from slowfast_cli.recipe.optimization import Schedule
from slowfast_cli.recipe.schema import Recipe

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def micro_batches(recipe: Recipe, processes: int = 1) -> int:
    """Micro-batches of an optimizer step in each process."""
    optim = recipe.optim
    return optim.batch // (processes * optim.bn_batch_size) if optim.bn_batch_size else optim.grad_accum_steps


def micro_batch_size(recipe: Recipe, processes: int = 1) -> int:
    """Clips of a micro-batch in each process, at least one."""
    return max(1, recipe.optim.batch // micro_batches(recipe, processes) // processes)


def build_optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """Build the recipe's optimizer."""
    optim = recipe.optim
    return make_optimizer(
        model,
        optim.name,
        lr=top_rate(recipe),
        momentum=optim.momentum,
        nesterov=optim.nesterov,
        weight_decay=optim.weight_decay,
        decay_norms=optim.decay_norms,
    )


def total_steps(recipe: Recipe, epoch_steps: int) -> int:
    """Optimizer steps of the training."""
    plan = recipe.schedule
    return plan.steps if plan.steps is not None else epoch_steps * (plan.epochs or 0)


def top_rate(recipe: Recipe) -> float:
    """Highest learning rate, scaled with the batch if the recipe gives the batch that `lr` is for."""
    optim = recipe.optim
    return optim.lr * optim.batch / (optim.lr_batch or optim.batch)


def learning_rate(recipe: Recipe, epoch_steps: int) -> Callable[[int], float]:
    """Factor of the highest learning rate as a function of the steps done."""
    plan = recipe.schedule
    unit = 1 if plan.steps is not None else epoch_steps
    length = plan.steps if plan.steps is not None else (plan.epochs or 0)
    warmup = plan.warmup_steps / unit if plan.warmup_steps else plan.warmup_epochs * epoch_steps / unit
    if plan.warmup_apart:
        rate = schedule.risen(_shape(plan, length - warmup), warmup, plan.warmup_from)
    else:
        rate = schedule.warmed_up(_shape(plan, length), warmup, plan.warmup_from)
    return lambda step: rate(step / unit)


def _shape(plan: Schedule, length: float) -> schedule.Schedule:
    if plan.shape == "steps":
        return schedule.steps(plan.drop_at, plan.drop_by)
    return schedule.cosine(max(length, 1e-9)) if plan.shape == "cosine" else schedule.restarts(plan.restart, plan.floor)
