"""The log-mel front end as one strided convolution and one product, for engines that have neither FFT nor float64.

A DFT bin of a windowed frame is a product with windowed cosines and sines; of all frames together they are a
convolution with a stride of one hop. In float32, log-mels of quiet bins beside a loud low tone differ in the third
digit from `slowfast_cli.features.logmel.LogMel`.

Shapes: B batch, N samples, T frames, F mel bands, K frequency bins.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.features import dft
from slowfast_cli.features.mel import mel_filters
from slowfast_cli.settings import FrontEnd


class LogMelConv(nn.Module):
    """Log-mels of clips of one length, with the values of `slowfast_cli.features.logmel.LogMel`."""

    def __init__(self, front_end: FrontEnd, samples: int) -> None:
        super().__init__()
        self.front_end, self._frames = front_end, front_end.frames(samples)
        filters_FK = mel_filters(front_end)
        bins = np.flatnonzero(filters_FK.any(axis=0))  # the others count for nothing
        window = np.hanning(front_end.window + 1)[:-1]
        basis_DK2 = dft.basis(window, front_end.fft).reshape(len(window), 2, -1)[:, :, bins]
        self.register_buffer(
            "basis", torch.from_numpy(basis_DK2.reshape(len(window), -1).T[:, None].astype(np.float32))
        )
        self.register_buffer("filters", torch.from_numpy(filters_FK[:, bins].astype(np.float32)))
        self.register_buffer("index", _padded_index(front_end, samples))
        self._silent = front_end.edges == "silent"

    basis: Tensor
    filters: Tensor
    index: Tensor

    def forward(self, samples_BN: Tensor) -> Tensor:
        """Shape: (B, N) -> (B, 1, T, F)."""
        before = self.front_end.window // 2 if self.front_end.centred else 0
        if self._silent:
            padded_BN = f.pad(samples_BN, (before, self.front_end.window - before))
        else:
            padded_BN = samples_BN[:, self.index]
        bins_BKT = f.conv1d(padded_BN[:, None], self.basis, stride=self.front_end.hop)[:, :, : self._frames]
        real_BKT, imaginary_BKT = bins_BKT.chunk(2, dim=1)
        spectrum_BKT = real_BKT.square() + imaginary_BKT.square()
        if self.front_end.power == 1:
            spectrum_BKT = spectrum_BKT.sqrt()
        return self._logarithm(spectrum_BKT.transpose(1, 2) @ self.filters.T)[:, None]

    def _logarithm(self, mel_BTF: Tensor) -> Tensor:
        floor = self.front_end.floor
        log_BTF = 10 * mel_BTF.clamp(min=floor).log10() if self.front_end.decibels else (mel_BTF + floor).log()
        return (log_BTF - self.front_end.mean) / self.front_end.std


def _padded_index(front_end: FrontEnd, samples: int) -> Tensor:
    """Positions of the samples with both ends reflected."""
    before = front_end.window // 2 if front_end.centred else 0
    index, period = torch.arange(-before, samples + front_end.window - before), max(1, 2 * (samples - 1))
    index = index % period
    return torch.where(index < samples, index, period - index)
