"""Optimisers by name."""

from __future__ import annotations

from torch import nn, optim


def optimizer(
    model: nn.Module, name: str, *, lr: float, momentum: float, nesterov: bool, weight_decay: float
) -> optim.Optimizer:
    """An optimiser over what learns in a model; decay is on every parameter (ASF Sec. 4.2).

    Args:
        model: Parameters that need no gradient are left out.
        name: sgd, adam or adamw.
        lr: Top of the schedule.
        momentum: Of sgd, or the first beta of the others.
        nesterov: Of sgd.
        weight_decay: L2 penalty for sgd and adam, decoupled for adamw.
    """
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    fused = all(parameter.is_cuda for parameter in learning)
    if name == "sgd":
        return optim.SGD(learning, lr, momentum, weight_decay=weight_decay, nesterov=nesterov, fused=fused)
    kind = optim.AdamW if name == "adamw" else optim.Adam
    return kind(learning, lr, (momentum, 0.999), weight_decay=weight_decay, fused=fused)
