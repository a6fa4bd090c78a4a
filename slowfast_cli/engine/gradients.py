"""Gradients of one optimizer step: accumulated over micro-batches, or of a contrast over the whole batch."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from slowfast_cli.nn.frozen import frozen_statistics
from slowfast_cli.types import Batch, Failure, Inputs, Seconds

Loss = Callable[[nn.Module, Batch], dict[str, Tensor]]
Contrast = Callable[[Mapping[str, Tensor], Batch], dict[str, Tensor]]


@dataclass
class StepInputs:
    """What the micro-batches of a step add up to."""

    losses: dict[str, Tensor] = field(default_factory=dict)  # means over the batch
    data_wait: Seconds = 0.0
    clips: int = 0
    without_audio: int = 0
    workers: int = 0
    broken: list[Failure] = field(default_factory=list)

    def next(self, batches: Iterator[Batch]) -> Batch:
        """Take the next micro-batch and count it."""
        batch = next(batches)
        self.data_wait += batch.data_wait
        self.clips += len(batch)
        self.without_audio += batch.without_audio
        self.workers = batch.workers
        self.broken += batch.broken
        return batch


def summed(
    model: nn.Module,
    loss: Loss,
    batches: Iterator[Batch],
    micro_batches: int,
    *,
    dtype: torch.dtype,
    scaler: torch.amp.GradScaler,
) -> StepInputs:
    """Accumulate the gradients of the mean loss over the micro-batches; losses are means over a micro-batch."""
    inputs = StepInputs()
    for number in range(micro_batches):
        batch = inputs.next(batches)
        with _sync_last(model, number == micro_batches - 1):
            with _autocast(batch, dtype):
                losses = loss(model, batch)
            scaler.scale(torch.stack(list(losses.values())).sum() / micro_batches).backward()
        for name, value in losses.items():
            inputs.losses[name] = inputs.losses.get(name, torch.zeros_like(value)) + value.detach() / micro_batches
    return inputs


def contrasted(
    model: nn.Module,
    contrast: Contrast,
    batches: Iterator[Batch],
    micro_batches: int,
    *,
    dtype: torch.dtype,
    scaler: torch.amp.GradScaler,
) -> StepInputs:
    """Gradients of a loss that compares the clips of all micro-batches: gradient caching (Gao et al. 2021).

    Each micro-batch is run twice: first without gradients, for its outputs; then again, starting the backward pass from
    the gradients of those outputs. Both passes draw the same random numbers, and only the second updates running
    statistics. Without batch norms the result equals that of the whole batch.
    """
    inputs = StepInputs()
    first_pass: list[tuple[Batch, _RandomState, dict[str, Tensor]]] = []
    for _ in range(micro_batches):
        batch = inputs.next(batches)
        random = _RandomState(batch)
        with torch.no_grad(), frozen_statistics(model), _autocast(batch, dtype):
            first_pass.append((batch, random, model(batch.inputs.signals)))
    outputs = {
        name: torch.cat([part[name] for _, _, part in first_pass]).detach().requires_grad_()
        for name in first_pass[0][2]
    }
    ids = tuple(id_ for batch, _, _ in first_pass for id_ in batch.ids)
    losses = contrast(outputs, Batch(inputs=Inputs(), targets={}, ids=ids))
    scaler.scale(torch.stack(list(losses.values())).sum()).backward()
    inputs.losses = {name: value.detach() for name, value in losses.items()}
    first = 0
    for number, (batch, random, _) in enumerate(first_pass):
        random.restore()
        with _sync_last(model, number == micro_batches - 1), _autocast(batch, dtype):
            second = model(batch.inputs.signals)
        rows = slice(first, first + len(batch))
        with _sync_last(model, number == micro_batches - 1):
            torch.autograd.backward(
                [second[name] for name in outputs], [_gradient(outputs[name])[rows] for name in outputs]
            )
        first = rows.stop
    return inputs


def _gradient(value: Tensor) -> Tensor:
    return torch.zeros_like(value) if value.grad is None else value.grad


class _RandomState:
    """State of the random generators that a batch's device uses."""

    def __init__(self, batch: Batch) -> None:
        self._device = batch.device
        self._state = torch.get_rng_state()
        self._on_device = torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None

    def restore(self) -> None:
        """Reset the generators to that state."""
        torch.set_rng_state(self._state)
        if self._on_device is not None:
            torch.cuda.set_rng_state(self._on_device, self._device)


def _autocast(batch: Batch, dtype: torch.dtype) -> torch.autocast:
    return torch.autocast(batch.device.type, dtype, enabled=dtype != torch.float32)


def _sync_last(model: nn.Module, last: bool) -> contextlib.AbstractContextManager[None]:
    """Synchronize the gradients of accumulated micro-batches between processes only once."""
    waits = isinstance(model, DistributedDataParallel) and not last
    return model.no_sync() if waits else contextlib.nullcontext()  # type: ignore[operator]
