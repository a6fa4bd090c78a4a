"""The training loop: the only place that calls backward."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf, isfinite

import torch
from torch import Tensor, nn

from slowfast_cli.engine.distributed import mean
from slowfast_cli.engine.gradients import Contrast, Loss, contrasted, summed
from slowfast_cli.types import Batch, Failure, Seconds, SlowFastError


class LossNotFiniteError(SlowFastError):
    """The loss or its gradient became NaN or infinite."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One optimiser step, done.

    Attributes:
        number: Steps done since the start of the run, this one included.
        losses: Mean loss over the batch of all processes by label set; their sum was minimised.
        lr: Learning rate it was taken with.
        grad_norm: Of all gradients before clipping.
        seconds: Wall time of the step, waiting included.
        waited: Wall time of it that was spent on waiting for data.
        clips: Examples of this process in it.
        broken: Recordings of this process that could not be read, and were left out of it.
        silent: Examples of this process that have no sound, where sound is asked for.
    """

    number: int
    losses: dict[str, float]
    lr: float
    grad_norm: float
    seconds: Seconds
    waited: Seconds
    clips: int
    broken: tuple[Failure, ...] = ()
    silent: int = 0

    @property
    def loss(self) -> float:
        """Sum over the label sets."""
        return sum(self.losses.values())


@dataclass(frozen=True, kw_only=True)
class How:
    """How a step is taken.

    Attributes:
        parts: Batches whose gradients make one step.
        clip_norm: Largest norm of the gradient.
        dtype: Of the forward pass; parameters stay float32.
        seed: All randomness of a step follows from it and the step's number, so that a resumed run repeats it.
        rank: Of this process: its dropout differs from the others'.
        contrast: In place of the loss, where the clips of all parts of a batch are compared with each other.
    """

    parts: int = 1
    clip_norm: float = inf
    dtype: torch.dtype = torch.float32
    seed: int = 0
    rank: int = 0
    contrast: Contrast | None = None


def fit(
    model: nn.Module,
    loss: Loss,
    batches: Iterator[Batch],
    optimizer: torch.optim.Optimizer,
    schedule: Callable[[int], float],
    steps: range,
    *,
    how: How,
    scaler: torch.amp.GradScaler | None = None,
) -> Iterator[Step]:
    """Train ``model`` in place and yield after each step; the caller logs, saves, evaluates or stops.

    Args:
        model: On its device; put in training mode before each step.
        loss: Losses by label set, each a mean over the batch.
        batches: ``how.parts`` of them make a step.
        optimizer: Its groups' ``lr`` is overwritten.
        schedule: Factor of the optimiser's ``initial_lr`` by steps done.
        steps: Numbers of the steps to take, from 0.
        how: How a step is taken.
        scaler: Of the gradients, for float16.

    Raises:
        LossNotFiniteError: Before the step is applied, so the parameters are as the last good step left them. An
            infinite gradient alone counts too, but with a ``scaler``, which then skips the step.
    """
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", group["lr"])
    scaler = scaler or torch.amp.GradScaler(enabled=False)
    for number in steps:
        began = time.perf_counter()
        torch.manual_seed((how.seed * 1_000_003 + number) * 4096 + how.rank)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * schedule(number)
        model.train()
        optimizer.zero_grad(set_to_none=True)
        taken = (
            summed(model, loss, batches, how.parts, dtype=how.dtype, scaler=scaler)
            if how.contrast is None
            else contrasted(model, how.contrast, batches, how.parts, dtype=how.dtype, scaler=scaler)
        )
        scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(_learning(optimizer), how.clip_norm)
        losses_now = mean(taken.losses)
        if not all(isfinite(value) for value in losses_now.values()):
            raise LossNotFiniteError(f"step {number + 1}: the loss is {losses_now}")
        if not scaler.is_enabled() and not isfinite(norm):
            raise LossNotFiniteError(f"step {number + 1}: the gradient is {float(norm)}, the loss {losses_now}")
        scaler.step(optimizer)
        scaler.update()
        yield Step(
            number=number + 1,
            losses=losses_now,
            lr=optimizer.param_groups[0]["lr"],
            grad_norm=float(norm),
            seconds=time.perf_counter() - began,
            waited=taken.waited,
            clips=taken.clips,
            broken=tuple(taken.broken),
            silent=taken.silent,
        )


def _learning(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return list(itertools.chain.from_iterable(group["params"] for group in optimizer.param_groups))
