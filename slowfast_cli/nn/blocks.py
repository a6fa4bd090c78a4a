"""The convolutions a pathway is made of.

Shapes: B batch, C channels, T time, F frequency.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn


def conv(inputs: int, outputs: int, kernel: tuple[int, int], stride: tuple[int, int] = (1, 1)) -> nn.Conv2d:
    """A convolution over time and frequency that keeps the size at stride 1; a norm follows, so it has no bias."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=(kernel[0] // 2, kernel[1] // 2), bias=False)


def stem(inputs: int, width: int, time: int) -> nn.Sequential:
    """The first stage: 7 bands by ``time`` steps, then max-pooling, each at stride 2 (ASF Sec. 3).

    Shape:
        (B, inputs, T, F) -> (B, width, T / 4, F / 4)
    """
    layers = {
        "conv": conv(inputs, width, (time, 7), (2, 2)),
        "norm": nn.BatchNorm2d(width),
        "relu": nn.ReLU(inplace=True),
        "pool": nn.MaxPool2d(3, stride=2, padding=1),
    }
    return nn.Sequential(OrderedDict(layers))


class Bottleneck(nn.Module):
    """Three convolutions and a shortcut, the temporal kernel in the first or the middle one (ASF Fig. 1).

    Args:
        inputs: Channels in.
        inner: Channels of the first two convolutions.
        outputs: Channels out.
        kernels: (time, frequency) kernel of the first and of the middle convolution.
        stride: Of the middle convolution and the shortcut, over (time, frequency).
    """

    def __init__(
        self,
        inputs: int,
        inner: int,
        outputs: int,
        kernels: tuple[tuple[int, int], tuple[int, int]],
        stride: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__()
        self.a, self.a_norm = conv(inputs, inner, kernels[0]), nn.BatchNorm2d(inner)
        self.b, self.b_norm = conv(inner, inner, kernels[1], stride), nn.BatchNorm2d(inner)
        self.c, self.c_norm = conv(inner, outputs, (1, 1)), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != (1, 1):
            layers = {"conv": conv(inputs, outputs, (1, 1), stride), "norm": nn.BatchNorm2d(outputs)}
            self.shortcut = nn.Sequential(OrderedDict(layers))

    def forward(self, x_BCTF: Tensor) -> Tensor:
        """Shape: (B, inputs, T, F) -> (B, outputs, T / stride, F / stride)."""
        y_BCTF = self.relu(self.a_norm(self.a(x_BCTF)))
        y_BCTF = self.relu(self.b_norm(self.b(y_BCTF)))
        y_BCTF = self.c_norm(self.c(y_BCTF))
        joined_BCTF: Tensor = self.relu(self.shortcut(x_BCTF) + y_BCTF)
        return joined_BCTF
