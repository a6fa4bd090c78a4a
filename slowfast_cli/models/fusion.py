"""Lateral connections between pathways: each brings features of one to the steps of another.

Shapes: B batch, C and D channels of source and destination, T steps, x the other axes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from slowfast_cli.models.spec import Net, Stage
from slowfast_cli.nn.blocks import conv, norm
from slowfast_cli.nn.nf import ACTIVATION, WSConv
from slowfast_cli.nn.nonlocal_block import AudioQuery


def lateral(net: Net, key: str, at: Stage) -> nn.Module:
    """The module of one lateral after one stage: ``module(src, dst)`` gives what it brings, for `join`."""
    spec = net.laterals[key]
    source, step = net.pathways[spec.src], net.step(spec, at)
    channels, brought = source.channels(at), net.brought(key, at)
    if spec.kind == "time-to-channel":
        return TimeToChannel(step)
    if spec.kind == "time-sample":
        return TimeSample(step)
    if spec.kind == "pooled-convs":
        return PooledConvs(channels, spec.inner, brought, spec.kernel, step)
    if spec.kind == "attention":
        return AudioQuery(channels, net.width(spec.dst, at, before=key), spec.inner, step)
    if source.block != "residual":
        return NFTimeConv(channels, brought, spec.kernel, step, ACTIVATION[source.block](gain=False))
    return TimeConv(channels, brought, spec.kernel, step, source.axes, source.norm)


def join(dst_BDTx: Tensor, brought_BCTx: Tensor, how: str) -> Tensor:
    """Concatenate to the channels, or add at every position."""
    if how == "concat":
        return torch.cat([dst_BDTx, brought_BCTx], dim=1)
    spread = brought_BCTx.reshape(*brought_BCTx.shape, *(1,) * (dst_BDTx.ndim - brought_BCTx.ndim))
    return dst_BDTx + spread


def fitted(x_BCTx: Tensor, steps: int) -> Tensor:
    """Cut, or repeat the last step: a clip whose length is no multiple of the step is off by a step or so."""
    if x_BCTx.shape[2] == steps:
        return x_BCTx
    return x_BCTx[:, :, torch.arange(steps, device=x_BCTx.device).clamp(max=x_BCTx.shape[2] - 1)]


class TimeConv(nn.Module):
    """A time-strided convolution of the source (SF Sec. 3.4, ASF Sec. 3).

    Args:
        channels: Of the source.
        brought: Channels that come out.
        kernel: Steps of the source under it.
        step: Steps of the source for one of the destination.
        axes: Of the source's signal.
        norms: Kind of norm, as of `slowfast_cli.nn.blocks.norm`.
    """

    def __init__(self, channels: int, brought: int, kernel: int, step: int, axes: int, norms: str = "batch") -> None:
        super().__init__()
        rest = (1,) * (axes - 1)
        self.conv = conv(channels, brought, (kernel, *rest), (step, *rest), bias=norms == "none")
        self.norm = norm(brought, axes, norms)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, src_BCTx: Tensor, dst_BDTx: Tensor) -> Tensor:
        """Shape: (B, C, step * T, ...), (B, D, T, ...) -> (B, brought, T, ...)."""
        brought_BCTx: Tensor = self.relu(self.norm(self.conv(src_BCTx)))
        return fitted(brought_BCTx, dst_BDTx.shape[2])


class NFTimeConv(nn.Module):
    """The same without norm, and with standardised kernels (HARES App. B).

    Args:
        channels: Of the source.
        brought: Channels that come out.
        kernel: Steps of the source under it.
        step: Steps of the source for one of the destination.
        activation: Of what comes out, which has no gain here.
    """

    def __init__(self, channels: int, brought: int, kernel: int, step: int, activation: nn.Module) -> None:
        super().__init__()
        self.conv = WSConv(channels, brought, (kernel, 1), (step, 1))
        self.activation = activation

    def forward(self, src_BCTF: Tensor, dst_BDTF: Tensor) -> Tensor:
        """Shape: (B, C, step * T, F), (B, D, T, F) -> (B, brought, T, F)."""
        brought_BCTF: Tensor = self.activation(self.conv(src_BCTF))
        return fitted(brought_BCTF, dst_BDTF.shape[2])


class TimeToChannel(nn.Module):
    """All steps of the source under one of the destination become its channels (SF Sec. 3.4 (i))."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def forward(self, src_BCTx: Tensor, dst_BDTx: Tensor) -> Tensor:
        """Shape: (B, C, step * T, ...), (B, D, T, ...) -> (B, step * C, T, ...)."""
        whole = fitted(src_BCTx, self.step * dst_BDTx.shape[2])
        B, C, _, *rest = whole.shape
        parted = whole.reshape(B, C, dst_BDTx.shape[2], self.step, *rest)
        return parted.movedim(3, 1).flatten(1, 2)


class TimeSample(nn.Module):
    """One step of the source in ``step`` (SF Sec. 3.4 (ii))."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def forward(self, src_BCTx: Tensor, dst_BDTx: Tensor) -> Tensor:
        """Shape: (B, C, step * T, ...), (B, D, T, ...) -> (B, C, T, ...)."""
        return fitted(src_BCTx[:, :, :: self.step], dst_BDTx.shape[2])


class PooledConvs(nn.Module):
    """The mean over frequency, a convolution over time, and a strided one to the destination's channels (AV Sec. 3.4).

    Args:
        channels: Of the source.
        inner: Between the two convolutions.
        brought: Channels that come out.
        kernel: Of both.
        step: Steps of the source for one of the destination.
    """

    def __init__(self, channels: int, inner: int, brought: int, kernel: int, step: int) -> None:
        super().__init__()
        self.first, self.first_norm = conv(channels, inner, (kernel, 1)), norm(inner, 2)
        self.second, self.second_norm = conv(inner, brought, (kernel, 1), (step, 1)), norm(brought, 2)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, src_BCTF: Tensor, dst_BDTx: Tensor) -> Tensor:
        """Shape: (B, C, step * T, F), (B, D, T, ...) -> (B, brought, T)."""
        x_BCT1 = self.relu(self.first_norm(self.first(src_BCTF.mean(3, keepdim=True))))
        x_BCT1 = self.relu(self.second_norm(self.second(x_BCT1)))
        brought_BCT: Tensor = x_BCT1.squeeze(3)
        return fitted(brought_BCT, dst_BDTx.shape[2])
