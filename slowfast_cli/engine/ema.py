"""Exponential moving average (EMA) of a model's weights."""

import copy

import torch
from torch import Tensor, nn


class Ema(nn.Module):
    """Exponential moving average (EMA) of the parameters; buffers are copied.

    Like `torch.optim.swa_utils.AveragedModel` with a decay, and with the same state, but without synchronizing the
    device in every step, and with a warm-up: after n steps the decay is at most (1 + n) / (10 + n), so that a short
    training does not average its first weights.
    """

    n_averaged: Tensor

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", torch.zeros((), dtype=torch.long))  # on the host, which reads it
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Add the parameters of a step; the first ones are the average."""
        ours: tuple[Tensor, ...] = tuple(self.module.parameters())
        theirs: tuple[Tensor, ...] = tuple(model.parameters())
        if self.n_averaged == 0:
            torch._foreach_copy_(ours, theirs)
        else:
            steps = int(self.n_averaged)
            torch._foreach_lerp_(ours, theirs, 1 - min(self._decay, (1 + steps) / (10 + steps)))
        for own, current in zip(self.module.buffers(), model.buffers(), strict=True):
            own.copy_(current)
        self.n_averaged += 1
