"""Per-clip standardization of log-mel inputs."""

from torch import Tensor


def standardize(x_BCTF: Tensor) -> Tensor:
    """Subtract each clip's mean and divide by its standard deviation (HARES Sec. 3 and App. C); silence becomes zeros.

    Shape: (B, C, T, F) -> (B, C, T, F)
    """
    centered = x_BCTF - x_BCTF.mean(dim=(1, 2, 3), keepdim=True)
    return centered / centered.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp(min=1e-5)
