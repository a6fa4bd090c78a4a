"""One class out of each label set: softmax and cross-entropy.

Shapes: B batch, P positions that are classified separately, C classes.
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as f

from slowfast_cli.nn.precision import at_least_float32
from slowfast_cli.tasks.task import Outputs, TaskSpec
from slowfast_cli.types import Batch


@dataclass(frozen=True, kw_only=True)
class Classify:
    """Cross-entropy over each label set."""

    labels: tuple[str, ...]
    label_smoothing: float = 0.0

    def losses(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Mean cross-entropy over the batch and the positions, by label set."""
        losses = {}
        for labels in self.labels:
            logits_BPC, target = at_least_float32(outputs[labels]), batch.targets[labels]
            if logits_BPC.ndim == 3:
                target = target.repeat_interleave(logits_BPC.shape[1], dim=0)
                logits_BPC = logits_BPC.flatten(0, 1)
            losses[labels] = f.cross_entropy(logits_BPC, target, label_smoothing=self.label_smoothing)
        return losses

    def scores(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Softmax, averaged over positions: (B, C)."""
        scores = {labels: outputs[labels].float().softmax(-1) for labels in self.labels}
        return {labels: rows.mean(1) if rows.ndim == 3 else rows for labels, rows in scores.items()}


SPEC = TaskSpec(part=lambda labels, smoothing, _: Classify(labels=tuple(labels), label_smoothing=smoothing))
