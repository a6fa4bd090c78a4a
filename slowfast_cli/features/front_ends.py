"""Registry of front ends, which convert samples to a network's time-frequency input.

A new front end is a class with the interface below and a line in `FRONT_ENDS`. Recipes select it by `frontend.kind`;
shards and weight files store the name with the other settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor

from slowfast_cli.features.logmel import LogMel
from slowfast_cli.settings import FrontEnd
from slowfast_cli.types import UsageError


class FrontEndModule(Protocol):
    """Interface of a front end. Shapes: B clips, N samples, T frames, F bands."""

    exact: bool
    """False allows spectra in float32 where that changes no value by more than 1e-3; may be ignored."""

    def __call__(self, samples_BN: Tensor) -> Tensor:
        """Transform whole clips: (B, N) -> (B, 1, settings.frames(N), settings.mels)."""

    def stream(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Transform one recording block by block, (N,) to (T, F); the rows equal those of the whole recording."""

    def to(self, device: torch.device) -> FrontEndModule:
        """Move buffers to a device."""


FRONT_ENDS: Mapping[str, Callable[[FrontEnd], FrontEndModule]] = {"logmel": LogMel}


def make_front_end(settings: FrontEnd) -> FrontEndModule:
    """Build the front end that the settings name; raise `UsageError` if no front end has that name."""
    if settings.kind not in FRONT_ENDS:
        raise UsageError(f"frontend.kind: {settings.kind!r}: no such front end; choose one of {', '.join(FRONT_ENDS)}")
    return FRONT_ENDS[settings.kind](settings)
