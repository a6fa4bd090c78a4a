"""Normalizer-free convolutions and blocks over time and frequency (Brock et al. 2021a and 2021b, HARES Sec. 2.3).

Shapes: B batch, C channels, T time, F frequency.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.nn import init

Pair = tuple[int, int]
ALPHA = 0.2  # scale of the residual branches


class ScaledGelu(nn.Module):
    """GELU (tanh approximation), scaled to preserve unit variance."""

    gain = 1.7015043497085571

    def __init__(self, *, gain: bool = True) -> None:
        super().__init__()
        self.factor = self.gain if gain else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Shape: any."""
        return f.gelu(x, approximate="tanh") * self.factor


class ScaledRelu(nn.Module):
    """ReLU, scaled to preserve unit variance."""

    gain = 1.7139588594436646

    def __init__(self, *, gain: bool = True) -> None:
        super().__init__()
        self.factor = self.gain if gain else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Shape: any."""
        return f.relu(x) * self.factor


ACTIVATION: Mapping[str, type[ScaledGelu] | type[ScaledRelu]] = {"nfnet": ScaledGelu, "nf-resnet": ScaledRelu}


class WSConv(nn.Module):
    """Convolution with weight standardization: kernels of mean 0 and variance 1 / fan-in, times a learned gain.

    Pads like TensorFlow's "SAME": evenly at stride 1, otherwise with the odd element at the end.
    """

    def __init__(self, inputs: int, outputs: int, kernel: Pair, stride: Pair = (1, 1), groups: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride, self.groups = kernel, stride, groups
        self.weight = nn.Parameter(torch.empty(outputs, inputs // groups, *kernel))
        self.gain = nn.Parameter(torch.ones(outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        init.normal_(self.weight, std=self.weight[0].numel() ** -0.5)

    def standardized_weight(self) -> Tensor:
        """Return the standardized kernels, scaled by the gain."""
        weight = self.weight.float()
        var, mean = torch.var_mean(weight, dim=(1, 2, 3), keepdim=True, correction=0)
        scale = torch.rsqrt((var * weight[0].numel()).clamp(min=1e-4)) * self.gain[:, None, None, None]
        kernels: Tensor = (weight - mean) * scale
        return kernels

    def to_same_conv(self) -> SameConv:
        """Return an equivalent convolution for inference that does not standardize its kernels on each call."""
        return SameConv(self.standardized_weight().detach(), self.bias.detach(), self.stride, self.groups)

    def forward(self, x_BCTF: Tensor) -> Tensor:
        """Shape: (B, inputs, T, F) -> (B, outputs, ceil(T / stride), ceil(F / stride))."""
        return same_conv(x_BCTF, self.standardized_weight(), self.bias, self.stride, self.groups)


class SameConv(nn.Module):
    """Convolution with the padding of `WSConv` and fixed kernels (outputs, inputs / groups, time, frequency)."""

    def __init__(self, weight: Tensor, bias: Tensor, stride: Pair, groups: int) -> None:
        super().__init__()
        self.stride, self.groups = stride, groups
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, x_BCTF: Tensor) -> Tensor:
        """Shape: (B, inputs, T, F) -> (B, outputs, ceil(T / stride), ceil(F / stride))."""
        return same_conv(x_BCTF, self.weight, self.bias, self.stride, self.groups)


def same_conv(x_BCTF: Tensor, weight: Tensor, bias: Tensor, stride: Pair, groups: int) -> Tensor:
    """Convolve with TensorFlow's "SAME" padding.

    Shape: (B, inputs, T, F) -> (B, outputs, ceil(T / stride), ceil(F / stride))
    """
    T, F = (same_padding(x_BCTF.shape[2 + axis], weight.shape[2 + axis], stride[axis]) for axis in (0, 1))
    even = T[0] == T[1] and F[0] == F[1]
    x_BCTF = x_BCTF if even else f.pad(x_BCTF, (*F, *T))
    padding = (T[0], F[0]) if even else (0, 0)
    y_BCTF: Tensor = f.conv2d(x_BCTF, weight, bias, stride, padding, 1, groups)
    return y_BCTF


def same_padding(size: int, kernel: int, stride: int) -> Pair:
    """Return the padding before and after one axis for an output size of ceil(size / stride).

    >>> same_padding(400, 3, 2), same_padding(401, 3, 2), same_padding(400, 3, 1)
    ((0, 1), (1, 1), (1, 1))
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation (Hu et al. 2018) with the scale doubled, as in NFNets, and half the channels inside."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, max(1, channels // 2))
        self.excite = nn.Linear(max(1, channels // 2), channels)

    def forward(self, x_BCTF: Tensor) -> Tensor:
        """Shape: (B, C, T, F) -> (B, C, T, F)."""
        scale_BC = self.excite(f.relu(self.squeeze(x_BCTF.mean(dim=(2, 3))))).sigmoid()
        scaled_BCTF: Tensor = x_BCTF * 2 * scale_BC[:, :, None, None]
        return scaled_BCTF


class NFBlock(nn.Module):
    """Pre-activation residual block without normalization.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        kernels: Kernel sizes of all convolutions but the last, which is 1x1.
        stride: Stride of the first convolution over time, and of the shortcut.
        kind: ``nfnet`` (half as wide inside, starts with a 1x1 convolution, ends with squeeze-excite) or
            ``nf-resnet`` (a quarter as wide, with neither).
        group: Channels per group in the convolutions between the first and the last; None: a single group.
        beta: Scale that brings the input to unit variance.
        drop: Stochastic-depth rate: share of training examples whose residual branch is dropped.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernels: Sequence[Pair],
        stride: Pair,
        *,
        kind: str,
        group: int | None,
        beta: float,
        drop: float,
    ) -> None:
        super().__init__()
        self.beta, self.drop, self.stride = beta, drop, stride
        self.activation = ACTIVATION[kind]()
        inner, strided = (outputs // 2, 1) if kind == "nfnet" else (outputs // 4, 0)
        groups = 1 if group is None else inner // group
        convs = OrderedDict[str, nn.Module]()
        for number, kernel in enumerate(kernels):
            convs[str(number)] = WSConv(
                inner if number else inputs,
                inner,
                kernel,
                stride if number == strided else (1, 1),
                groups if number else 1,
            )
        convs[str(len(kernels))] = WSConv(inner, outputs, (1, 1))
        self.convs = nn.Sequential(convs)
        self.squeeze_excite = SqueezeExcite(outputs) if kind == "nfnet" else None
        self.shortcut = WSConv(inputs, outputs, (1, 1)) if inputs != outputs or max(stride) > 1 else None
        self.skip_gain = nn.Parameter(torch.zeros(()))

    def forward(self, x_BCTF: Tensor) -> Tensor:
        """Shape: (B, inputs, T, F) -> (B, outputs, T / stride, F / stride)."""
        y_BCTF = self.activation(x_BCTF) * self.beta
        short_BCTF = x_BCTF if self.shortcut is None else self.shortcut(self._average_pool(y_BCTF))
        for number, conv in enumerate(self.convs):
            y_BCTF = conv(self.activation(y_BCTF) if number else y_BCTF)
        if self.squeeze_excite is not None:
            y_BCTF = self.squeeze_excite(y_BCTF)
        if self.training and self.drop:
            kept_B = torch.rand(len(y_BCTF), device=y_BCTF.device) >= self.drop
            y_BCTF = y_BCTF * kept_B[:, None, None, None].to(y_BCTF.dtype)
        sum_BCTF: Tensor = y_BCTF * (self.skip_gain * ALPHA) + short_BCTF
        return sum_BCTF

    def _average_pool(self, x_BCTF: Tensor) -> Tensor:
        """Average-pool by the stride; positions beyond the end do not count in the mean."""
        return x_BCTF if max(self.stride) == 1 else f.avg_pool2d(x_BCTF, self.stride, self.stride, ceil_mode=True)


def nf_stem(inputs: int, width: int, times: Sequence[int], activation: nn.Module) -> nn.Sequential:
    """Build a stem of four 3-wide convolutions; the first and last have stride 2 (NFNet, HARES Table 5).

    The first three convolutions have 1/8, 1/4 and 1/2 of the output channels; ``times`` are the temporal kernel sizes.

    Shape: (B, inputs, T, F) -> (B, width, T / 4, F / 4)
    """
    widths = [inputs, *(max(1, width // divisor) for divisor in (8, 4, 2, 1))]
    layers = OrderedDict[str, nn.Module]()
    for number, time in enumerate(times):
        stride = (2, 2) if number in (0, 3) else (1, 1)
        layers[f"conv{number}"] = WSConv(widths[number], widths[number + 1], (time, 3), stride)
        if number < 3:
            layers[f"act{number}"] = activation
    return nn.Sequential(layers)


def stochastic_depth_rates(depth: Sequence[int], rate: float) -> list[list[float]]:
    """Return the stochastic-depth rate of every block per stage, rising linearly from 0 towards ``rate``.

    >>> stochastic_depth_rates((1, 2), 0.75)
    [[0.0], [0.25, 0.5]]
    """
    total, first, rates = sum(depth), 0, list[list[float]]()
    for count in depth:
        rates.append([rate * (first + block) / total for block in range(count)])
        first += count
    return rates


def betas(depth: int, before: int) -> list[float]:
    """Return the scales that bring the inputs of a stage's blocks to unit variance.

    Each block adds ALPHA ** 2 to the variance; the first of a stage, whose shortcut is a convolution, resets it to one.

    Args:
        depth: Blocks in the stage.
        before: Blocks in the preceding stage; 0 for the first stage.

    >>> [round(beta, 4) for beta in betas(3, 0)], round(betas(3, 6)[0], 4)
    ([1.0, 0.9806, 0.9623], 0.898)
    """
    return [(1 + ALPHA**2 * (block or before)) ** -0.5 for block in range(depth)]
