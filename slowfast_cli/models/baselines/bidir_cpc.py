"""Bidirectional contrastive predictive coding on samples (HARES Table 2, "Bidir-CPC").

HARES refers to Wang, Kawakami and van den Oord (Interspeech 2020), who build on van den Oord et al. (2018) and Kawakami
et al. (2020): a strided convolutional encoder and two feed-forward context networks over its steps, one over the past
and one over the future. Their layers were not published. The encoder here is that of CPC (five convolutions, strides 5,
4, 2, 2, 2, 512 channels, one step per 10 ms). The context networks are our choice: nine residual causal convolutions
with kernels growing from 3 to 11, as in wav2vec (Schneider et al. 2019), for the published 38 million parameters.

Shapes: B batch, N samples, C channels, T steps.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.models.architecture import Baseline

KERNELS, STRIDES = (10, 8, 4, 4, 4), (5, 4, 2, 2, 2)
CONTEXT_KERNELS = tuple(range(3, 12))


class BidirCpc(nn.Module):
    """Encoder and context networks of both directions, of `net.length` / 2 channels; the contexts are concatenated."""

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
        self.past, self.future = (
            nn.Sequential(*(_Causal(self.width, kernel) for kernel in CONTEXT_KERNELS)) for _ in range(2)
        )

    def forward(self, samples_BN: Tensor) -> Tensor:
        """Shape: (B, N) -> (B, 2 C, T), N at least 465."""
        return torch.cat(self.contexts(self.encode(samples_BN)), dim=1)

    def encode(self, samples_BN: Tensor) -> Tensor:
        """Encode samples to the steps that the objective predicts: (B, N) -> (B, C, T)."""
        encoded_BCT: Tensor = self.encoder(samples_BN[:, None])
        return encoded_BCT

    def contexts(self, encoded_BCT: Tensor) -> tuple[Tensor, Tensor]:
        """Return the context of each step from itself and its past, and from itself and its future.

        Shape: (B, C, T) -> (B, C, T) twice
        """
        return self.past(encoded_BCT), self.future(encoded_BCT.flip(2)).flip(2)


class _ChannelNorm(nn.Module):
    """LayerNorm over the channels of each step, which leaks no other steps, then ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, x_BCT: Tensor) -> Tensor:
        """Shape: (B, C, T) -> (B, C, T)."""
        return f.relu(self.norm(x_BCT.transpose(1, 2)).transpose(1, 2))


class _Causal(nn.Module):
    """Residual causal convolution."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.padding = kernel - 1
        self.conv = nn.Conv1d(channels, channels, kernel, bias=False)
        self.norm = _ChannelNorm(channels)

    def forward(self, x_BCT: Tensor) -> Tensor:
        """Shape: (B, C, T) -> (B, C, T)."""
        y_BCT: Tensor = self.norm(self.conv(f.pad(x_BCT, (self.padding, 0))))
        return x_BCT + y_BCT
