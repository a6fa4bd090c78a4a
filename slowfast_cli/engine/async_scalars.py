"""Scalars that are copied from a device in the background."""

from collections.abc import Mapping

import torch
from torch import Tensor

from slowfast_cli.nn.precision import at_least_float32


class AsyncScalars:
    """A few scalars of one device by name, copied without blocking."""

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        self._names = tuple(values)
        stacked = torch.stack([at_least_float32(value.detach()) for value in values.values()])
        self._event: torch.cuda.Event | None = None
        self._host = stacked
        if stacked.is_cuda:
            self._host = torch.empty(len(values), dtype=stacked.dtype, pin_memory=True)
            self._host.copy_(stacked, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    @property
    def arrived(self) -> bool:
        """Whether the copy is complete."""
        return self._event is None or self._event.query()

    @property
    def values(self) -> dict[str, float]:
        """Values by name; waits for the copy."""
        if self._event is not None:
            self._event.synchronize()
        return dict(zip(self._names, self._host.tolist(), strict=True))
