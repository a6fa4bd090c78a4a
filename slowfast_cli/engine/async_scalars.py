"""Numbers on their way from a device to the host, which waits for them only when it asks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class AsyncScalars:
    """A few scalars by name; copied from their device in the background.

    Args:
        values: Scalars of one device; what is queued there before now is what they are.
    """

    def __init__(self, values: Mapping[str, Tensor]) -> None:
        self._names = tuple(values)
        stacked = torch.stack([value.detach().float() for value in values.values()])
        self._event: torch.cuda.Event | None = None
        self._host = stacked
        if stacked.is_cuda:
            self._host = torch.empty(len(values), pin_memory=True)
            self._host.copy_(stacked, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    @property
    def arrived(self) -> bool:
        """Whether they are here."""
        return self._event is None or self._event.query()

    @property
    def values(self) -> dict[str, float]:
        """The numbers by name; waits for them."""
        if self._event is not None:
            self._event.synchronize()
        return dict(zip(self._names, self._host.tolist(), strict=True))
