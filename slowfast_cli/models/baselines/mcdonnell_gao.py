"""The network of McDonnell and Gao (ICASSP 2020, DCASE 2019 Task 1; ASF Table 3 and Appendix D).

Its input is that of their public code: the log-mel with its deltas and delta-deltas; the lower and the upper half of
the mel bands have separate paths.

Shapes: B batch, C channels, T frames, F mel bands.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.models.architecture import Baseline

STACKS, BLOCKS = 4, 2
CONTEXT = 2  # frames on either side that a delta uses


class McDonnellGao(nn.Module):
    """Two pre-activation residual paths over the lower and the upper bands, concatenated along frequency.

    Frequency is never strided. Where channels double, the shortcut is pooled and zero-padded; only the first norm is
    affine. It has 3.2 million parameters without the classifier, as ASF reports. The original has a non-affine norm
    behind the classifier, which here has a bias instead. `net.length` is 32 times the channels of the first stack.
    """

    def __init__(self, net: Baseline) -> None:
        super().__init__()
        width = net.length // 32
        if width < 1 or width * 32 != net.length:
            raise ValueError(f"{net.kind}: length is {net.length}, expected a multiple of 32 (768)")
        self.low, self.high = _Path(width), _Path(width)
        self.joined = nn.Sequential(_norm(width * 8), nn.ReLU(), nn.Conv2d(width * 8, net.length, 1, bias=False))
        self.last_norm = _norm(net.length)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x_B1TF: Tensor) -> Tensor:
        """Shape: (B, 1, T, F) -> (B, length, (T - 8) / 16, F), T at least 9."""
        if x_B1TF.shape[2] <= 4 * CONTEXT:
            raise ValueError(f"log-mel: {x_B1TF.shape[2]} frames, this network needs at least {4 * CONTEXT + 1}")
        low_B3TF, high_B3TF = with_deltas(x_B1TF).tensor_split(2, dim=3)
        x_BCTF: Tensor = self.joined(torch.cat([self.low(low_B3TF), self.high(high_B3TF)], dim=3))
        last_BCTF: Tensor = self.last_norm(x_BCTF)
        return last_BCTF


def with_deltas(x_B1TF: Tensor) -> Tensor:
    """Stack the log-mel with its deltas and delta-deltas, at the frames where all three exist.

    A delta is the slope of the regression line through five frames.

    Shape: (B, 1, T, F) -> (B, 3, T - 8, F)
    """
    delta_B1TF = _delta(x_B1TF)
    delta2_B1TF = _delta(delta_B1TF)
    middle = slice(2 * CONTEXT, -2 * CONTEXT)
    return torch.cat([x_B1TF[:, :, middle], delta_B1TF[:, :, CONTEXT:-CONTEXT], delta2_B1TF], dim=1)


def _delta(x_B1TF: Tensor) -> Tensor:
    T = x_B1TF.shape[2]
    near_B1TF = x_B1TF[:, :, 3 : T - 1] - x_B1TF[:, :, 1 : T - 3]
    far_B1TF = x_B1TF[:, :, 4:] - x_B1TF[:, :, : T - 4]
    return (near_B1TF + 2 * far_B1TF) / 10


class _Path(nn.Module):
    """Path of one half of the bands: four stacks of two residual blocks, stride 2 in time in all but the first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(_norm(3, affine=True), _Conv(3, width, halves=True))
        self.branches = nn.ModuleList(
            _branch(width << max(0, stack - (block == 0)), width << stack, halves=stack > 0 and block == 0)
            for stack in range(STACKS)
            for block in range(BLOCKS)
        )

    def forward(self, x_BCTF: Tensor) -> Tensor:
        """Shape: (B, 3, T, F) -> (B, 8 * width, ceil(T / 16), F)."""
        x_BCTF = self.stem(x_BCTF)
        for branch in self.branches:
            y_BCTF = branch(x_BCTF)
            x_BCTF = y_BCTF + (_downsample(x_BCTF) if y_BCTF.shape[1] != x_BCTF.shape[1] else x_BCTF)
        return x_BCTF


def _branch(inputs: int, outputs: int, *, halves: bool) -> nn.Sequential:
    return nn.Sequential(
        _norm(inputs), nn.ReLU(), _Conv(inputs, outputs, halves=halves), _norm(outputs), nn.ReLU(),
        _Conv(outputs, outputs),
    )  # fmt: skip


def _norm(channels: int, *, affine: bool = False) -> nn.BatchNorm2d:
    """Build a batch norm with Keras' constants."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01, affine=affine)


class _Conv(nn.Module):
    """3 x 3 convolution with optional stride 2 in time and TensorFlow's "SAME" padding (odd zeros at the end)."""

    def __init__(self, inputs: int, outputs: int, *, halves: bool = False) -> None:
        super().__init__()
        self.halves = halves
        self.conv = nn.Conv2d(inputs, outputs, 3, (2, 1) if halves else 1, 0 if halves else 1, bias=False)

    def forward(self, x_BCTF: Tensor) -> Tensor:
        """Shape: (B, inputs, T, F) -> (B, outputs, T or ceil(T / 2), F)."""
        y_BCTF: Tensor = self.conv(f.pad(x_BCTF, _same_padding(x_BCTF)) if self.halves else x_BCTF)
        return y_BCTF


def _same_padding(x_BCTF: Tensor) -> tuple[int, int, int, int]:
    """Return the zeros before and after frequency and time for a kernel of 3 at stride 2 in time."""
    return 1, 1, x_BCTF.shape[2] % 2, 1


def _downsample(x_BCTF: Tensor) -> Tensor:
    """Average-pool the shortcut by 2 in time, without padding in the mean, and zero-pad to twice the channels."""
    counts_11TF = x_BCTF.new_ones(1, 1, *x_BCTF.shape[2:])
    sums = [f.avg_pool2d(f.pad(x, _same_padding(x)), 3, (2, 1)) for x in (x_BCTF, counts_11TF)]
    means_BCTF = sums[0] / sums[1]
    return torch.cat([means_BCTF, torch.zeros_like(means_BCTF)], dim=1)
