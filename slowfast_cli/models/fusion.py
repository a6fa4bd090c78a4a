"""Lateral connections: each converts features of one pathway to the time steps of another.

Shapes: B batch, C and D channels of source and destination, T steps, x the other axes.
"""

import torch
from torch import Tensor, nn

from slowfast_cli.models.spec import Net, Stage
from slowfast_cli.nn.blocks import conv, norm
from slowfast_cli.nn.nf import ACTIVATION, WSConv
from slowfast_cli.nn.nonlocal_block import AudioQuery


def build_lateral(net: Net, key: str, at: Stage) -> nn.Module:
    """Build the module of a lateral after a stage; ``module(src, dst)`` returns the features for `fuse`."""
    spec = net.laterals[key]
    source, step = net.pathways[spec.src], net.time_ratio(spec, at)
    inputs, outputs = source.channels(at), net.lateral_channels(key, at)
    if spec.kind == "time-to-channel":
        return TimeToChannel(step)
    if spec.kind == "time-sample":
        return TimeSample(step)
    if spec.kind == "pooled-convs":
        return PooledConvs(inputs, spec.inner, outputs, spec.kernel, step)
    if spec.kind == "attention":
        return AudioQuery(inputs, net.width(spec.dst, at, before=key), spec.inner, step)
    if source.block != "residual":
        return NFTimeConv(inputs, outputs, spec.kernel, step, ACTIVATION[source.block](gain=False))
    return TimeConv(inputs, outputs, spec.kernel, step, source.axes, source.norm)


def fuse(dst_BDTx: Tensor, lateral_BCTx: Tensor, how: str) -> Tensor:
    """Concatenate a lateral's output to the channels, or add it at every position."""
    if how == "concat":
        return torch.cat([dst_BDTx, lateral_BCTx], dim=1)
    return dst_BDTx + lateral_BCTx.reshape(*lateral_BCTx.shape, *(1,) * (dst_BDTx.ndim - lateral_BCTx.ndim))


def match_length(x_BCTx: Tensor, steps: int) -> Tensor:
    """Truncate to ``steps`` or repeat the last step; lengths differ if the clip is no multiple of the time ratio."""
    if x_BCTx.shape[2] == steps:
        return x_BCTx
    return x_BCTx[:, :, torch.arange(steps, device=x_BCTx.device).clamp(max=x_BCTx.shape[2] - 1)]


class TimeConv(nn.Module):
    """Time-strided convolution (SF Sec. 3.4, ASF Sec. 3); ``step`` source steps per destination step."""

    def __init__(self, inputs: int, outputs: int, kernel: int, step: int, axes: int, norms: str = "batch") -> None:
        super().__init__()
        rest = (1,) * (axes - 1)
        self.conv = conv(inputs, outputs, (kernel, *rest), (step, *rest), bias=norms == "none")
        self.norm = norm(outputs, axes, norms)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, src_BCTx: Tensor, dst_BDTx: Tensor) -> Tensor:
        """Shape: (B, C, step * T, ...), (B, D, T, ...) -> (B, outputs, T, ...)."""
        return match_length(self.relu(self.norm(self.conv(src_BCTx))), dst_BDTx.shape[2])


class NFTimeConv(nn.Module):
    """Time-strided convolution with weight standardization, without norm (HARES App. B); see `TimeConv`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, step: int, activation: nn.Module) -> None:
        super().__init__()
        self.conv = WSConv(inputs, outputs, (kernel, 1), (step, 1))
        self.activation = activation

    def forward(self, src_BCTF: Tensor, dst_BDTF: Tensor) -> Tensor:
        """Shape: (B, C, step * T, F), (B, D, T, F) -> (B, outputs, T, F)."""
        return match_length(self.activation(self.conv(src_BCTF)), dst_BDTF.shape[2])


class TimeToChannel(nn.Module):
    """Pack the ``step`` source steps of a destination step into channels (SF Sec. 3.4 (i))."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def forward(self, src_BCTx: Tensor, dst_BDTx: Tensor) -> Tensor:
        """Shape: (B, C, step * T, ...), (B, D, T, ...) -> (B, step * C, T, ...)."""
        src_BCTx = match_length(src_BCTx, self.step * dst_BDTx.shape[2])
        B, C, _, *rest = src_BCTx.shape
        return src_BCTx.reshape(B, C, dst_BDTx.shape[2], self.step, *rest).movedim(3, 1).flatten(1, 2)


class TimeSample(nn.Module):
    """Keep one source step in ``step`` (SF Sec. 3.4 (ii))."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def forward(self, src_BCTx: Tensor, dst_BDTx: Tensor) -> Tensor:
        """Shape: (B, C, step * T, ...), (B, D, T, ...) -> (B, C, T, ...)."""
        return match_length(src_BCTx[:, :, :: self.step], dst_BDTx.shape[2])


class PooledConvs(nn.Module):
    """Mean over frequency, then two convolutions over time, the second with a stride of ``step`` (AV Sec. 3.4)."""

    def __init__(self, inputs: int, inner: int, outputs: int, kernel: int, step: int) -> None:
        super().__init__()
        self.first, self.first_norm = conv(inputs, inner, (kernel, 1)), norm(inner, 2)
        self.second, self.second_norm = conv(inner, outputs, (kernel, 1), (step, 1)), norm(outputs, 2)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, src_BCTF: Tensor, dst_BDTx: Tensor) -> Tensor:
        """Shape: (B, C, step * T, F), (B, D, T, ...) -> (B, outputs, T)."""
        x_BCT1 = self.relu(self.first_norm(self.first(src_BCTF.mean(3, keepdim=True))))
        x_BCT1 = self.relu(self.second_norm(self.second(x_BCT1)))
        return match_length(x_BCT1.squeeze(3), dst_BDTx.shape[2])
