"""The training loop: the only place that calls backward."""

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

IN_FLIGHT = 2  # steps the host may run ahead of the device: launches and copies overlap, and NaN is reported soon
GRADIENT = "gradient"  # name of the gradient norm among a step's scalars


class LossNotFiniteError(SlowFastError):
    """The loss or its gradient became NaN or infinite."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """Result of one optimizer step. Losses may still be in flight on the device; reading them synchronizes."""

    number: int  # steps done since the start of the run, this one included
    scalars: AsyncScalars  # mean losses over the batch of all processes by label set, and `GRADIENT`
    lr: float
    seconds: Seconds  # wall time, data wait included
    data_wait: Seconds
    clips: int  # of this process
    broken: tuple[Failure, ...] = ()  # recordings of this process that could not be read
    without_audio: int = 0  # clips of this process without audio, if the network reads it
    workers: int = 0  # processes that read this process's clips
    scaled: bool = False  # a gradient scaler skips steps with infinite gradients, so that they are no error

    @property
    def arrived(self) -> bool:
        """Whether reading the losses does not synchronize."""
        return self.scalars.arrived

    @property
    def losses(self) -> dict[str, float]:
        """Losses by label set; their sum was minimized."""
        return {name: value for name, value in self.scalars.values.items() if name != GRADIENT}

    @property
    def loss(self) -> float:
        """Sum of the losses."""
        return sum(self.losses.values())

    @property
    def grad_norm(self) -> float:
        """Norm of all gradients before clipping."""
        return self.scalars.values[GRADIENT]

    def require_finite(self) -> None:
        """Wait for the losses and check them; raise `LossNotFiniteError` if the loss or the gradient is not finite."""
        _require_finite(self.number, self.scalars, scaled=self.scaled)


@dataclass(frozen=True, kw_only=True)
class StepConfig:
    """Options of the training step."""

    micro_batches: int = 1  # whose gradients are accumulated
    clip_norm: float = inf
    dtype: torch.dtype = torch.float32  # of the forward pass; parameters stay float32
    seed: int = 0  # with the step's number it determines all randomness, so that a resumed run repeats it
    rank: int = 0  # makes dropout differ between processes
    contrast: Contrast | None = None  # replaces the loss if it compares the clips of all micro-batches
    cuda_graphs: bool = False  # see `slowfast_cli.engine.cuda_graph`


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

    On a device the host runs ahead: it waits only for the scalars of an earlier step, and the fused optimizer itself
    skips a step whose loss or gradient is not finite, and all later ones.

    Args:
        model: On its device; set to training mode before each step.
        loss: Losses by label set, each a mean over the batch.
        batches: ``config.micro_batches`` of them make a step.
        optimizer: The ``lr`` of its groups is overwritten.
        schedule: Factor of the optimizer's ``initial_lr`` as a function of the steps done.
        steps: Numbers of the steps, from 0.
        config: Options of a step.
        scaler: Gradient scaler, for float16.

    Raises:
        LossNotFiniteError: The parameters are those after the last good step; on a device it is raised up to
            `IN_FLIGHT` steps late. An infinite gradient alone is an error too, except with a ``scaler``.
    """
    rates = _Rates(optimizer, schedule, on_device=config.cuda_graphs)
    scaler = scaler or torch.amp.GradScaler(enabled=False)
    scaled, ahead = scaler.is_enabled(), IN_FLIGHT if optimizer.defaults.get("fused") else 0
    graph = Graph(partial(_whole_step, model, loss, optimizer, config)) if config.cuda_graphs else None
    pending: deque[Step] = deque()
    for number in steps:
        start = time.perf_counter()
        torch.manual_seed((config.seed * 1_000_003 + number) * 4096 + config.rank)
        rate = rates.set(number)
        if graph:
            inputs = StepInputs()
            scalars = AsyncScalars(graph(inputs.next(batches)))
        else:
            inputs, values = _gradients(model, loss, batches, optimizer, config, scaler)
            scalars = AsyncScalars(values)
            if not ahead:
                _require_finite(number + 1, scalars, scaled=scaled)
            elif not scaled:
                _skip_if_not_finite(optimizer, values)
            scaler.step(optimizer)
            scaler.update()
        if len(pending) >= max(ahead, 1):
            pending.popleft().require_finite()
        step = Step(
            number=number + 1, scalars=scalars, lr=rate, seconds=time.perf_counter() - start,
            data_wait=inputs.data_wait, clips=inputs.clips, broken=tuple(inputs.broken),
            without_audio=inputs.without_audio, workers=inputs.workers, scaled=scaled,
        )  # fmt: skip
        pending.append(step)
        yield step
    for step in pending:
        step.require_finite()


class _Rates:
    """Sets the learning rates of an optimizer's groups in proportion; as tensors if a CUDA graph reads them."""

    def __init__(self, optimizer: torch.optim.Optimizer, schedule: Callable[[int], float], *, on_device: bool) -> None:
        self._groups, self._schedule = optimizer.param_groups, schedule
        device = next(
            parameter.device for group in self._groups for parameter in group["params"]
        )  # a group may be empty
        for group in self._groups:
            rate = group["initial_lr"] = float(group.get("initial_lr", group["lr"]))
            group["lr"] = torch.tensor(rate, device=device) if on_device else rate

    def set(self, done: int) -> float:
        """Set the rates for the step after ``done`` steps; returns that of the first group."""
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
    """Compute and clip the gradients of a step; also return its scalars."""
    model.train()
    optimizer.zero_grad(set_to_none=True)
    inputs = (
        summed(model, loss, batches, config.micro_batches, dtype=config.dtype, scaler=scaler)
        if config.contrast is None
        else contrasted(model, config.contrast, batches, config.micro_batches, dtype=config.dtype, scaler=scaler)
    )
    scaler.unscale_(optimizer)
    return inputs, {**mean(inputs.losses), GRADIENT: _clipped(optimizer, config.clip_norm)}


def _whole_step(
    model: nn.Module, loss: Loss, optimizer: torch.optim.Optimizer, config: StepConfig, batch: Batch
) -> dict[str, Tensor]:
    """Take a whole step on one batch without synchronizing."""
    _, values = _gradients(model, loss, iter([batch]), optimizer, config, torch.amp.GradScaler(enabled=False))
    _skip_if_not_finite(optimizer, values)
    optimizer.step()
    return values


def _clipped(optimizer: torch.optim.Optimizer, largest: float) -> Tensor:
    """Clip all gradients to the norm ``largest``; returns the norm before."""
    learning = list(itertools.chain.from_iterable(group["params"] for group in optimizer.param_groups))
    norm = nn.utils.get_total_norm(
        [parameter.grad for parameter in learning if parameter.grad is not None], foreach=None
    )
    if largest < inf:
        nn.utils.clip_grads_with_norm_(learning, largest, norm)
    return norm


def _skip_if_not_finite(optimizer: torch.optim.Optimizer, values: Mapping[str, Tensor]) -> None:
    """Set `found_inf` so that the fused optimizer skips this and all later steps if a loss or gradient is not finite.

    That is the attribute that `torch.amp.GradScaler` would set; it needs no synchronization.
    """
    finite = torch.stack([value.detach().float() for value in values.values()]).isfinite().all()
    found_inf = getattr(optimizer, "found_inf", None)
    found_inf = torch.zeros((), device=finite.device) if found_inf is None else found_inf
    optimizer.found_inf = found_inf.clamp_(min=(~finite).float())  # type: ignore[attr-defined]


def _require_finite(number: int, scalars: AsyncScalars, *, scaled: bool) -> None:
    values = scalars.values
    gradient = values.pop(GRADIENT)
    if not all(isfinite(value) for value in values.values()):
        raise LossNotFiniteError(f"step {number}: the loss is {values}")
    if not scaled and not isfinite(gradient):
        raise LossNotFiniteError(f"step {number}: the gradient is {gradient}, the loss {values}")
