"""A training step as one CUDA graph: its launches are recorded once, then all of them are replayed by a single call.

It pays where launching takes the host longer than computing takes the device: small batches of networks with hundreds
of small layers, on large GPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from slowfast_cli.types import Batch

WARM_UP = 3  # steps taken one launch at a time before: libraries choose their kernels, optimisers make their state

Values = Mapping[str, Tensor]


class Graph:
    """Takes steps; from the fourth on by replaying what the device did, on the clips of each batch.

    A batch of other sizes, as where a recording of it could not be read, takes its step one launch at a time.

    Args:
        step: Takes one step: forward, backward, optimiser. It may ask the device for nothing, and whatever changes from
            step to step is in the batch, in the memory of tensors, or drawn by the device's generator.
    """

    def __init__(self, step: Callable[[Batch], Values]) -> None:
        self._step = step
        self._taken = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._batch: Batch | None = None
        self._values: Values = {}
        self._last: list[object] = []

    def __call__(self, batch: Batch) -> Values:
        """Take a step on a batch that is on the device; the numbers are good until the next one."""
        self._taken += 1
        kind, before = _kinds(batch), self._last
        self._last = kind
        if self._taken <= WARM_UP or (self._graph is None and kind != before):  # what is unusual is not recorded
            return self._aside(batch)
        if self._graph is None or self._batch is None:
            self._record(batch)
        elif kind != _kinds(self._batch):
            return self._step(batch)
        if self._graph is not None and self._batch is not None:
            for kept, given in zip(_tensors(self._batch), _tensors(batch), strict=True):
                kept.copy_(given, non_blocking=True)
            self._graph.replay()
        return self._values

    def _aside(self, batch: Batch) -> Values:
        """A step on a stream of its own, as what is recorded later has to have run on one."""
        here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            values = self._step(batch)
        here.wait_stream(aside)
        return values

    def _record(self, batch: Batch) -> None:
        self._batch = batch.map(torch.clone)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads, as the one that pins what workers have read, go on meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._values = self._step(replace(self._batch, ids=batch.ids))


def _tensors(batch: Batch) -> list[Tensor]:
    return [*batch.inputs.present.values(), *batch.targets.values(), *([] if batch.boxes is None else [batch.boxes])]


def _kinds(batch: Batch) -> list[object]:
    """What has to be the same of two batches for one to stand in for the other."""
    names = [*batch.inputs.present, *batch.targets]
    return [names, [(value.shape, value.dtype) for value in _tensors(batch)]]
