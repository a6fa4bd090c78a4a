"""Precision in which losses are computed."""

import torch
from torch import Tensor


def at_least_float32(value: Tensor) -> Tensor:
    """Convert half precision to float32; float64 stays."""
    return value.to(torch.promote_types(value.dtype, torch.float32))
