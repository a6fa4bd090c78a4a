"""Precise batch norm: statistics of the current weights over many batches, instead of a running mean."""

from collections.abc import Iterable

import torch
from torch import nn

from slowfast_cli.nn.frozen import batch_norms
from slowfast_cli.types import Batch


@torch.no_grad()
def precise_bn(model: nn.Module, batches: Iterable[Batch]) -> None:
    """Replace the running statistics of all batch norms that are not frozen by means over ``batches``.

    The batches are augmented as in training; the model stays in training mode, its parameters do not change.
    """
    model.train()
    norms = [norm for _, norm in batch_norms(model) if norm.training]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative mean
    for batch in batches:
        signals = batch.inputs.signals
        model(signals) if batch.boxes is None else model(signals, batch.boxes)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
