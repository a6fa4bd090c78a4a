"""The log-mel of frames on one CPU core, in tiles that stay in its cache.

Numpy rather than torch around the Fourier transform: its logarithm, square root and small products cost a third of
torch's there, and calling them a quarter. The transform itself is torch's (MKL), which is faster than numpy's.

Shapes: B batch, T frames, D samples under the window, F mel bands, K frequency bins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

# Numpy has magnitudes of complex numbers in one vectorised pass for these processors, and one by one for others.
ONE_PASS = torch.backends.cpu.get_cpu_capability() == "AVX512"
TILE = 64  # frames: their 0.5 MB of bins and 1 MB of padded samples share a second-level cache


@dataclass(frozen=True, kw_only=True)
class Band:
    """Neighbouring mel filters and the bins that they reach.

    Attributes:
        first: The first bin.
        last: The one after the last.
        filters: (last - first, filters), float32.
    """

    first: int
    last: int
    filters: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """From frames to mel bands.

    Attributes:
        window: (D,), float64.
        fft: Points of the Fourier transform.
        power: Exponent of the magnitude: 1 or 2.
        bands: Every filter once, in order.
    """

    window: np.ndarray
    fft: int
    power: int
    bands: Sequence[Band]

    def mels(self, pieces_BTD: np.ndarray) -> np.ndarray:
        """Mel bands before the logarithm.

        Args:
            pieces_BTD: What is under the window of each frame; may be a view in which frames overlap.

        Shape:
            (B, T, D) -> (B, T, F), float32
        """
        B, T, D = pieces_BTD.shape
        mel_BTF = np.empty((B, T, sum(band.filters.shape[1] for band in self.bands)), np.float32)
        # Float64 up to the bins: in float32 a loud low tone would cost quiet bins beside it 2e-3 of log-mel.
        # Where the window stands inside the FFT changes the phase only, so it stands at the start.
        padded = torch.zeros(min(TILE, B * T), self.fft, dtype=torch.float64)
        real = np.empty((len(padded), self.fft + 2), np.float32)  # real and imaginary parts in turn
        spectrum = np.empty((len(padded), self.fft // 2 + 1), np.float32)
        for clips, frames in _tiles(B, T):
            tile_BTD = pieces_BTD[clips, frames]
            shape, count = tile_BTD.shape[:2], tile_BTD.shape[0] * tile_BTD.shape[1]
            np.multiply(tile_BTD, self.window, out=padded.numpy()[:count, :D].reshape(*shape, D))
            bins = torch.view_as_real(torch.fft.rfft(padded[:count])).flatten(1)
            np.copyto(real[:count], bins.numpy(), casting="same_kind")
            self._magnitudes(real[:count], spectrum[:count])
            self._filtered(spectrum[:count].reshape(*shape, -1), mel_BTF[clips, frames])
        return mel_BTF

    def _magnitudes(self, real: np.ndarray, spectrum: np.ndarray) -> None:
        if self.power == 1 and ONE_PASS:
            np.abs(real.view(np.complex64), out=spectrum)
            return
        np.multiply(real, real, out=real)
        np.add(real[:, ::2], real[:, 1::2], out=spectrum)
        if self.power == 1:
            np.sqrt(spectrum, out=spectrum)

    def _filtered(self, spectrum_BTK: np.ndarray, mel_BTF: np.ndarray) -> None:
        done = 0
        for band in self.bands:
            after = done + band.filters.shape[1]
            np.matmul(spectrum_BTK[..., band.first : band.last], band.filters, out=mel_BTF[..., done:after])
            done = after


def _tiles(clips: int, frames: int) -> Iterator[tuple[slice, slice]]:
    """Stretches of a long clip, or several short clips together.

    >>> list(_tiles(1, 65)) == [(slice(0, 1), slice(0, 64)), (slice(0, 1), slice(64, 128))]
    True
    """
    many = max(1, TILE // max(frames, 1))
    for clip in range(0, clips, many):
        for frame in range(0, frames, TILE):
            yield slice(clip, clip + many), slice(frame, frame + TILE)
