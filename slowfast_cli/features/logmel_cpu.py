"""Mel spectra on one CPU core, in tiles that fit its cache.

The code around the FFT uses numpy: compared with torch, its logarithm, square root and small products take a third of
the time, and a call a quarter. The FFT is torch's (MKL), which is faster than numpy's.

Shapes: B batch, T frames, D samples under the window, F mel bands, K frequency bins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

# Numpy's complex abs is vectorized on these processors only.
VECTORIZED_ABS = torch.backends.cpu.get_cpu_capability() == "AVX512"
TILE = 64  # frames: 0.5 MB of bins and 1 MB of padded samples fit the L2 cache
# Error of a bin of a float32 spectrum, relative to the norm of the windowed samples: 7e-7 at most in noise, 3e-6 beside
# pure tones, less in the mean over a band.
FLOAT32_ERROR = 1e-6


@dataclass(frozen=True, kw_only=True)
class FilterGroup:
    """Adjacent mel filters, restricted to the bins where they are nonzero."""

    first: int  # first bin
    last: int  # one past the last bin
    filters: np.ndarray  # (last - first, filters), float32


@dataclass(frozen=True, kw_only=True)
class Float32:
    """Compute spectra in float32, except those of frames whose quietest band would lose more than the tolerance."""

    tolerance: float  # largest error of the natural logarithm of a band
    floor: float  # as `FrontEnd.floor`
    decibels: bool  # as `FrontEnd.decibels`


@dataclass(frozen=True, kw_only=True)
class MelSpectrum:
    """Transform from frames of samples to mel bands."""

    window: np.ndarray  # (D,), float64
    fft: int  # FFT size
    power: int  # exponent of the magnitude: 1 or 2
    groups: Sequence[FilterGroup]  # all mel filters in order
    float32: Float32 | None = None  # None: all spectra in float64

    def __call__(self, frames_BTD: np.ndarray) -> np.ndarray:
        """Compute the mel bands, before the logarithm.

        Args:
            frames_BTD: Samples under the window of each frame; may be a view with overlapping frames.

        Shape: (B, T, D) -> (B, T, F), float32
        """
        B, T, D = frames_BTD.shape
        weights_F = np.concatenate([group.filters.sum(axis=0) for group in self.groups])
        mel_BTF = np.empty((B, T, len(weights_F)), np.float32)
        tile = min(TILE, B * T)
        exact = _Buffers(tile, self.fft, np.float64)
        fast = None if self.float32 is None else _Buffers(tile, self.fft, np.float32)
        window_D = self.window.astype(np.float32)
        for clips, frames in _tiles(B, T):
            tile_ND = frames_BTD[clips, frames].reshape(-1, D)
            mel_NF = mel_BTF[clips, frames].reshape(-1, len(weights_F))  # a view
            if fast is None or self.float32 is None:
                self._bands(tile_ND, self.window, exact, mel_NF)
                continue
            energy_N = self._bands(tile_ND, window_D, fast, mel_NF)
            redone_N = ~self._is_precise(mel_NF, energy_N, weights_F, self.float32)
            if redone_N.any():
                redone_NF = np.empty((int(redone_N.sum()), len(weights_F)), np.float32)
                self._bands(tile_ND[redone_N], self.window, exact, redone_NF)
                mel_NF[redone_N] = redone_NF
        return mel_BTF

    def _bands(self, tile_ND: np.ndarray, window_D: np.ndarray, buffers: _Buffers, mel_NF: np.ndarray) -> np.ndarray:
        """Compute the bands of a tile in the precision of the buffers; return the energy of each windowed frame."""
        N, D = tile_ND.shape
        # In float32, a loud low tone causes errors of 2e-3 in the log-mel of quiet bins.
        # The position of the window inside the FFT only changes the phase, so the padding goes to the end.
        padded_ND = np.multiply(tile_ND, window_D, out=buffers.padded.numpy()[:N, :D])
        real = torch.view_as_real(torch.fft.rfft(buffers.padded[:N])).flatten(1).numpy()
        if buffers.real is not None:
            np.copyto(buffers.real[:N], real, casting="same_kind")
            real = buffers.real[:N]
        self._magnitudes(real, buffers.spectrum[:N])
        self._apply_filters(buffers.spectrum[:N], mel_NF)
        return np.asarray(np.einsum("nd,nd->n", padded_ND, padded_ND))

    def _is_precise(self, mel_NF: np.ndarray, energy_N: np.ndarray, weights_F: np.ndarray, limits: Float32) -> Any:
        """Whether float32 errors stay below the tolerance in every band of a frame.

        With an error of `FLOAT32_ERROR` times the norm of the frame in each bin, that of a band is at most the sum of
        its filter times that. Powers (p = 2) have twice the relative error of magnitudes.
        """
        floored_NF = np.maximum(mel_NF, limits.floor) if limits.decibels else mel_NF + np.float32(limits.floor)
        mean_N = (floored_NF / np.maximum(weights_F, 1e-30)).min(axis=1)
        least_N = (self.power * FLOAT32_ERROR / limits.tolerance * np.sqrt(energy_N)) ** self.power
        return (mean_N >= least_N) & np.isfinite(energy_N)

    def _magnitudes(self, real: np.ndarray, spectrum: np.ndarray) -> None:
        if self.power == 1 and VECTORIZED_ABS:
            np.abs(real.view(np.complex64), out=spectrum)
            return
        np.multiply(real, real, out=real)
        np.add(real[:, ::2], real[:, 1::2], out=spectrum)
        if self.power == 1:
            np.sqrt(spectrum, out=spectrum)

    def _apply_filters(self, spectrum_NK: np.ndarray, mel_NF: np.ndarray) -> None:
        start = 0
        for group in self.groups:
            stop = start + group.filters.shape[1]
            np.matmul(spectrum_NK[:, group.first : group.last], group.filters, out=mel_NF[:, start:stop])
            start = stop


class _Buffers:
    """Memory of one tile, reused by all."""

    def __init__(self, tile: int, fft: int, dtype: type[np.floating[Any]]) -> None:
        double = dtype is np.float64
        self.padded = torch.zeros(tile, fft, dtype=torch.float64 if double else torch.float32)
        # Interleaved real and imaginary parts in float32.
        self.real = np.empty((tile, fft + 2), np.float32) if double else None
        self.spectrum = np.empty((tile, fft // 2 + 1), np.float32)


def _tiles(clips: int, frames: int) -> Iterator[tuple[slice, slice]]:
    """Yield slices over clips and frames: parts of long clips, or several short clips together.

    >>> list(_tiles(1, 65)) == [(slice(0, 1), slice(0, 64)), (slice(0, 1), slice(64, 128))]
    True
    """
    batch = max(1, TILE // max(frames, 1))
    for clip in range(0, clips, batch):
        for frame in range(0, frames, TILE):
            yield slice(clip, clip + batch), slice(frame, frame + TILE)
