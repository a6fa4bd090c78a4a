"""Grad-CAM: the parts of a log-mel or of frames that raise the logit of a class (Selvaraju et al., ICCV 2017)."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as f

from slowfast_cli.models.baseline import BaselineTrunk
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import Stage
from slowfast_cli.types import Signals

MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}  # of interpolation, by number of axes


def grad_cam(model: Recognizer, signals: Signals, labels: str, index: int, stage: Stage = "res5") -> dict[str, Tensor]:
    """Compute class activation maps of one clip.

    The channels of each pathway's map are weighted by the gradient of the logit, summed over positions, so that the
    mean of the weighted sum is the pathway's first-order share of the logit; negative parts are cut. Pathways that read
    the same signal are added.

    Args:
        model: In eval mode; its parameters need no gradients.
        signals: One clip, B = 1.
        labels: Label set.
        index: Class.
        stage: Of a SlowFast network; other networks have their last map only.

    Returns:
        By signal, at its resolution, not below 0: ``logmel`` (T, F), ``samples`` (N,), ``frames`` (T, H, W).
    """
    with torch.enable_grad():
        inputs = {
            name: value.detach().clone().requires_grad_() if name != "has_audio" else value
            for name, value in signals.items()
        }
        trunk = model.trunk
        if isinstance(trunk, BaselineTrunk):
            last, _ = trunk.run(inputs)
            maps, reads = dict(last), dict.fromkeys(last, str(trunk.net.reads))
        else:
            keep = {name: f"{name}_{stage}" for name in trunk.net.pathways}
            last, kept = trunk.run(inputs, keep.values())
            maps = {name: kept[key] for name, key in keep.items()}
            reads = {name: str(path.reads) for name, path in trunk.net.pathways.items()}
        logits = model.heads(last)[labels]
        logit = logits.reshape(-1, logits.shape[-1])[:, index].mean()  # of all positions
        gradients = torch.autograd.grad(logit, list(maps.values()), allow_unused=True)
    by_signal: dict[str, Tensor] = {}
    for (name, map_1CTx), gradient in zip(maps.items(), gradients, strict=True):
        if gradient is None:  # the sound of a clip without one
            continue
        signal = signals[reads[name]]
        cam = _weighted(map_1CTx.detach(), gradient, signal.shape[1 if signal.ndim == 2 else 2 :])
        by_signal[reads[name]] = by_signal.get(reads[name], torch.zeros_like(cam)) + cam
    return by_signal


def _weighted(map_1CTx: Tensor, gradient_1CTx: Tensor, size: torch.Size) -> Tensor:
    """Weight the channels by their gradients, cut what is negative, and resize to the signal."""
    weights_C = gradient_1CTx.flatten(2).sum(2)[0]
    cam = torch.einsum("c,c...->...", weights_C, map_1CTx[0]).clamp(min=0)
    if cam.ndim > len(size):
        cam = cam.flatten(len(size) - 1).mean(-1)
    while cam.ndim < len(size):
        cam = cam.unsqueeze(-1)
    return f.interpolate(cam[None, None], tuple(size), mode=MODES[len(size)])[0, 0]


def normalized(cams: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Scale the maps of all signals together to a maximum of 1; maps of zeros stay."""
    highest = max((float(cam.max()) for cam in cams.values()), default=0.0)
    return {name: cam / highest if highest > 0 else cam for name, cam in cams.items()}
