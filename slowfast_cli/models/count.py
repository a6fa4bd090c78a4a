"""Parameters and operations of a model, counted as the papers count them."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.types import Signals


def parameters(model: nn.Module) -> int:
    """Numbers that training would set, frozen or not."""
    return sum(parameter.numel() for parameter in model.parameters())


def gflops(model: Recognizer, signals: Signals) -> float:
    """Multiply-adds of one view in 10^9, each counted once, in convolutions and linear layers, heads included.

    All that is built counts, also what is only compared for AV-sync: so AV's numbers were counted. Of a network that
    classifies boxes the trunk counts, and the classifier once.

    Args:
        model: Left as it was.
        signals: Of one clip (B = 1).
    """
    training = model.training
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        last, _ = model.trunk.run(signals, model.sync.reads if model.sync else ())
        if model.trunk.net.regions == "none":
            model.heads(last)
    model.train(training)
    linears = [each for each in model.heads.modules() if isinstance(each, nn.Linear)]
    of_a_box = sum(each.weight.numel() for each in linears) if model.trunk.net.regions != "none" else 0
    return float(counter.get_total_flops() / 2 + of_a_box) / 1e9
