"""Convolutional blocks of a pathway, 2-d (time, frequency) or 3-d (time, height, width).

Shapes: B batch, C channels, T time, x the other axes: F frequency, or H and W.
"""

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
    """Build a convolution padded to keep the size at stride 1, 2-d or 3-d by the number of axes of its kernel."""
    ones = (1,) * len(kernel)
    stride, dilation = stride or ones, dilation or ones
    padding = tuple(size // 2 * rate for size, rate in zip(kernel, dilation, strict=True))
    kind = CONV[len(kernel)]
    return kind(inputs, outputs, kernel, stride, padding, dilation, bias=bias)  # type: ignore[arg-type]


def norm(channels: int, axes: int, kind: str = "batch") -> nn.Module:
    """Build a normalization layer with a weight and a bias per channel, for ``axes`` besides batch and channels.

    Kinds: ``batch``, ``layer`` (over a clip's whole map, Ba et al. 2016), ``instance`` (over each channel of it,
    Ulyanov et al. 2016) or ``none`` (identity).
    """
    if kind == "none":
        return nn.Identity()
    if kind == "batch":
        return NORM[axes](channels)
    return nn.GroupNorm(1 if kind == "layer" else channels, channels)


def stem(inputs: int, width: int, time: int, axes: int, *, halves_time: bool, norms: str = "batch") -> nn.Sequential:
    """Build the stem: ``time`` x 7 convolution, then max-pooling of 3, each at stride 2 (ASF Sec. 3, SF Table 1).

    Time is strided and pooled only if ``halves_time``; for ``norms`` see `norm`.

    Shape: (B, inputs, T, F) -> (B, width, T / 4, F / 4), or (B, inputs, T, H, W) -> (B, width, T, H / 4, W / 4)
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
    """Sum of parallel convolutions over time and over frequency, without pooling (AV Sec. 3.2 and Table 1)."""

    def __init__(self, inputs: int, width: int, kernel: int) -> None:
        super().__init__()
        self.t, self.f = conv(inputs, width, (kernel, 1)), conv(inputs, width, (1, kernel))
        self.norm = norm(width, 2)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x_BCTF: Tensor) -> Tensor:
        """Shape: (B, inputs, T, F) -> (B, width, T, F)."""
        y_BCTF: Tensor = self.relu(self.norm(self.t(x_BCTF) + self.f(x_BCTF)))
        return y_BCTF


def shortcut(inputs: int, outputs: int, stride: Sizes, norms: str = "batch") -> nn.Module:
    """Build the residual shortcut: the identity, or a 1x1 projection if the sizes differ."""
    if inputs == outputs and max(stride) == 1:
        return nn.Identity()
    layers = {
        "conv": conv(inputs, outputs, (1,) * len(stride), stride, bias=norms == "none"),
        "norm": norm(outputs, len(stride), norms),
    }
    return nn.Sequential(OrderedDict(layers))


class Bottleneck(nn.Module):
    """Bottleneck residual block with the temporal kernel in its first or middle convolution (ASF Fig. 1, SF Table 1).

    ``kernels`` are those of the first and the middle convolution; stride and dilation are of the middle one.
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
        sum_BCTx: Tensor = self.relu(self.shortcut(x_BCTx) + y_BCTx)
        return sum_BCTx
