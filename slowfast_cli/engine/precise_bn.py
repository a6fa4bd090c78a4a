"""Batch-norm statistics averaged over many batches of the finished weights, instead of a running mean of stale ones."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from slowfast_cli.nn.frozen import batch_norms
from slowfast_cli.types import Batch


@torch.no_grad()
def precise_bn(model: nn.Module, batches: Iterable[Batch]) -> None:
    """Replace the running statistics of every batch norm that is not frozen by plain means over ``batches``.

    Args:
        model: Left in training mode; its parameters do not change.
        batches: Training batches, augmented as in training.
    """
    model.train()
    learning = [norm for _, norm in batch_norms(model) if norm.training]
    kept = [norm.momentum for norm in learning]
    for norm in learning:
        norm.reset_running_stats()
        norm.momentum = None  # torch: a cumulative mean
    for batch in batches:
        signals = batch.inputs.signals
        model(signals) if batch.boxes is None else model(signals, batch.boxes)
    for norm, momentum in zip(learning, kept, strict=True):
        norm.momentum = momentum
