"""Initialization that skips tensors without data."""

from torch import Tensor, nn


def normal_(weight: Tensor, std: float) -> None:
    """Draw a weight from a normal distribution.

    Nothing is drawn on the meta device, where PyTorch would import its compiler: 2 s, at each start of `predict`.
    """
    if not weight.is_meta:
        nn.init.normal_(weight, std=std)


def kaiming_normal_(weight: Tensor) -> None:
    """Draw a weight as He et al. do, fan-out, for ReLU; see `normal_`."""
    if not weight.is_meta:
        nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")
