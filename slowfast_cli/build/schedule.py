"""How long a training is, and its learning rate on the way: in epochs or in steps, as the recipe counts."""

from __future__ import annotations

from collections.abc import Callable

from slowfast_cli.engine import schedule
from slowfast_cli.recipe.schema import Recipe, Schedule


def steps(recipe: Recipe, epoch_steps: int) -> int:
    """Optimiser steps in all."""
    plan = recipe.schedule
    return plan.steps if plan.steps is not None else epoch_steps * (plan.epochs or 0)


def top_rate(recipe: Recipe) -> float:
    """The learning rate at the top of the schedule, scaled with the batch where the recipe says what it is for."""
    plan = recipe.optim
    return plan.lr * plan.batch / (plan.lr_batch or plan.batch)


def learning_rate(recipe: Recipe, epoch_steps: int) -> Callable[[int], float]:
    """Factor of the top rate by steps done."""
    plan = recipe.schedule
    unit = 1 if plan.steps is not None else epoch_steps
    length = plan.steps if plan.steps is not None else (plan.epochs or 0)
    warm = plan.warmup_steps / unit if plan.warmup_steps else plan.warmup_epochs * epoch_steps / unit
    if plan.warmup_apart:
        rate = schedule.risen(_shape(plan, length - warm), warm, plan.warmup_from)
    else:
        rate = schedule.warmed_up(_shape(plan, length), warm, plan.warmup_from)
    return lambda step: rate(step / unit)


def _shape(plan: Schedule, length: float) -> schedule.Schedule:
    if plan.shape == "steps":
        return schedule.steps(plan.drop_at, plan.drop_by)
    return schedule.cosine(max(length, 1e-9)) if plan.shape == "cosine" else schedule.restarts(plan.restart, plan.floor)
