"""Optimisers by name."""

from __future__ import annotations

from typing import Any

from torch import nn, optim

from slowfast_cli.nn.frozen import batch_norms


def make_optimizer(
    model: nn.Module,
    name: str,
    *,
    lr: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    decay_norms: bool = True,
) -> optim.Optimizer:
    """An optimiser over what learns in a model.

    Args:
        model: Parameters that need no gradient are left out.
        name: sgd, adam or adamw.
        lr: Top of the schedule.
        momentum: Of sgd, or the first beta of the others.
        nesterov: Of sgd.
        weight_decay: L2 penalty for sgd and adam, decoupled for adamw.
        decay_norms: Whether it is on the parameters of norms too (as in ASF, not in AV).
    """
    learning: list[Any] = [parameter for parameter in model.parameters() if parameter.requires_grad]
    fused = all(parameter.is_cuda for parameter in learning)
    if not decay_norms:
        spared = {id(parameter) for _, norm in batch_norms(model) for parameter in norm.parameters()}
        decaying = [parameter for parameter in learning if id(parameter) not in spared]
        rest = [parameter for parameter in learning if id(parameter) in spared]
        learning = [{"params": decaying}, {"params": rest, "weight_decay": 0.0}]
    if name == "sgd":
        return optim.SGD(learning, lr, momentum, weight_decay=weight_decay, nesterov=nesterov, fused=fused)
    kind = optim.AdamW if name == "adamw" else optim.Adam
    # Capturable: its count of steps is on the device, where a graph of steps counts on.
    return kind(learning, lr, (momentum, 0.999), weight_decay=weight_decay, fused=fused, capturable=fused)
