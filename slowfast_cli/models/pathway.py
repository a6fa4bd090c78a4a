"""The stages of one pathway, built from its spec."""

from __future__ import annotations

from collections import OrderedDict
from math import inf

import torch
from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.models.spec import STAGES, Pathway, Stage
from slowfast_cli.nn.blocks import Bottleneck, SplitStem, stem
from slowfast_cli.nn.nf import ACTIVATION, NFBlock, WSConv, betas, drops, nf_stem, same
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
        return _stem(path, inputs)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for block in range(path.depth[number]):
        layers[str(block)] = _block(path, name, block, inputs if block == 0 else path.channels(name))
        if block in path.attend[number]:
            layers[f"attend{block}"] = NonLocal(path.channels(name), path.attend_pool)
    if name == "res5" and path.block != "residual":
        if path.final:
            layers["final"] = WSConv(path.channels(name), path.final * path.channels(name), (1, 1))
        layers["act"] = ACTIVATION[path.block](gain=path.final_gain)
    return nn.Sequential(layers)


def _stem(path: Pathway, inputs: int) -> nn.Module:
    if path.stem == "split":
        return SplitStem(inputs, path.width, path.time[0])
    if path.stem == "nfnet":
        return nf_stem(inputs, path.width, path.stem_time, ACTIVATION[path.block]())
    layers = stem(inputs, path.width, path.time[0], path.axes, halves_time=path.stem == "square", norms=path.norm)
    if path.block != "residual":  # its blocks activate what they read
        convolution = WSConv(inputs, path.width, (path.time[0], 7), (2, 2))
        return nn.Sequential(OrderedDict(conv=convolution, pool=layers[-1]))
    return layers


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
    if path.block != "residual":
        return _nf_block(path, number - 1, block, inputs, stride)  # type: ignore[arg-type]
    one, three = (1,) * rest, (3,) * rest
    kernels = ((time, *one), (1, *three)) if path.time_in == "first" else ((1, *one), (time, *three))
    dilation = (1, *(2,) * rest) if name in path.dilated else None
    return Bottleneck(inputs, outputs // 4, outputs, kernels, stride, dilation, path.norm)


def _nf_block(path: Pathway, number: int, block: int, inputs: int, stride: tuple[int, int]) -> NFBlock:
    """One block of res2 + ``number``: convolutions over time and over frequency, or square ones where ``middle``."""
    outputs, time = path.channels(STAGES[number + 1]), path.time[number + 1]
    parted = [(time, 1), (1, 3)] if path.time_in == "first" else [(time, 3), (time, 3)]
    return NFBlock(
        inputs,
        outputs,
        [(1, 1), *parted] if path.block == "nfnet" else parted,
        stride,
        kind=path.block,
        group=path.group,
        beta=betas(path.depth[number], path.depth[number - 1] if number else 0)[block],
        drop=drops(path.depth, path.drop)[number][block],
    )


def largest(x_BCTx: Tensor, stride: int) -> Tensor:
    """The maximum of every ``stride`` time steps, as released SlowFast NFNets look at their input; fewer at the ends.

    Shape:
        (B, C, T, ...) -> (B, C, ceil(T / stride), ...)
    """
    x_BCTx = x_BCTx.movedim(2, -1)
    padded_BCxT = f.pad(x_BCTx, same(x_BCTx.shape[-1], stride, stride), value=-inf)
    largest_BCxT: Tensor = padded_BCxT.unflatten(-1, (-1, stride)).amax(-1)
    return largest_BCxT.movedim(-1, 2)


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


PICK = {"one": every, "largest": largest}
