"""The convolutions a pathway is made of, over time and frequency or over time, height and width.

Shapes: B batch, C channels, T time, x the other axes: F frequency, or H and W.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

Sizes = tuple[int, ...]
CONV: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
NORM: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOL: dict[int, type[nn.MaxPool2d] | type[nn.MaxPool3d]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


def conv(
    inputs: int,
    outputs: int,
    kernel: Sizes,
    stride: Sizes | None = None,
    dilation: Sizes | None = None,
    *,
    bias: bool = False,
) -> nn.Module:
    """A convolution that keeps the size at stride 1.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        kernel: Over time and the other axes; its length says how many axes there are.
        stride: Likewise; 1 by default.
        dilation: Likewise; 1 by default.
        bias: Where no norm follows, which has its own.
    """
    ones = (1,) * len(kernel)
    stride, dilation = stride or ones, dilation or ones
    padding = tuple(size // 2 * wide for size, wide in zip(kernel, dilation, strict=True))
    kind = CONV[len(kernel)]
    return kind(inputs, outputs, kernel, stride, padding, dilation, bias=bias)  # type: ignore[arg-type]


def norm(channels: int, axes: int, kind: str = "batch") -> nn.Module:
    """A norm for so many axes besides batch and channels, with a gain and a bias for each channel.

    Args:
        channels: In and out.
        axes: Besides batch and channels.
        kind: ``batch`` over all clips; ``layer`` over the whole map of a clip (Ba et al. 2016), ``instance`` over each
            channel of it (Ulyanov et al. 2016); ``none`` does nothing.
    """
    if kind == "none":
        return nn.Identity()
    if kind == "batch":
        return NORM[axes](channels)
    return nn.GroupNorm(1 if kind == "layer" else channels, channels)


def stem(inputs: int, width: int, time: int, axes: int, *, halves_time: bool, norms: str = "batch") -> nn.Sequential:
    """The first stage: 7 positions by ``time`` steps, then a max-pool of 3, each at stride 2 (ASF Sec. 3, SF Table 1).

    Args:
        inputs: Channels in.
        width: Channels out.
        time: Temporal kernel of the convolution.
        axes: Of the signal.
        halves_time: Whether the time axis is strided and pooled like the others, or left alone.
        norms: Kind of norm, as of `norm`.

    Shape:
        (B, inputs, T, F) -> (B, width, T / 4, F / 4), or (B, inputs, T, H, W) -> (B, width, T, H / 4, W / 4)
    """
    rest = axes - 1
    stride = (2 if halves_time else 1, *(2,) * rest)
    pool = (3 if halves_time else 1, *(3,) * rest)
    layers = {
        "conv": conv(inputs, width, (time, *(7,) * rest), stride, bias=norms == "none"),
        "norm": norm(width, axes, norms),
        "relu": nn.ReLU(inplace=True),
        "pool": POOL[axes](pool, stride, tuple(size // 2 for size in pool)),
    }
    return nn.Sequential(OrderedDict(layers))


class SplitStem(nn.Module):
    """A convolution over time and one over frequency side by side, summed; no pooling (AV Sec. 3.2 and Table 1).

    Shape:
        (B, inputs, T, F) -> (B, width, T, F)
    """

    def __init__(self, inputs: int, width: int, kernel: int) -> None:
        super().__init__()
        self.t, self.f = conv(inputs, width, (kernel, 1)), conv(inputs, width, (1, kernel))
        self.norm = norm(width, 2)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x_BCTF: Tensor) -> Tensor:
        """See the class."""
        y_BCTF: Tensor = self.relu(self.norm(self.t(x_BCTF) + self.f(x_BCTF)))
        return y_BCTF


def shortcut(inputs: int, outputs: int, stride: Sizes, norms: str = "batch") -> nn.Module:
    """What a block's output is added to: its input, projected where the sizes differ."""
    if inputs == outputs and max(stride) == 1:
        return nn.Identity()
    layers = {
        "conv": conv(inputs, outputs, (1,) * len(stride), stride, bias=norms == "none"),
        "norm": norm(outputs, len(stride), norms),
    }
    return nn.Sequential(OrderedDict(layers))


class Bottleneck(nn.Module):
    """Three convolutions and a shortcut, the temporal kernel in the first or the middle one (ASF Fig. 1, SF Table 1).

    Args:
        inputs: Channels in.
        inner: Channels of the first two convolutions.
        outputs: Channels out.
        kernels: Of the first and of the middle convolution, over time and the other axes.
        stride: Of the middle convolution and the shortcut.
        dilation: Of the middle convolution.
        norms: Kind of norm, as of `norm`.
    """

    def __init__(
        self,
        inputs: int,
        inner: int,
        outputs: int,
        kernels: tuple[Sizes, Sizes],
        stride: Sizes,
        dilation: Sizes | None = None,
        norms: str = "batch",
    ) -> None:
        super().__init__()
        axes, bias = len(stride), norms == "none"
        self.a, self.a_norm = conv(inputs, inner, kernels[0], bias=bias), norm(inner, axes, norms)
        self.b, self.b_norm = conv(inner, inner, kernels[1], stride, dilation, bias=bias), norm(inner, axes, norms)
        self.c, self.c_norm = conv(inner, outputs, (1,) * axes, bias=bias), norm(outputs, axes, norms)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = shortcut(inputs, outputs, stride, norms)

    def forward(self, x_BCTx: Tensor) -> Tensor:
        """Shape: (B, inputs, T, ...) -> (B, outputs, T / stride, ...)."""
        y_BCTx = self.relu(self.a_norm(self.a(x_BCTx)))
        y_BCTx = self.relu(self.b_norm(self.b(y_BCTx)))
        y_BCTx = self.c_norm(self.c(y_BCTx))
        joined_BCTx: Tensor = self.relu(self.shortcut(x_BCTx) + y_BCTx)
        return joined_BCTx
