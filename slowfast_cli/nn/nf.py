"""Normaliser-free convolutions and blocks, over time and frequency (Brock et al. 2021a and 2021b, HARES Sec. 2.3).

Shapes: B batch, C channels, T time, F frequency.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as f

Pair = tuple[int, int]
ALPHA = 0.2  # what a residual branch is scaled by


class ScaledGelu(nn.Module):
    """GELU in its tanh form, scaled so that unit variance stays unit variance."""

    gain = 1.7015043497085571

    def __init__(self, *, gain: bool = True) -> None:
        super().__init__()
        self.factor = self.gain if gain else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return f.gelu(x, approximate="tanh") * self.factor


class ScaledRelu(nn.Module):
    """ReLU, scaled likewise."""

    gain = 1.7139588594436646

    def __init__(self, *, gain: bool = True) -> None:
        super().__init__()
        self.factor = self.gain if gain else 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return f.relu(x) * self.factor


ACTIVATION: Mapping[str, type[ScaledGelu] | type[ScaledRelu]] = {"nfnet": ScaledGelu, "nf-resnet": ScaledRelu}


class WSConv(nn.Module):
    """A convolution whose kernels are brought to mean 0 and variance 1 / fan-in, then scaled by a learned gain.

    It pads as TensorFlow's "SAME": at stride 1 evenly, else with what is odd at the end.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        kernel: Over time and frequency.
        stride: Likewise.
        groups: Of channels that do not see each other.
    """

    def __init__(self, inputs: int, outputs: int, kernel: Pair, stride: Pair = (1, 1), groups: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride, self.groups = kernel, stride, groups
        self.weight = nn.Parameter(torch.empty(outputs, inputs // groups, *kernel))
        self.gain = nn.Parameter(torch.ones(outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.normal_(self.weight, std=self.weight[0].numel() ** -0.5)

    def standardised(self) -> Tensor:
        """The kernels as they are used."""
        weight = self.weight.float()
        var, mean = torch.var_mean(weight, dim=(1, 2, 3), keepdim=True, correction=0)
        scale = torch.rsqrt((var * weight[0].numel()).clamp(min=1e-4)) * self.gain[:, None, None, None]
        kernels: Tensor = (weight - mean) * scale
        return kernels

    def fixed(self) -> SameConv:
        """The convolution with its kernels as they are now, for inference."""
        return SameConv(self.standardised().detach(), self.bias.detach(), self.stride, self.groups)

    def forward(self, x_BCTF: Tensor) -> Tensor:
        """Shape: (B, inputs, T, F) -> (B, outputs, ceil(T / stride), ceil(F / stride))."""
        return same_conv(x_BCTF, self.standardised(), self.bias, self.stride, self.groups)


class SameConv(nn.Module):
    """A convolution that pads as `WSConv` does, its kernels used as they are.

    Args:
        weight: (outputs, inputs / groups, time, frequency).
        bias: (outputs,).
        stride: Over time and frequency.
        groups: Of channels that do not see each other.
    """

    def __init__(self, weight: Tensor, bias: Tensor, stride: Pair, groups: int) -> None:
        super().__init__()
        self.stride, self.groups = stride, groups
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, x_BCTF: Tensor) -> Tensor:
        """Shape: (B, inputs, T, F) -> (B, outputs, ceil(T / stride), ceil(F / stride))."""
        return same_conv(x_BCTF, self.weight, self.bias, self.stride, self.groups)


def same_conv(x_BCTF: Tensor, weight: Tensor, bias: Tensor, stride: Pair, groups: int) -> Tensor:
    """A convolution padded as TensorFlow's "SAME".

    Shape:
        (B, inputs, T, F) -> (B, outputs, ceil(T / stride), ceil(F / stride))
    """
    T, F = (same(x_BCTF.shape[2 + axis], weight.shape[2 + axis], stride[axis]) for axis in (0, 1))
    even = T[0] == T[1] and F[0] == F[1]
    x_BCTF = x_BCTF if even else f.pad(x_BCTF, (*F, *T))
    padding = (T[0], F[0]) if even else (0, 0)
    y_BCTF: Tensor = f.conv2d(x_BCTF, weight, bias, stride, padding, 1, groups)
    return y_BCTF


def same(size: int, kernel: int, stride: int) -> Pair:
    """Zeros before and after one axis so that ceil(size / stride) positions come out.

    >>> same(400, 3, 2), same(401, 3, 2), same(400, 3, 1)
    ((0, 1), (1, 1), (1, 1))
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class SqueezeExcite(nn.Module):
    """Each channel scaled by up to 2, by what is in all of them (Hu et al. 2018; doubled as in NFNets).

    Args:
        channels: In and out; half as many between.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, max(1, channels // 2))
        self.excite = nn.Linear(max(1, channels // 2), channels)

    def forward(self, x_BCTF: Tensor) -> Tensor:
        """Shape: (B, C, T, F) -> the same."""
        scale_BC = self.excite(f.relu(self.squeeze(x_BCTF.mean(dim=(2, 3))))).sigmoid()
        scaled_BCTF: Tensor = x_BCTF * 2 * scale_BC[:, :, None, None]
        return scaled_BCTF


class NFBlock(nn.Module):
    """A pre-activation residual block without normaliser.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        kernels: Of all convolutions but the last, which is 1x1.
        stride: Of the first convolution over time, and of the shortcut.
        kind: ``nfnet``, which is half as wide inside, starts with a 1x1 convolution and ends with squeeze-excite; or
            ``nf-resnet``, a quarter as wide, with neither.
        group: Channels of a group in the convolutions between the first and the last; None: one group of all.
        beta: What the input is multiplied by, to have unit variance.
        drop: Share of training examples that skip it: stochastic depth.
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
        short_BCTF = x_BCTF if self.shortcut is None else self.shortcut(self._averaged(y_BCTF))
        for number, conv in enumerate(self.convs):
            y_BCTF = conv(self.activation(y_BCTF) if number else y_BCTF)
        if self.squeeze_excite is not None:
            y_BCTF = self.squeeze_excite(y_BCTF)
        if self.training and self.drop:
            kept_B = torch.rand(len(y_BCTF), device=y_BCTF.device) >= self.drop
            y_BCTF = y_BCTF * kept_B[:, None, None, None].to(y_BCTF.dtype)
        joined_BCTF: Tensor = y_BCTF * (self.skip_gain * ALPHA) + short_BCTF
        return joined_BCTF

    def _averaged(self, x_BCTF: Tensor) -> Tensor:
        """Means of as many positions as the stride has; what lies beyond the end does not count."""
        return x_BCTF if max(self.stride) == 1 else f.avg_pool2d(x_BCTF, self.stride, self.stride, ceil_mode=True)


def nf_stem(inputs: int, width: int, times: Sequence[int], activation: nn.Module) -> nn.Sequential:
    """Four 3-wide convolutions; the first and the last halve time and frequency (NFNet, HARES Table 5).

    Args:
        inputs: Channels in.
        width: Channels out; an eighth, a quarter and half as many on the way.
        times: Temporal kernels.
        activation: Between them.

    Shape:
        (B, inputs, T, F) -> (B, width, T / 4, F / 4)
    """
    widths = [inputs, *(max(1, width // part) for part in (8, 4, 2, 1))]
    layers = OrderedDict[str, nn.Module]()
    for number, time in enumerate(times):
        stride = (2, 2) if number in (0, 3) else (1, 1)
        layers[f"conv{number}"] = WSConv(widths[number], widths[number + 1], (time, 3), stride)
        if number < 3:
            layers[f"act{number}"] = activation
    return nn.Sequential(layers)


def drops(depth: Sequence[int], rate: float) -> list[list[float]]:
    """Stochastic depth of every block, rising from 0 towards ``rate``.

    >>> drops((1, 2), 0.75)
    [[0.0], [0.25, 0.5]]
    """
    total, done, found = sum(depth), 0, list[list[float]]()
    for count in depth:
        found.append([rate * (done + block) / total for block in range(count)])
        done += count
    return found


def betas(depth: int, before: int) -> list[float]:
    """What the inputs of a stage's blocks are multiplied by, to have unit variance.

    Each block adds ALPHA squared to the variance, and the first of a stage, whose shortcut is a convolution, sets it
    back to one.

    Args:
        depth: Blocks of the stage.
        before: Blocks of the stage before; 0 of the first.

    >>> [round(beta, 4) for beta in betas(3, 0)], round(betas(3, 6)[0], 4)
    ([1.0, 0.9806, 0.9623], 0.898)
    """
    return [(1 + ALPHA**2 * (block or before)) ** -0.5 for block in range(depth)]
