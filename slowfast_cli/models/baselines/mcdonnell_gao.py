"""The network of McDonnell and Gao (ICASSP 2020, DCASE 2019 Task 1; ASF Table 3 and Appendix D).

It reads what their public code reads: the log-mel and its first and second differences, each half of the mel bands in a
path of its own.

Shapes: B batch, C channels, T frames, F mel bands.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.models.architecture import Baseline

STACKS, BLOCKS = 4, 2
REACH = 2  # frames on either side that a difference looks at


class McDonnellGao(nn.Module):
    """Two pre-activation residual paths over the lower and the upper bands, joined along frequency at the end.

    Frequency is never strided. Where channels double, the shortcut is pooled and filled up with zeros; only the first
    norm has parameters. 3.2 million of them, as ASF prints, without the classifier. In their network each class has a
    norm without parameters behind it too; our classifier has a bias instead.

    Args:
        net: The description: `length` is 32 times the channels of the first stack, 768 for 24.
    """

    def __init__(self, net: Baseline) -> None:
        super().__init__()
        width = net.length // 32
        if width < 1 or width * 32 != net.length:
            raise ValueError(f"{net.kind}: length is {net.length}; right is a multiple of 32 (768)")
        self.low, self.high = _Path(width), _Path(width)
        self.joined = nn.Sequential(_norm(width * 8), nn.ReLU(), nn.Conv2d(width * 8, net.length, 1, bias=False))
        self.last_norm = _norm(net.length)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x_B1TF: Tensor) -> Tensor:
        """Shape: (B, 1, T, F) -> (B, length, (T - 8) / 16, F), T at least 9."""
        if x_B1TF.shape[2] <= 4 * REACH:
            raise ValueError(f"log-mel: {x_B1TF.shape[2]} frames; this network needs {4 * REACH + 1} or more")
        low_B3TF, high_B3TF = with_differences(x_B1TF).tensor_split(2, dim=3)
        x_BCTF: Tensor = self.joined(torch.cat([self.low(low_B3TF), self.high(high_B3TF)], dim=3))
        last_BCTF: Tensor = self.last_norm(x_BCTF)
        return last_BCTF


def with_differences(x_B1TF: Tensor) -> Tensor:
    """The log-mel and its first and second differences over time, at the frames that have all three.

    A difference is the slope of the line through five frames.

    Shape:
        (B, 1, T, F) -> (B, 3, T - 8, F)
    """
    first_B1TF = _slope(x_B1TF)
    second_B1TF = _slope(first_B1TF)
    middle = slice(2 * REACH, -2 * REACH)
    return torch.cat([x_B1TF[:, :, middle], first_B1TF[:, :, REACH:-REACH], second_B1TF], dim=1)


def _slope(x_B1TF: Tensor) -> Tensor:
    T = x_B1TF.shape[2]
    near_B1TF = x_B1TF[:, :, 3 : T - 1] - x_B1TF[:, :, 1 : T - 3]
    far_B1TF = x_B1TF[:, :, 4:] - x_B1TF[:, :, : T - 4]
    return (near_B1TF + 2 * far_B1TF) / 10


class _Path(nn.Module):
    """One half of the bands: four stacks of two residual blocks, each stack but the first halving time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(_norm(3, learned=True), _Conv(3, width, halves=True))
        self.branches = nn.ModuleList(
            _branch(width << max(0, stack - (block == 0)), width << stack, halves=stack > 0 and block == 0)
            for stack in range(STACKS)
            for block in range(BLOCKS)
        )

    def forward(self, x_BCTF: Tensor) -> Tensor:
        """Shape: (B, 3, T, F) -> (B, 8 * width, ceil(T / 16), F)."""
        x_BCTF = self.stem(x_BCTF)
        for branch in self.branches:
            more_BCTF = branch(x_BCTF)
            x_BCTF = more_BCTF + (_narrowed(x_BCTF) if more_BCTF.shape[1] != x_BCTF.shape[1] else x_BCTF)
        return x_BCTF


def _branch(inputs: int, outputs: int, *, halves: bool) -> nn.Sequential:
    return nn.Sequential(
        _norm(inputs),
        nn.ReLU(),
        _Conv(inputs, outputs, halves=halves),
        _norm(outputs),
        nn.ReLU(),
        _Conv(outputs, outputs),
    )


def _norm(channels: int, *, learned: bool = False) -> nn.BatchNorm2d:
    """With Keras' constants."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01, affine=learned)


class _Conv(nn.Module):
    """3 x 3, time halved or not; of the zeros beyond both ends an odd one is at the end, as TensorFlow has it."""

    def __init__(self, inputs: int, outputs: int, *, halves: bool = False) -> None:
        super().__init__()
        self.halves = halves
        self.conv = nn.Conv2d(inputs, outputs, 3, (2, 1) if halves else 1, 0 if halves else 1, bias=False)

    def forward(self, x_BCTF: Tensor) -> Tensor:
        """Shape: (B, inputs, T, F) -> (B, outputs, T or ceil(T / 2), F)."""
        y_BCTF: Tensor = self.conv(f.pad(x_BCTF, _around(x_BCTF)) if self.halves else x_BCTF)
        return y_BCTF


def _around(x_BCTF: Tensor) -> tuple[int, int, int, int]:
    """Zeros before and after frequency and time for a kernel of 3 at stride 2 in time."""
    return 1, 1, x_BCTF.shape[2] % 2, 1


def _narrowed(x_BCTF: Tensor) -> Tensor:
    """A shortcut at half the time and twice the channels; padding does not count in the mean."""
    counts_11TF = x_BCTF.new_ones(1, 1, *x_BCTF.shape[2:])
    sums = [f.avg_pool2d(f.pad(x, _around(x)), 3, (2, 1)) for x in (x_BCTF, counts_11TF)]
    means_BCTF = sums[0] / sums[1]
    return torch.cat([means_BCTF, torch.zeros_like(means_BCTF)], dim=1)
