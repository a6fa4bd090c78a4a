"""A running average of a model's weights, which is scored and saved in place of them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Ema(nn.Module):
    """The average of a model's parameters, each step's counting less the longer ago it was; its buffers as they are.

    As `torch.optim.swa_utils.AveragedModel` with a decay, whose state it has; but that one waits for the device in
    every step.

    Args:
        model: Where it starts.
        decay: What the average keeps of itself.
    """

    n_averaged: Tensor

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", torch.zeros((), dtype=torch.long))  # on the host, which asks for it
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take the parameters of a step in; the first ones are the average."""
        ours: tuple[Tensor, ...] = tuple(self.module.parameters())
        theirs: tuple[Tensor, ...] = tuple(model.parameters())
        if self.n_averaged == 0:
            torch._foreach_copy_(ours, theirs)
        else:
            torch._foreach_lerp_(ours, theirs, 1 - self._decay)
        for kept, given in zip(self.module.buffers(), model.buffers(), strict=True):
            kept.copy_(given)
        self.n_averaged += 1
