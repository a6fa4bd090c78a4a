"""Parameters and operations of a model, counted as the papers count them."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from slowfast_cli.types import Signals


def parameters(model: nn.Module) -> int:
    """Numbers that training would set, frozen or not."""
    return sum(parameter.numel() for parameter in model.parameters())


def gflops(model: nn.Module, signals: Signals) -> float:
    """Multiply-adds of one view in 10^9, each counted once, in convolutions and linear layers, heads included.

    Args:
        model: Left as it was.
        signals: Of one clip (B = 1).
    """
    training = model.training
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(signals)
    model.train(training)
    return float(counter.get_total_flops()) / 2 / 1e9
