"""Bidirectional contrastive predictive coding on samples (HARES Table 2, "Bidir-CPC").

HARES refers to Wang, Kawakami and van den Oord (Interspeech 2020), who build on van den Oord et al. (2018) and Kawakami
et al. (2020): a strided convolutional encoder, and two networks without recurrence over its steps, one that has heard
the past and one that has heard the future. Their layers are not public. The encoder here is that of CPC (five
convolutions, strides 5, 4, 2, 2, 2, 512 channels, one step in 10 ms). The context networks are ours: nine residual
causal convolutions with kernels that grow by one from layer to layer, as those of wav2vec (Schneider et al. 2019) do,
from 3 to 11, which makes the 38 million parameters that HARES prints.

Shapes: B batch, N samples, C channels, T steps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.models.architecture import Baseline

KERNELS, STRIDES = (10, 8, 4, 4, 4), (5, 4, 2, 2, 2)
GROWING = tuple(range(3, 12))


class BidirCpc(nn.Module):
    """The encoder and both contexts; the feature is the two contexts side by side.

    Args:
        net: The description: `length` is twice the channels of all layers.
    """

    def __init__(self, net: Baseline) -> None:
        super().__init__()
        self.width = net.length // 2
        inputs = (1, *(self.width,) * (len(KERNELS) - 1))
        self.encoder = nn.Sequential(
            *(
                nn.Sequential(nn.Conv1d(channels, self.width, kernel, stride, bias=False), _ChannelNorm(self.width))
                for channels, kernel, stride in zip(inputs, KERNELS, STRIDES, strict=True)
            )
        )
        self.past, self.future = (nn.Sequential(*(_Causal(self.width, kernel) for kernel in GROWING)) for _ in range(2))

    def forward(self, samples_BN: Tensor) -> Tensor:
        """Shape: (B, N) -> (B, 2 C, T), N at least 465."""
        return torch.cat(self.contexts(self.encoded(samples_BN)), dim=1)

    def encoded(self, samples_BN: Tensor) -> Tensor:
        """The steps that are predicted.

        Shape:
            (B, N) -> (B, C, T)
        """
        encoded_BCT: Tensor = self.encoder(samples_BN[:, None])
        return encoded_BCT

    def contexts(self, encoded_BCT: Tensor) -> tuple[Tensor, Tensor]:
        """What is made of each step and those before it, and of each and those after it.

        Shape:
            (B, C, T) -> (B, C, T) twice
        """
        return self.past(encoded_BCT), self.future(encoded_BCT.flip(2)).flip(2)


class _ChannelNorm(nn.Module):
    """Each step brought to mean 0 and deviation 1 over its channels, which leaks no time, then ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x_BCT: Tensor) -> Tensor:
        """Shape: (B, C, T) -> the same."""
        return f.relu(self.norm(x_BCT.transpose(1, 2)).transpose(1, 2))


class _Causal(nn.Module):
    """A convolution over a step and those before it, added to what it reads."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.reach = kernel - 1
        self.conv = nn.Conv1d(channels, channels, kernel, bias=False)
        self.norm = _ChannelNorm(channels)

    def forward(self, x_BCT: Tensor) -> Tensor:
        """Shape: (B, C, T) -> the same."""
        more_BCT: Tensor = self.norm(self.conv(f.pad(x_BCT, (self.reach, 0))))
        return x_BCT + more_BCT
