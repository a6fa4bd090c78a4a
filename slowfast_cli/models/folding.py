"""Networks as they are used rather than trained: norms folded into convolutions, kernels standardised once.

A batch norm that keeps its statistics is a gain and an offset a channel, which the convolution before it can have.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from slowfast_cli.models.fusion import PooledConvs, TimeConv
from slowfast_cli.nn.blocks import Bottleneck, SplitStem
from slowfast_cli.nn.nf import WSConv
from slowfast_cli.nn.nonlocal_block import AudioQuery, NonLocal
from slowfast_cli.nn.split_block import SplitConcat, SplitSum

M = TypeVar("M", bound=nn.Module)
Convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

# The norms of a module, and the convolutions whose sum each of them reads.
NORMS: Mapping[type[nn.Module], Mapping[str, tuple[str, ...]]] = {
    Bottleneck: {"a_norm": ("a",), "b_norm": ("b",), "c_norm": ("c",)},
    SplitStem: {"norm": ("t", "f")},
    SplitConcat: {"t_norm": ("t",), "f_norm": ("f",), "c_norm": ("c",)},
    SplitSum: {"a_norm": ("a",), "t_norm": ("t",), "f_norm": ("f",), "c_norm": ("c",)},
    TimeConv: {"norm": ("conv",)},
    PooledConvs: {"first_norm": ("first",), "second_norm": ("second",)},
    NonLocal: {"norm": ("out",)},
    AudioQuery: {"norm": ("out",)},
}


def folded(module: M) -> M:
    """The network for inference: batch norms in eval mode are in the convolutions before them.

    Kernels of a `slowfast_cli.nn.nf.WSConv` are standardised once. Modules keep their names, so that intermediates
    have theirs; a norm that is folded is an identity. Modules that are not ours, and norms of the batch or of each
    clip, are left as they are.

    Args:
        module: Stays as it is; what does not change is shared with it.

    Returns:
        A module that gives what the given one gives in eval mode, but for rounding; it cannot be trained.
    """
    children = {name: folded(child) for name, child in _children(module).items()}
    for norm, convolutions in _norms(module).items():
        _fold(children, norm, convolutions)
    if isinstance(module, WSConv):
        return module.fixed()  # type: ignore[return-value]
    return _with(module, children)


def ready(module: M, device: torch.device, dtype: torch.dtype = torch.float32) -> M:
    """A network for inference on a device: on a CPU `folded`, elsewhere as it is.

    In bfloat16, where the processor has it, ASF SlowFast R50 takes half the time; answers differ in the third digit.

    Kernels keep their layout: with channels last oneDNN is 5 to 20 % faster at those over two axes, and now and then
    writes beyond its memory, in forward passes too (torch 2.13, a 5 x 1 kernel from 16 to 64 channels).
    """
    module = module.to(device)
    module = folded(module.eval()) if device.type == "cpu" else module
    if dtype == torch.float32:
        return module
    lower = copy.copy(module)
    lower.forward = torch.autocast(device.type, dtype)(lower.forward)
    return lower


def _children(module: nn.Module) -> dict[str, nn.Module]:
    """All of them; `torch.nn.Module.named_children` leaves out a second mention of the same one."""
    return {name: child for name, child in module._modules.items() if child is not None}


def _norms(module: nn.Module) -> Mapping[str, tuple[str, ...]]:
    if type(module) is nn.Sequential:
        return {after: (before,) for before, after in pairwise(module._modules)}
    return NORMS.get(type(module), {})


def _fold(children: dict[str, nn.Module], name: str, before: tuple[str, ...]) -> None:
    """Put a norm into the convolutions whose sum it reads: its gain into each, its offset into the first."""
    norm = children[name]
    if not isinstance(norm, BatchNorm) or norm.running_mean is None or norm.running_var is None or norm.training:
        return
    convolutions = [each for each in map(children.get, before) if isinstance(each, Convolution)]
    if len(convolutions) < len(before):
        return
    # In float64, so that folding costs one rounding of each number.
    gain = (norm.running_var.double() + norm.eps).rsqrt()
    gain = gain if norm.weight is None else gain * norm.weight.detach().double()
    offset = -norm.running_mean.double() * gain
    offset = offset if norm.bias is None else offset + norm.bias.detach().double()
    for each, convolution in zip(before, convolutions, strict=True):
        children[each] = _scaled(convolution, gain, offset if each == before[0] else None)
    children[name] = nn.Identity()


def _scaled(convolution: nn.Conv1d | nn.Conv2d | nn.Conv3d, gain: Tensor, offset: Tensor | None) -> nn.Module:
    weight, bias = convolution.weight.detach(), convolution.bias
    scaled = weight.double() * gain.reshape(-1, *(1,) * (weight.ndim - 1))
    added = None if bias is None else bias.detach().double() * gain
    if offset is not None:
        added = offset if added is None else added + offset
    return _weighted(convolution, scaled.to(weight), None if added is None else added.to(weight))


def _weighted(module: M, weight: Tensor, bias: Tensor | None) -> M:
    """A copy with another kernel."""
    other = copy.copy(module)
    other._parameters = {
        "weight": nn.Parameter(weight, requires_grad=False),
        "bias": None if bias is None else nn.Parameter(bias.detach(), requires_grad=False),
    }
    return other


def _with(module: M, children: Mapping[str, nn.Module]) -> M:
    """The module with other children, or itself where they are the same."""
    if all(module._modules[name] is child for name, child in children.items()):
        return module
    other = copy.copy(module)
    other._modules = {**module._modules, **children}
    return other
