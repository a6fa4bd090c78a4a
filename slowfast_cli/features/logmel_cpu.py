"""Mel spectra on one CPU core, in tiles that fit its cache.

The code around the FFT uses numpy: compared with torch, its logarithm, square root and small products take a third of
the time, and a call a quarter. The FFT is torch's (MKL), which is faster than numpy's.

Shapes: B batch, T frames, D samples under the window, F mel bands, K frequency bins.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

# Numpy's complex abs is vectorized on these processors only.
VECTORIZED_ABS = torch.backends.cpu.get_cpu_capability() == "AVX512"
TILE = 64  # frames: 0.5 MB of bins and 1 MB of padded samples fit the L2 cache


@dataclass(frozen=True, kw_only=True)
class FilterGroup:
    """Adjacent mel filters, restricted to the bins where they are nonzero."""

    first: int  # first bin
    last: int  # one past the last bin
    filters: np.ndarray  # (last - first, filters), float32


@dataclass(frozen=True, kw_only=True)
class MelSpectrum:
    """Transform from frames of samples to mel bands."""

    window: np.ndarray  # (D,), float64
    fft: int  # FFT size
    power: int  # exponent of the magnitude: 1 or 2
    groups: Sequence[FilterGroup]  # all mel filters in order

    def __call__(self, frames_BTD: np.ndarray) -> np.ndarray:
        """Compute the mel bands, before the logarithm.

        Args:
            frames_BTD: Samples under the window of each frame; may be a view with overlapping frames.

        Shape: (B, T, D) -> (B, T, F), float32
        """
        B, T, D = frames_BTD.shape
        mel_BTF = np.empty((B, T, sum(group.filters.shape[1] for group in self.groups)), np.float32)
        # The FFT is in float64: in float32, a loud low tone causes errors of 2e-3 in the log-mel of quiet bins.
        # The position of the window inside the FFT only changes the phase, so the padding goes to the end.
        padded = torch.zeros(min(TILE, B * T), self.fft, dtype=torch.float64)
        real = np.empty((len(padded), self.fft + 2), np.float32)  # interleaved real and imaginary parts
        spectrum = np.empty((len(padded), self.fft // 2 + 1), np.float32)
        for clips, frames in _tiles(B, T):
            tile_BTD = frames_BTD[clips, frames]
            shape, count = tile_BTD.shape[:2], tile_BTD.shape[0] * tile_BTD.shape[1]
            np.multiply(tile_BTD, self.window, out=padded.numpy()[:count, :D].reshape(*shape, D))
            bins = torch.view_as_real(torch.fft.rfft(padded[:count])).flatten(1)
            np.copyto(real[:count], bins.numpy(), casting="same_kind")
            self._magnitudes(real[:count], spectrum[:count])
            self._apply_filters(spectrum[:count].reshape(*shape, -1), mel_BTF[clips, frames])
        return mel_BTF

    def _magnitudes(self, real: np.ndarray, spectrum: np.ndarray) -> None:
        if self.power == 1 and VECTORIZED_ABS:
            np.abs(real.view(np.complex64), out=spectrum)
            return
        np.multiply(real, real, out=real)
        np.add(real[:, ::2], real[:, 1::2], out=spectrum)
        if self.power == 1:
            np.sqrt(spectrum, out=spectrum)

    def _apply_filters(self, spectrum_BTK: np.ndarray, mel_BTF: np.ndarray) -> None:
        start = 0
        for group in self.groups:
            stop = start + group.filters.shape[1]
            np.matmul(spectrum_BTK[..., group.first : group.last], group.filters, out=mel_BTF[..., start:stop])
            start = stop


def _tiles(clips: int, frames: int) -> Iterator[tuple[slice, slice]]:
    """Yield slices over clips and frames: parts of long clips, or several short clips together.

    >>> list(_tiles(1, 65)) == [(slice(0, 1), slice(0, 64)), (slice(0, 1), slice(64, 128))]
    True
    """
    batch = max(1, TILE // max(frames, 1))
    for clip in range(0, clips, batch):
        for frame in range(0, frames, TILE):
            yield slice(clip, clip + batch), slice(frame, frame + TILE)
