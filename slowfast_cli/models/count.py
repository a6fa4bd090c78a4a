"""Parameter and multiply-add counts, as the papers report them."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.types import Signals


def parameters(model: nn.Module) -> int:
    """Count all parameters, frozen ones included."""
    return sum(parameter.numel() for parameter in model.parameters())


def gflops(model: Recognizer, signals: Signals) -> float:
    """Count the multiply-adds of one view (B = 1) in 10^9: convolutions and linear layers, heads included.

    Taps that only serve AV-sync count too, as in AV's published numbers. For detectors, the trunk and the classifier
    of a single box count. The training mode of the model is restored afterwards.
    """
    training = model.training
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        last, _ = model.trunk.run(signals, model.sync.map_names if model.sync else ())
        if model.trunk.net.regions == "none":
            model.heads(last)
    model.train(training)
    linears = [module for module in model.heads.modules() if isinstance(module, nn.Linear)]
    per_box = sum(linear.weight.numel() for linear in linears) if model.trunk.net.regions != "none" else 0
    return float(counter.get_total_flops() / 2 + per_box) / 1e9
