"""The stages of one pathway, built from its spec."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from slowfast_cli.models.spec import STAGES, Pathway, Stage
from slowfast_cli.nn.blocks import Bottleneck, stem


def stage(path: Pathway, name: Stage, inputs: int) -> nn.Sequential:
    """One stage of a pathway.

    Args:
        path: The pathway.
        name: Which stage of it.
        inputs: Channels that it reads.
    """
    number = STAGES.index(name)
    time = path.time[number]
    if name == "stem":
        return stem(inputs, path.width, time)
    outputs = path.channels(name)
    stride = (2 if name in path.halve_time else 1, 1 if name == "res2" else 2)
    kernels = ((time, 1), (1, 3)) if path.time_in == "first" else ((1, 1), (time, 3))
    blocks = [Bottleneck(inputs, outputs // 4, outputs, kernels, stride)]
    blocks += [Bottleneck(outputs, outputs // 4, outputs, kernels) for _ in range(path.depth[number - 1] - 1)]
    return nn.Sequential(*blocks)


def every(x_BCTF: Tensor, stride: int) -> Tensor:
    """Keep one time step in ``stride``, spread evenly from the first to the last.

    The reference picks ``linspace(0, T - 1, T // stride)`` rounded down, for audio and video alike; in integers here,
    so that no rounding of a device decides.

    Shape:
        (B, C, T, F) -> (B, C, T // stride, F)
    """
    if stride == 1:
        return x_BCTF
    steps = x_BCTF.shape[2]
    kept = max(1, steps // stride)
    picked = torch.arange(kept, device=x_BCTF.device) * (steps - 1) // max(1, kept - 1)
    return x_BCTF[:, :, picked]
