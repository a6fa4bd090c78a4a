"""Optimizers by name."""

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
    """Build an optimizer over the trainable parameters of a model.

    Args:
        model: The model.
        name: sgd, adam or adamw.
        lr: Highest learning rate.
        momentum: Momentum of sgd, first beta of the others.
        nesterov: Nesterov momentum of sgd.
        weight_decay: L2 penalty for sgd and adam, decoupled for adamw.
        decay_norms: Apply weight decay to the parameters of norms too.
    """
    learning: list[Any] = [parameter for parameter in model.parameters() if parameter.requires_grad]
    fused = all(parameter.is_cuda for parameter in learning)
    if not decay_norms:
        undecayed = {id(parameter) for _, norm in batch_norms(model) for parameter in norm.parameters()}
        decaying = [parameter for parameter in learning if id(parameter) not in undecayed]
        others = [parameter for parameter in learning if id(parameter) in undecayed]
        learning = [{"params": decaying}, {"params": others, "weight_decay": 0.0}]
    if name == "sgd":
        return optim.SGD(learning, lr, momentum, weight_decay=weight_decay, nesterov=nesterov, fused=fused)
    kind = optim.AdamW if name == "adamw" else optim.Adam
    # Capturable: the step counter is on the device, where a CUDA graph increments it.
    return kind(learning, lr, (momentum, 0.999), weight_decay=weight_decay, fused=fused, capturable=fused)
