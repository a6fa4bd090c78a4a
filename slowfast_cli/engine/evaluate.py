"""Predictions of whole splits."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import nn

from slowfast_cli.types import Batch, Prediction

Predict = Callable[[nn.Module, Batch], list[Prediction]]


def predictions(
    model: nn.Module, predict: Predict, batches: Iterable[Batch], *, dtype: torch.dtype = torch.float32
) -> Iterator[Prediction]:
    """Yield one prediction per view, in the order of the batches; sets the model to eval mode."""
    device = next(model.parameters()).device
    model.eval()
    for batch in batches:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            yield from predict(model, batch)
