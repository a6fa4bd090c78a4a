"""Inference-only networks: batch norms folded into convolutions, kernels standardized once."""

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

# The norms of a module, and the convolutions whose sum each of them normalizes.
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


def fold_batch_norms(module: M) -> M:
    """Fold batch norms in eval mode into the preceding convolutions, and standardize `WSConv` kernels once.

    Modules keep their names, so the names of intermediates stay valid; a folded norm becomes an identity. Unknown
    module types, and norms that use batch statistics, are left unchanged. The module is not modified, and shares
    unchanged parts with the result, whose eval-mode output is equal up to rounding and which cannot be trained.
    """
    children = {name: fold_batch_norms(child) for name, child in _children(module).items()}
    for norm, convolutions in _norms(module).items():
        _fold(children, norm, convolutions)
    if isinstance(module, WSConv):
        return module.to_same_conv()  # type: ignore[return-value]
    return _with_children(module, children)


def prepare_for_inference(module: M, device: torch.device, dtype: torch.dtype = torch.float32) -> M:
    """Move a network to a device; on a CPU, switch to eval mode and fold batch norms; autocast to ``dtype``.

    In bfloat16, on processors that support it, ASF SlowFast R50 takes half the time; probabilities differ in the third
    digit.

    Memory format stays contiguous: channels_last speeds up oneDNN convolutions over two axes by 5 to 20 %, but it
    occasionally writes out of bounds, in forward passes too (torch 2.13, a 5 x 1 kernel from 16 to 64 channels).
    """
    module = module.to(device)
    module = fold_batch_norms(module.eval()) if device.type == "cpu" else module
    if dtype == torch.float32:
        return module
    lower = copy.copy(module)
    lower.forward = torch.autocast(device.type, dtype)(lower.forward)
    return lower


def _children(module: nn.Module) -> dict[str, nn.Module]:
    """Return all children; `torch.nn.Module.named_children` skips repeated ones."""
    return {name: child for name, child in module._modules.items() if child is not None}


def _norms(module: nn.Module) -> Mapping[str, tuple[str, ...]]:
    if type(module) is nn.Sequential:
        return {after: (before,) for before, after in pairwise(module._modules)}
    return NORMS.get(type(module), {})


def _fold(children: dict[str, nn.Module], name: str, before: tuple[str, ...]) -> None:
    """Fold a norm into the convolutions whose sum it normalizes: its gain into each, its offset into the first."""
    norm = children[name]
    if not isinstance(norm, BatchNorm) or norm.running_mean is None or norm.running_var is None or norm.training:
        return
    convolutions = [child for child in map(children.get, before) if isinstance(child, Convolution)]
    if len(convolutions) < len(before):
        return
    # Float64, so that folding rounds each number only once.
    gain = (norm.running_var.double() + norm.eps).rsqrt()
    gain = gain if norm.weight is None else gain * norm.weight.detach().double()
    offset = -norm.running_mean.double() * gain
    offset = offset if norm.bias is None else offset + norm.bias.detach().double()
    for key, convolution in zip(before, convolutions, strict=True):
        children[key] = _scaled(convolution, gain, offset if key == before[0] else None)
    children[name] = nn.Identity()


def _scaled(convolution: nn.Conv1d | nn.Conv2d | nn.Conv3d, gain: Tensor, offset: Tensor | None) -> nn.Module:
    """Copy a convolution with its output scaled and shifted per channel."""
    weight = convolution.weight.detach()
    bias = None if convolution.bias is None else convolution.bias.detach().double() * gain
    if offset is not None:
        bias = offset if bias is None else bias + offset
    weight_scaled = (weight.double() * gain.reshape(-1, *(1,) * (weight.ndim - 1))).to(weight)
    result = copy.copy(convolution)
    result._parameters = {
        "weight": nn.Parameter(weight_scaled, requires_grad=False),
        "bias": None if bias is None else nn.Parameter(bias.to(weight), requires_grad=False),
    }
    return result


def _with_children(module: M, children: Mapping[str, nn.Module]) -> M:
    """Copy a module with other children; return the module itself if they are unchanged."""
    if all(module._modules[name] is child for name, child in children.items()):
        return module
    result = copy.copy(module)
    result._modules = {**module._modules, **children}
    return result
