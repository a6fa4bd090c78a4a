"""What is learned, as parts that share one pass of the network: losses are summed, scores stand side by side.

Shapes: R rows, one a clip or one a box; C classes of one label set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from slowfast_cli.types import Batch, Prediction

Outputs = Mapping[str, Tensor]


class Part(Protocol):
    """One thing that is learned."""

    def losses(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Scalars by name, each a mean over the batch."""

    def scores(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Probabilities (R, C) by label set."""


@dataclass(frozen=True)
class Task:
    """All that a network is asked at once.

    Attributes:
        parts: What each asks.
    """

    parts: tuple[Part, ...]

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Losses of all parts, by name."""
        return self.losses(_asked(model, batch), batch)

    def losses(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The same of outputs that the network has given."""
        return {name: value for part in self.parts for name, value in part.losses(outputs, batch).items()}

    @torch.inference_mode()
    def predict(self, model: nn.Module, batch: Batch) -> list[Prediction]:
        """Probabilities of each clip, or of each of its boxes, on the CPU."""
        outputs = _asked(model, batch)
        found = {name: value for part in self.parts for name, value in part.scores(outputs, batch).items()}
        scores = {name: rows.cpu().numpy() for name, rows in found.items()}
        if batch.boxes is None:
            return [
                Prediction(id=id_, scores={name: rows[row] for name, rows in scores.items()})
                for row, id_ in enumerate(batch.ids)
            ]
        owners = batch.boxes[:, 0].long().tolist()
        return [
            Prediction(id=batch.ids[owner], scores={name: rows[row] for name, rows in scores.items()}, place=place)
            for row, (owner, place) in enumerate(zip(owners, batch.places, strict=True))
        ]


def _asked(model: nn.Module, batch: Batch) -> Outputs:
    outputs: Outputs = model(batch.signals) if batch.boxes is None else model(batch.signals, batch.boxes)
    return outputs
