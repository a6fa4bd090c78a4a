"""A training step as one CUDA graph: its launches are recorded once, then replayed by a single call.

Faster where launching takes the host longer than computing takes the device: small batches of networks with hundreds of
small layers on large GPUs.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from slowfast_cli.types import Batch

WARM_UP = 3  # eager steps before recording: libraries choose kernels, optimizers create their state

Values = Mapping[str, Tensor]


class Graph:
    """Takes steps; from the fourth on by replaying a recorded graph on the clips of each batch.

    A batch of another size, for example because a recording could not be read, takes an eager step.

    Args:
        step: Takes one step: forward, backward, optimizer. It must not synchronize; all that changes between steps is
            in the batch, in tensors, or drawn by the device's generator.
    """

    def __init__(self, step: Callable[[Batch], Values]) -> None:
        self._step = step
        self._count = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._batch: Batch | None = None
        self._values: Values = {}
        self._last: list[object] = []

    def __call__(self, batch: Batch) -> Values:
        """Take a step on a batch on the device; the values are valid until the next one."""
        self._count += 1
        layout, before = _layout(batch), self._last
        self._last = layout
        if self._count <= WARM_UP or (self._graph is None and layout != before):  # an unusual size
            return self._eager(batch)
        if self._graph is None or self._batch is None:
            self._record(batch)
        elif layout != _layout(self._batch):
            return self._step(batch)
        if self._graph is not None and self._batch is not None:
            for target, source in zip(_tensors(self._batch), _tensors(batch), strict=True):
                target.copy_(source, non_blocking=True)
            self._graph.replay()
        return self._values

    def _eager(self, batch: Batch) -> Values:
        """Take a step on a separate stream, which recording requires."""
        current, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            values = self._step(batch)
        current.wait_stream(side)
        return values

    def _record(self, batch: Batch) -> None:
        self._batch = batch.map(torch.clone)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads, such as the loader's pinning thread, continue meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._values = self._step(replace(self._batch, ids=batch.ids))


def _tensors(batch: Batch) -> list[Tensor]:
    return [*batch.inputs.present.values(), *batch.targets.values(), *([] if batch.boxes is None else [batch.boxes])]


def _layout(batch: Batch) -> list[object]:
    """Names, shapes and types: equal for batches that can share a graph."""
    names = [*batch.inputs.present, *batch.targets]
    return [names, [(value.shape, value.dtype) for value in _tensors(batch)]]
