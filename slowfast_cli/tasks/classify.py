"""One class out of each label set: softmax, cross-entropy, the losses of several sets summed by whoever trains."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.types import Batch, Prediction


@dataclass(frozen=True)
class Classify:
    """The task.

    Attributes:
        label_smoothing: Share of a target spread over all classes.
    """

    label_smoothing: float = 0.0

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Mean cross-entropy over the batch, by label set."""
        logits = model(batch.signals)
        return {
            labels: f.cross_entropy(logits[labels].float(), target, label_smoothing=self.label_smoothing)
            for labels, target in batch.targets.items()
        }

    @torch.inference_mode()
    def predict(self, model: nn.Module, batch: Batch) -> list[Prediction]:
        """Probabilities of each row, on the CPU."""
        scores = {labels: logits.float().softmax(1).cpu().numpy() for labels, logits in model(batch.signals).items()}
        return [
            Prediction(id=id_, scores={labels: rows[row] for labels, rows in scores.items()})
            for row, id_ in enumerate(batch.ids)
        ]
