"""Each clip brought to mean 0 and deviation 1."""

from __future__ import annotations

from torch import Tensor


def standardised(x_BCTF: Tensor) -> Tensor:
    """Subtract each clip's mean and divide by its standard deviation (HARES Sec. 3 and App. C).

    Silence, whose deviation is 0, becomes zeros.

    Shape:
        (B, C, T, F) -> (B, C, T, F)
    """
    mean = x_BCTF.mean(dim=(1, 2, 3), keepdim=True)
    centred = x_BCTF - mean
    return centred / centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp(min=1e-5)
