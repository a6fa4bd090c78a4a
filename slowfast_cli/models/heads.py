"""Linear classifiers on the pooled features, one for each label set."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Heads(nn.Module):
    """Features to logits.

    Args:
        features: Length of each pathway's feature, in order.
        classes: Number of classes by label set.
        merge: ``concat``: one classifier reads all features; ``average``: one each, their logits averaged.
        dropout: On the features, while training.
    """

    def __init__(self, features: Mapping[str, int], classes: Mapping[str, int], *, merge: str, dropout: float) -> None:
        super().__init__()
        self.read = [list(features)] if merge == "concat" else [[name] for name in features]
        self.dropout = nn.Dropout(dropout)
        self.linears = nn.ModuleDict(
            {
                labels: nn.ModuleList([nn.Linear(sum(features[name] for name in names), size) for names in self.read])
                for labels, size in classes.items()
            }
        )
        for linear in self.modules():
            if isinstance(linear, nn.Linear):
                nn.init.normal_(linear.weight, std=0.01)
                nn.init.zeros_(linear.bias)

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Shape: {pathway: (B, channels)} -> {label set: (B, classes)}."""
        joined = [self.dropout(torch.cat([features[name] for name in names], dim=1)) for names in self.read]
        return {
            labels: torch.stack([linear(x) for linear, x in zip(linears, joined, strict=True)]).mean(0)  # type: ignore[call-overload]
            for labels, linears in self.linears.items()
        }
