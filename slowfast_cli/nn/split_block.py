"""Bottlenecks whose middle convolution is split into parallel time and frequency convolutions (AV Sec. 3.2).

Shapes: B batch, C channels, T time, F frequency.
"""

import torch
from torch import Tensor, nn

from slowfast_cli.nn.blocks import Sizes, conv, norm, shortcut


class SplitConcat(nn.Module):
    """3x1 and 1x3 convolutions of the block's input, concatenated, then 1x1 (gives AV's published numbers)."""

    def __init__(self, inputs: int, inner: int, outputs: int, kernel: int, stride: Sizes) -> None:
        super().__init__()
        self.t, self.t_norm = conv(inputs, inner, (kernel, 1), stride), norm(inner, 2)
        self.f, self.f_norm = conv(inputs, inner, (1, kernel), stride), norm(inner, 2)
        self.c, self.c_norm = conv(2 * inner, outputs, (1, 1)), norm(outputs, 2)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = shortcut(inputs, outputs, stride)

    def forward(self, x_BCTF: Tensor) -> Tensor:
        """Shape: (B, inputs, T, F) -> (B, outputs, T / stride, F / stride)."""
        branches = [self.relu(self.t_norm(self.t(x_BCTF))), self.relu(self.f_norm(self.f(x_BCTF)))]
        y_BCTF = self.c_norm(self.c(torch.cat(branches, dim=1)))
        sum_BCTF: Tensor = self.relu(self.shortcut(x_BCTF) + y_BCTF)
        return sum_BCTF


class SplitSum(nn.Module):
    """1x1, then parallel 3x1 and 1x3 convolutions, summed, then 1x1 (AV Table 1 as printed); same arguments."""

    def __init__(self, inputs: int, inner: int, outputs: int, kernel: int, stride: Sizes) -> None:
        super().__init__()
        self.a, self.a_norm = conv(inputs, inner, (1, 1)), norm(inner, 2)
        self.t, self.t_norm = conv(inner, inner, (kernel, 1), stride), norm(inner, 2)
        self.f, self.f_norm = conv(inner, inner, (1, kernel), stride), norm(inner, 2)
        self.c, self.c_norm = conv(inner, outputs, (1, 1)), norm(outputs, 2)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = shortcut(inputs, outputs, stride)

    def forward(self, x_BCTF: Tensor) -> Tensor:
        """Shape: (B, inputs, T, F) -> (B, outputs, T / stride, F / stride)."""
        y_BCTF = self.relu(self.a_norm(self.a(x_BCTF)))
        y_BCTF = self.relu(self.t_norm(self.t(y_BCTF))) + self.relu(self.f_norm(self.f(y_BCTF)))
        y_BCTF = self.c_norm(self.c(y_BCTF))
        sum_BCTF: Tensor = self.relu(self.shortcut(x_BCTF) + y_BCTF)
        return sum_BCTF


SPLIT: dict[str, type[SplitConcat] | type[SplitSum]] = {"concat": SplitConcat, "sum": SplitSum}
