"""The training loop: the only place that calls backward."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf, isfinite

import torch
from torch import Tensor, nn

from slowfast_cli.engine.async_scalars import AsyncScalars
from slowfast_cli.engine.cuda_graph import Graph
from slowfast_cli.engine.distributed import mean
from slowfast_cli.engine.gradients import Contrast, Loss, StepInputs, contrasted, summed
from slowfast_cli.types import Batch, Failure, Seconds, SlowFastError

IN_FLIGHT = 2  # steps that a device may be behind: launches and copies hide behind them, and NaN is told soon
GRADIENT = "gradient"  # among a step's numbers, beside the losses


class LossNotFiniteError(SlowFastError):
    """The loss or its gradient became NaN or infinite."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One optimiser step, done, or on its way through a device: who asks for its losses waits for it.

    Attributes:
        number: Steps done since the start of the run, this one included.
        numbers: Mean losses over the batch of all processes by label set, and `GRADIENT`.
        lr: Learning rate it was taken with.
        seconds: Wall time of the step, waiting included.
        waited: Wall time of it that was spent on waiting for data.
        clips: Examples of this process in it.
        broken: Recordings of this process that could not be read, and were left out of it.
        silent: Examples of this process that have no sound, where sound is asked for.
        readers: Processes that read this process's examples.
        scaled: Whether an infinite gradient is no error, as a scaler of gradients skips the step then.
    """

    number: int
    numbers: AsyncScalars
    lr: float
    seconds: Seconds
    data_wait: Seconds
    clips: int
    broken: tuple[Failure, ...] = ()
    without_audio: int = 0
    workers: int = 0
    scaled: bool = False

    @property
    def arrived(self) -> bool:
        """Whether its losses are here, so that asking for them waits for nothing."""
        return self.numbers.arrived

    @property
    def losses(self) -> dict[str, float]:
        """By label set; their sum was minimised."""
        return {name: value for name, value in self.numbers.values.items() if name != GRADIENT}

    @property
    def loss(self) -> float:
        """Sum over the label sets."""
        return sum(self.losses.values())

    @property
    def grad_norm(self) -> float:
        """Of all gradients before clipping."""
        return self.numbers.values[GRADIENT]

    def require_finite(self) -> None:
        """Wait for its numbers and check them.

        Raises:
            LossNotFiniteError: The loss is not finite, or the gradient.
        """
        _require_finite(self.number, self.numbers, scaled=self.scaled)


@dataclass(frozen=True, kw_only=True)
class StepConfig:
    """How a step is taken.

    Attributes:
        parts: Batches whose gradients make one step.
        clip_norm: Largest norm of the gradient.
        dtype: Of the forward pass; parameters stay float32.
        seed: All randomness of a step follows from it and the step's number, so that a resumed run repeats it.
        rank: Of this process: its dropout differs from the others'.
        contrast: In place of the loss, where the clips of all parts of a batch are compared with each other.
        graphs: Whether steps are replayed as CUDA graphs, see `slowfast_cli.engine.cuda_graph`.
    """

    micro_batches: int = 1
    clip_norm: float = inf
    dtype: torch.dtype = torch.float32
    seed: int = 0
    rank: int = 0
    contrast: Contrast | None = None
    cuda_graphs: bool = False


def fit(
    model: nn.Module,
    loss: Loss,
    batches: Iterator[Batch],
    optimizer: torch.optim.Optimizer,
    schedule: Callable[[int], float],
    steps: range,
    *,
    config: StepConfig,
    scaler: torch.amp.GradScaler | None = None,
) -> Iterator[Step]:
    """Train ``model`` in place and yield after each step; the caller logs, saves, evaluates or stops.

    Args:
        model: On its device; put in training mode before each step.
        loss: Losses by label set, each a mean over the batch.
        batches: ``config.micro_batches`` of them make a step.
        optimizer: Its groups' ``lr`` is overwritten.
        schedule: Factor of the optimiser's ``initial_lr`` by steps done.
        steps: Numbers of the steps to take, from 0.
        config: Options of a step.
        scaler: Of the gradients, for float16.

    A device is given its work ahead of time: nothing here waits for a step but for the numbers of an earlier one, and
    the device itself sees to it that a step whose loss or gradient is not finite changes no parameter, nor any later.

    Raises:
        LossNotFiniteError: The parameters are as the last good step left them; on a device it may come up to
            `IN_FLIGHT` steps late. An infinite gradient alone counts too, but with a ``scaler``, which skips the step.
    """
    rates = _Rates(optimizer, schedule, on_device=config.cuda_graphs)
    scaler = scaler or torch.amp.GradScaler(enabled=False)
    scaled, ahead = scaler.is_enabled(), IN_FLIGHT if optimizer.defaults.get("fused") else 0
    graph = Graph(partial(_whole, model, loss, optimizer, config)) if config.cuda_graphs else None
    pending: deque[Step] = deque()
    for number in steps:
        began = time.perf_counter()
        torch.manual_seed((config.seed * 1_000_003 + number) * 4096 + config.rank)
        rate = rates.set(number)
        if graph:
            taken = StepInputs()
            numbers = AsyncScalars(graph(taken.next(batches)))
        else:
            taken, values = _gradients(model, loss, batches, optimizer, config, scaler)
            numbers = AsyncScalars(values)
            if not ahead:
                _require_finite(number + 1, numbers, scaled=scaled)
            elif not scaled:
                _hold_back(optimizer, values)
            scaler.step(optimizer)
            scaler.update()
        if len(pending) >= max(ahead, 1):
            pending.popleft().require_finite()
        step = Step(
            number=number + 1,
            numbers=numbers,
            lr=rate,
            seconds=time.perf_counter() - began,
            data_wait=taken.data_wait,
            clips=taken.clips,
            broken=tuple(taken.broken),
            without_audio=taken.without_audio,
            workers=taken.workers,
            scaled=scaled,
        )
        pending.append(step)
        yield step
    for step in pending:
        step.require_finite()


class _Rates:
    """The learning rates of an optimiser's groups, all in proportion; on the device where a graph has to see them."""

    def __init__(self, optimizer: torch.optim.Optimizer, schedule: Callable[[int], float], *, on_device: bool) -> None:
        self._groups, self._schedule = optimizer.param_groups, schedule
        device = next(each.device for group in self._groups for each in group["params"])  # a group may be empty
        for group in self._groups:
            rate = group["initial_lr"] = float(group.get("initial_lr", group["lr"]))
            group["lr"] = torch.tensor(rate, device=device) if on_device else rate

    def set(self, done: int) -> float:
        """Set them for the step after ``done``; returns that of the first group."""
        factor = self._schedule(done)
        for group in self._groups:
            rate = group["initial_lr"] * factor
            group["lr"] = group["lr"].fill_(rate) if isinstance(group["lr"], Tensor) else rate
        return float(self._groups[0]["initial_lr"] * factor)


def _gradients(
    model: nn.Module,
    loss: Loss,
    batches: Iterator[Batch],
    optimizer: torch.optim.Optimizer,
    config: StepConfig,
    scaler: torch.amp.GradScaler,
) -> tuple[StepInputs, dict[str, Tensor]]:
    """The gradients of a step, clipped, and its numbers."""
    model.train()
    optimizer.zero_grad(set_to_none=True)
    taken = (
        summed(model, loss, batches, config.micro_batches, dtype=config.dtype, scaler=scaler)
        if config.contrast is None
        else contrasted(model, config.contrast, batches, config.micro_batches, dtype=config.dtype, scaler=scaler)
    )
    scaler.unscale_(optimizer)
    return taken, {**mean(taken.losses), GRADIENT: _clipped(optimizer, config.clip_norm)}


def _whole(
    model: nn.Module, loss: Loss, optimizer: torch.optim.Optimizer, config: StepConfig, batch: Batch
) -> dict[str, Tensor]:
    """A whole step on one batch, in which nothing is asked of the device."""
    _, values = _gradients(model, loss, iter([batch]), optimizer, config, torch.amp.GradScaler(enabled=False))
    _hold_back(optimizer, values)
    optimizer.step()
    return values


def _clipped(optimizer: torch.optim.Optimizer, largest: float) -> Tensor:
    """The norm of all gradients, after which they are no longer than ``largest``."""
    learning = list(itertools.chain.from_iterable(group["params"] for group in optimizer.param_groups))
    norm = nn.utils.get_total_norm([each.grad for each in learning if each.grad is not None], foreach=None)
    if largest < inf:
        nn.utils.clip_grads_with_norm_(learning, largest, norm)
    return norm


def _hold_back(optimizer: torch.optim.Optimizer, values: Mapping[str, Tensor]) -> None:
    """Let a fused optimiser find on the device that it has to leave everything as it is, now and ever after.

    It looks at the attribute that `torch.amp.GradScaler` would set.
    """
    finite = torch.stack([value.detach().float() for value in values.values()]).isfinite().all()
    found = getattr(optimizer, "found_inf", None)
    found = torch.zeros((), device=finite.device) if found is None else found
    optimizer.found_inf = found.clamp_(min=(~finite).float())  # type: ignore[attr-defined]


def _require_finite(number: int, numbers: AsyncScalars, *, scaled: bool) -> None:
    values = numbers.values
    gradient = values.pop(GRADIENT)
    if not all(isfinite(value) for value in values.values()):
        raise LossNotFiniteError(f"step {number}: the loss is {values}")
    if not scaled and not isfinite(gradient):
        raise LossNotFiniteError(f"step {number}: the gradient is {gradient}, the loss {values}")
