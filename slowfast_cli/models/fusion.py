"""Lateral connections between pathways."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from slowfast_cli.models.spec import Lateral
from slowfast_cli.nn.blocks import conv


class TimeConv(nn.Module):
    """A time-strided convolution of the source, concatenated to the destination (ASF Sec. 3, multi-level fusion).

    Args:
        lateral: Its kernel and ratio.
        channels: Of the source.
        step: Steps of the source for one of the destination.
    """

    def __init__(self, lateral: Lateral, channels: int, step: int) -> None:
        super().__init__()
        self.conv = conv(channels, lateral.ratio * channels, (lateral.kernel, 1), (step, 1))
        self.norm = nn.BatchNorm2d(lateral.ratio * channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, src_BCTF: Tensor, dst_BCTF: Tensor) -> Tensor:
        """Join the source to the destination.

        Where the clip's length is no multiple of the step the two differ by a step or so: the source is then cut, or
        its last step repeated.

        Shape:
            (B, C, step * T, F), (B, D, T, F) -> (B, D + ratio * C, T, F)
        """
        x_BCTF: Tensor = self.relu(self.norm(self.conv(src_BCTF)))
        if x_BCTF.shape[2] != dst_BCTF.shape[2]:
            steps = torch.arange(dst_BCTF.shape[2], device=x_BCTF.device).clamp(max=x_BCTF.shape[2] - 1)
            x_BCTF = x_BCTF[:, :, steps]
        return torch.cat([dst_BCTF, x_BCTF], dim=1)
