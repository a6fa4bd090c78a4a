"""The gradients of one optimiser step, of a batch in parts: summed, or of a contrast over the whole batch."""

from __future__ import annotations

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
    """What came of the parts of a batch.

    Attributes:
        losses: Means over the batch.
        waited: Wall time that was spent on waiting for data.
        clips: Examples in it.
        silent: Examples without sound, where sound is asked for.
        readers: Processes that read them.
        broken: Recordings that could not be read.
    """

    losses: dict[str, Tensor] = field(default_factory=dict)
    data_wait: Seconds = 0.0
    clips: int = 0
    without_audio: int = 0
    workers: int = 0
    broken: list[Failure] = field(default_factory=list)

    def next(self, batches: Iterator[Batch]) -> Batch:
        """The next part, counted."""
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
    parts: int,
    *,
    dtype: torch.dtype,
    scaler: torch.amp.GradScaler,
) -> StepInputs:
    """Gradients of the mean of the parts' losses.

    Args:
        model: Its gradients are added to.
        loss: Losses by name, each a mean over a part.
        batches: ``parts`` of them are taken.
        parts: How many.
        dtype: Of the forward pass.
        scaler: Of the gradients.
    """
    taken = StepInputs()
    for part in range(parts):
        batch = taken.next(batches)
        with _last_part_syncs(model, part == parts - 1):
            with _autocast(batch, dtype):
                losses = loss(model, batch)
            scaler.scale(torch.stack(list(losses.values())).sum() / parts).backward()
        for name, value in losses.items():
            taken.losses[name] = taken.losses.get(name, torch.zeros_like(value)) + value.detach() / parts
    return taken


def contrasted(
    model: nn.Module,
    contrast: Contrast,
    batches: Iterator[Batch],
    parts: int,
    *,
    dtype: torch.dtype,
    scaler: torch.amp.GradScaler,
) -> StepInputs:
    """Gradients of a loss that compares the clips of all parts: gradient caching (Gao et al. 2021).

    Each part is run twice: first without keeping what gradients need, for the outputs, whose gradients then are what
    the second run starts from. Both runs draw the same random numbers, and running statistics are moved by the second
    only. Where no norm goes over the batch the result is that of the whole batch at once.

    Args:
        model: Its gradients are added to.
        contrast: Losses by name of the outputs of all clips, and their ids.
        batches: ``parts`` of them are taken.
        parts: How many.
        dtype: Of the forward pass.
        scaler: Of the gradients.
    """
    taken = StepInputs()
    held: list[tuple[Batch, _Random, dict[str, Tensor]]] = []
    for _ in range(parts):
        batch = taken.next(batches)
        drawn = _Random(batch)
        with torch.no_grad(), frozen_statistics(model), _autocast(batch, dtype):
            held.append((batch, drawn, model(batch.inputs.signals)))
    outputs = {name: torch.cat([each[name] for _, _, each in held]).detach().requires_grad_() for name in held[0][2]}
    ids = tuple(id_ for batch, _, _ in held for id_ in batch.ids)
    losses = contrast(outputs, Batch(inputs=Inputs(), targets={}, ids=ids))
    scaler.scale(torch.stack(list(losses.values())).sum()).backward()
    taken.losses = {name: value.detach() for name, value in losses.items()}
    first = 0
    for part, (batch, drawn, _) in enumerate(held):
        drawn.restore()
        with _last_part_syncs(model, part == parts - 1), _autocast(batch, dtype):
            found = model(batch.inputs.signals)
        rows = slice(first, first + len(batch))
        with _last_part_syncs(model, part == parts - 1):
            torch.autograd.backward(
                [found[name] for name in outputs], [_gradient(outputs[name])[rows] for name in outputs]
            )
        first = rows.stop
    return taken


def _gradient(value: Tensor) -> Tensor:
    return torch.zeros_like(value) if value.grad is None else value.grad


class _Random:
    """The random numbers of the devices of a batch, as they are now."""

    def __init__(self, batch: Batch) -> None:
        self._device = batch.device
        self._state = torch.get_rng_state()
        self._on_device = torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None

    def restore(self) -> None:
        """Draw the same ones again."""
        torch.set_rng_state(self._state)
        if self._on_device is not None:
            torch.cuda.set_rng_state(self._on_device, self._device)


def _autocast(batch: Batch, dtype: torch.dtype) -> torch.autocast:
    return torch.autocast(batch.device.type, dtype, enabled=dtype != torch.float32)


def _last_part_syncs(model: nn.Module, last: bool) -> contextlib.AbstractContextManager[None]:
    """Gradients of a batch in parts go round the processes once."""
    waits = isinstance(model, DistributedDataParallel) and not last
    return model.no_sync() if waits else contextlib.nullcontext()  # type: ignore[operator]
