"""Bootstrap your own latent, for sound: one view predicts what a slower copy makes of the other (Niizumi et al. 2021).

Shapes: R rows, two views of each clip; D feature, E embedding.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from slowfast_cli.models.architecture import Architecture
from slowfast_cli.types import Signals


class Byol(nn.Module):
    """A projector and a predictor on the trunk, and the slow copies of trunk and projector that it follows.

    The copies learn nothing: `momentum_update` moves their parameters after each optimizer step. Their norms have
    statistics of their own.

    Args:
        trunk: The network that learns.
        hidden: Units of the hidden layers.
        size: Of the embedding.
        decay: The share of a copy's parameter that stays at each step.
    """

    def __init__(self, trunk: nn.Module, *, hidden: int = 4096, size: int = 256, decay: float = 0.99) -> None:
        super().__init__()
        net: Architecture = trunk.net  # type: ignore[assignment]
        self.decay = decay
        self.projector = _mlp(sum(net.features().values()), hidden, size)
        self.predictor = _mlp(size, hidden, size)
        self.slow_trunk = deepcopy(trunk).requires_grad_(False)
        self.slow_projector = deepcopy(self.projector).requires_grad_(False)

    def forward(self, trunk: nn.Module, signals: Signals) -> dict[str, Tensor]:
        """What each row predicts, and what the copies make of it.

        Args:
            trunk: The network that learns.
            signals: Both views of every clip.

        Returns:
            ``byol_predicted`` and ``byol_slow`` (R, E), the second without a gradient.
        """
        predicted_RE = self.predictor(self.projector(_joined(trunk(signals))))
        with torch.no_grad():
            slow_RE = self.slow_projector(_joined(self.slow_trunk(signals)))
        return {"byol_predicted": predicted_RE, "byol_slow": slow_RE}

    @torch.no_grad()
    def momentum_update(self, trunk: nn.Module) -> None:
        """Move the copies towards what they are copies of; call it after each step of the optimiser.

        Args:
            trunk: The network that learns.
        """
        for slow, fast in ((self.slow_trunk, trunk), (self.slow_projector, self.projector)):
            for old, new in zip(slow.parameters(), fast.parameters(), strict=True):
                old.lerp_(new, 1 - self.decay)


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, outputs)
    )


def _joined(features: dict[str, Tensor]) -> Tensor:
    return torch.cat(list(features.values()), dim=1)
