"""What SimCLR adds to a trunk: a projector, to vectors of length one (Chen et al. 2020; HARES Sec. 3 and App. C).

Shapes: B clips, D features, E embedding.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.types import Signals


class Projector(nn.Module):
    """The trunk's features through a perceptron.

    Args:
        features: Length of the trunk's features.
        hidden: Units of each hidden layer.
        layers: Hidden layers.
        out: Units of the output.
    """

    def __init__(self, features: int, *, hidden: int, layers: int, out: int) -> None:
        super().__init__()
        sizes = [features, *[hidden] * layers]
        stack = [module for a, b in itertools.pairwise(sizes) for module in (nn.Linear(a, b), nn.ReLU())]
        self.layers = nn.Sequential(*stack, nn.Linear(sizes[-1], out))

    def forward(self, trunk: nn.Module, signals: Signals) -> dict[str, Tensor]:
        """Embed clips.

        Shape:
            {"logmel": (B, 1, T, F)} -> {"embedding": (B, E)}, of length one
        """
        features_BD = torch.cat(list(trunk(signals).values()), dim=1)
        return {"embedding": f.normalize(self.layers(features_BD).float(), dim=1)}
