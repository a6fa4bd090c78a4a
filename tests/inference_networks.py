"""Small networks of every kind, and inputs for them."""

import torch
from torch import nn

from slowfast_cli.models.baselines.zoo import BASELINES
from slowfast_cli.models.folding import prepare_for_inference
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.nn.nonlocal_block import NonLocal

SHAPES = {"frames": (2, 3, 32, 32, 32), "samples": (2, 8000)}
CPU = torch.device("cpu")


def small(name):
    """A folded network of width 8, with norms that change something, and two clips."""
    torch.manual_seed(0)
    net = BASELINES.get(name) or with_width(VARIANTS[name], 32 if "nf" in name else 8)
    model = Recognizer(net, {"label": 5}).eval()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.3, 0.8)
        if hasattr(module, "skip_gain"):
            nn.init.ones_(module.skip_gain)
        if isinstance(module, NonLocal):  # dot products of fresh features would overflow
            nn.init.normal_(module.theta.weight, std=0.01)
    shapes = SHAPES | {"logmel": (2, 1, getattr(net, "frames", 0) or 128, getattr(net, "bands", 0) or 80)}
    signals = {key: torch.randn(shapes[key]) for key in sorted(net.signals)}
    if len(net.signals) == 2:
        signals["has_audio"] = torch.tensor([1.0, 0.0])
    return prepare_for_inference(model, CPU), signals
