"""Builders of a pathway's stages from its spec."""

from collections import OrderedDict
from math import inf

import torch
from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.models.spec import STAGES, Pathway, Stage
from slowfast_cli.nn.blocks import Bottleneck, SplitStem, stem
from slowfast_cli.nn.nf import ACTIVATION, NFBlock, WSConv, betas, nf_stem, same_padding, stochastic_depth_rates
from slowfast_cli.nn.nonlocal_block import NonLocal
from slowfast_cli.nn.split_block import SPLIT


def build_stage(path: Pathway, name: Stage, inputs: int) -> nn.Module:
    """Build a stage; blocks are named by number, a non-local block after one of them ``attend<number>``."""
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
    if path.block != "residual":  # pre-activation blocks: no norm or activation in the stem
        convolution = WSConv(inputs, path.width, (path.time[0], 7), (2, 2))
        return nn.Sequential(OrderedDict(conv=convolution, pool=layers[-1]))
    return layers


def _block(path: Pathway, name: Stage, block: int, inputs: int) -> nn.Module:
    number, rest = STAGES.index(name), path.axes - 1
    outputs = path.channels(name)
    stride: tuple[int, ...] = (1,) * path.axes
    if block == 0:
        stride = (2 if name in path.halve_time else 1, *(2 if name in path.halve_space else 1,) * rest)
    temporal = path.time_blocks is None or block < path.time_blocks[number - 1]
    time = path.time[number] if temporal else 1
    if name in path.split:
        return SPLIT[path.split_as](inputs, outputs // 4, outputs, time, stride)
    if path.block != "residual":
        return _nf_block(path, number - 1, block, inputs, stride)  # type: ignore[arg-type]
    one, three = (1,) * rest, (3,) * rest
    kernels = ((time, *one), (1, *three)) if path.time_in == "first" else ((1, *one), (time, *three))
    dilation = (1, *(2,) * rest) if name in path.dilated else None
    return Bottleneck(inputs, outputs // 4, outputs, kernels, stride, dilation, path.norm)


def _nf_block(path: Pathway, number: int, block: int, inputs: int, stride: tuple[int, int]) -> NFBlock:
    """Build a block of stage res2 + ``number``: separate time and frequency kernels, or square ones for ``middle``."""
    outputs, time = path.channels(STAGES[number + 1]), path.time[number + 1]
    kernels = [(time, 1), (1, 3)] if path.time_in == "first" else [(time, 3), (time, 3)]
    return NFBlock(
        inputs, outputs, [(1, 1), *kernels] if path.block == "nfnet" else kernels, stride, kind=path.block,
        group=path.group, beta=betas(path.depth[number], path.depth[number - 1] if number else 0)[block],
        drop=stochastic_depth_rates(path.depth, path.drop)[number][block],
    )  # fmt: skip


def max_pool_time(x_BCTx: Tensor, stride: int) -> Tensor:
    """Max-pool the time axis, as the released SlowFast NFNets do with the Slow input; windows at the ends are shorter.

    Shape: (B, C, T, ...) -> (B, C, ceil(T / stride), ...)
    """
    x_BCxT = x_BCTx.movedim(2, -1)
    padded_BCxT = f.pad(x_BCxT, same_padding(x_BCxT.shape[-1], stride, stride), value=-inf)
    max_BCxT: Tensor = padded_BCxT.unflatten(-1, (-1, stride)).amax(-1)
    return max_BCxT.movedim(-1, 2)


def subsample_time(x_BCTx: Tensor, stride: int) -> Tensor:
    """Keep one time step in ``stride``, spread evenly from the first to the last.

    The reference uses ``linspace(0, T - 1, T // stride)`` rounded down, for audio and video alike. Integer arithmetic
    avoids device-dependent rounding.

    Shape: (B, C, T, ...) -> (B, C, T // stride, ...)
    """
    if stride == 1:
        return x_BCTx
    steps = x_BCTx.shape[2]
    count = max(1, steps // stride)
    index = torch.arange(count, device=x_BCTx.device) * (steps - 1) // max(1, count - 1)
    return x_BCTx[:, :, index]


SUBSAMPLE = {"one": subsample_time, "largest": max_pool_time}
