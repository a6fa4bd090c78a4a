"""Magnitudes of spectra by products of real matrices: no complex number is made, and what is made fits a GPU's cache.

On a GPU whose double-precision units are not an afterthought this beats transforms in double precision, whose bins go
to memory and back several times: a window of 320 samples has 1025 bins, and is 16 KB of them.

Shapes: B batch, T frames (time), D samples under the window, K frequency bins, N frames of a tile.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

TILE = 2048  # frames: 34 MB of sums for 1025 bins, within the 40 MB or more of these GPUs' caches
DOUBLES = frozenset({(6, 0), (7, 0), (8, 0), (9, 0), (10, 0)})  # compute capabilities with half-rate doubles or better


def waves(window_D: np.ndarray, fft: int) -> np.ndarray:
    """Cosines, then sines, of every bin under a window.

    Args:
        window_D: The window.
        fft: Points of the transform, at least as many as the window has.

    Shape:
        (D,) -> (D, 2 K), K = fft / 2 + 1; float64
    """
    turns_DK = np.outer(np.arange(len(window_D)), np.arange(fft // 2 + 1)) % fft  # exact, before it meets a cosine
    angles_DK = turns_DK * (2 * np.pi / fft)
    return np.asarray(np.concatenate([np.cos(angles_DK), np.sin(angles_DK)], axis=1) * window_D[:, None])


def magnitudes(pieces_BND: Tensor, waves_DK2: Tensor) -> Tensor:
    """Magnitudes of the spectra of pieces of sound, exact to float32.

    Args:
        pieces_BND: Samples.
        waves_DK2: Of `waves`, on the same device.

    Shape:
        (B, N, D) -> (B, N, K) float32
    """
    cosines_BNK, sines_BNK = (pieces_BND.double() @ waves_DK2).chunk(2, dim=2)
    magnitudes_BNK = cosines_BNK.new_empty(cosines_BNK.shape, dtype=torch.float32)
    return torch.hypot(cosines_BNK, sines_BNK, out=magnitudes_BNK)


@lru_cache(maxsize=16)
def pays(device: torch.device) -> bool:
    """Whether a device's double-precision products are quick enough for it."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) in DOUBLES
