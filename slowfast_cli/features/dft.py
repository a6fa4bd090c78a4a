"""Magnitude spectra by real matrix products instead of FFTs, in bounded memory.

With a window of 320 samples and 1025 bins, a float64 FFT writes and rereads 16 KB of padded samples and 16 KB of bins
per frame; a product with windowed cosines and sines only writes the sums. On a GPU with fast float64 the time is the
same (32 clips of 5.12 s on an H100: 0.85 against 0.86 ms).

Shapes: B batch, T frames (time), D samples under the window, K frequency bins, N frames of a tile.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

TILE = 8192  # frames: fastest on an H100, 134 MB of sums; tiles that fit its cache lose more to kernel launches
FAST_FLOAT64 = frozenset({(6, 0), (7, 0), (8, 0), (9, 0), (10, 0)})  # compute capabilities with half-rate float64


def basis(window_D: np.ndarray, fft: int) -> np.ndarray:
    """Return the windowed cosines of every bin, then the sines: (D,) -> (D, 2 K), K = fft / 2 + 1; float64."""
    phase_DK = np.outer(np.arange(len(window_D)), np.arange(fft // 2 + 1)) % fft  # exact integers
    angles_DK = phase_DK * (2 * np.pi / fft)
    return np.asarray(np.concatenate([np.cos(angles_DK), np.sin(angles_DK)], axis=1) * window_D[:, None])


def magnitudes(frames_BND: Tensor, basis_DK2: Tensor) -> Tensor:
    """Compute the magnitude spectra of frames of samples, exact to float32: (B, N, D) -> (B, N, K) float32."""
    cosines_BNK, sines_BNK = (frames_BND.double() @ basis_DK2).chunk(2, dim=2)
    magnitudes_BNK = cosines_BNK.new_empty(cosines_BNK.shape, dtype=torch.float32)
    return torch.hypot(cosines_BNK, sines_BNK, out=magnitudes_BNK)


@lru_cache(maxsize=16)
def is_fast(device: torch.device) -> bool:
    """Whether the device has fast float64 matrix products."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) in FAST_FLOAT64
