"""The stages of one pathway, built from its spec."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from slowfast_cli.models.spec import STAGES, Pathway, Stage
from slowfast_cli.nn.blocks import Bottleneck, SplitStem, stem
from slowfast_cli.nn.nonlocal_block import NonLocal
from slowfast_cli.nn.split_block import SPLIT


def stage(path: Pathway, name: Stage, inputs: int) -> nn.Module:
    """One stage of a pathway: blocks by their number, Non-Local ones as ``attend<number>`` after them.

    Args:
        path: The pathway.
        name: Which stage of it.
        inputs: Channels that it reads.
    """
    number = STAGES.index(name) - 1
    if name == "stem":
        if path.stem == "split":
            return SplitStem(inputs, path.width, path.time[0])
        return stem(inputs, path.width, path.time[0], path.axes, halves_time=path.stem == "square")
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for block in range(path.depth[number]):
        layers[str(block)] = _block(path, name, block, inputs if block == 0 else path.channels(name))
        if block in path.attend[number]:
            layers[f"attend{block}"] = NonLocal(path.channels(name), path.attend_pool)
    return nn.Sequential(layers)


def _block(path: Pathway, name: Stage, block: int, inputs: int) -> nn.Module:
    number, rest = STAGES.index(name), path.axes - 1
    outputs = path.channels(name)
    stride: tuple[int, ...] = (1,) * path.axes
    if block == 0:
        stride = (2 if name in path.halve_time else 1, *(2 if name in path.halve_space else 1,) * rest)
    timely = path.time_blocks is None or block < path.time_blocks[number - 1]
    time = path.time[number] if timely else 1
    if name in path.split:
        return SPLIT[path.split_as](inputs, outputs // 4, outputs, time, stride)
    one, three = (1,) * rest, (3,) * rest
    kernels = ((time, *one), (1, *three)) if path.time_in == "first" else ((1, *one), (time, *three))
    dilation = (1, *(2,) * rest) if name in path.dilated else None
    return Bottleneck(inputs, outputs // 4, outputs, kernels, stride, dilation)


def every(x_BCTx: Tensor, stride: int) -> Tensor:
    """Keep one time step in ``stride``, spread evenly from the first to the last.

    The reference picks ``linspace(0, T - 1, T // stride)`` rounded down, for audio and video alike; in integers here,
    so that no rounding of a device decides.

    Shape:
        (B, C, T, ...) -> (B, C, T // stride, ...)
    """
    if stride == 1:
        return x_BCTx
    steps = x_BCTx.shape[2]
    kept = max(1, steps // stride)
    picked = torch.arange(kept, device=x_BCTx.device) * (steps - 1) // max(1, kept - 1)
    return x_BCTx[:, :, picked]
