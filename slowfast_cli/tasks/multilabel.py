"""Any number of classes at once, of a clip or of a box in it: sigmoid and binary cross-entropy (AV App. A.6, A.7).

Shapes: R clips or boxes, P positions that are classified separately, C classes.
"""

from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn import functional as f

from slowfast_cli.nn.precision import at_least_float32
from slowfast_cli.tasks.task import Outputs, TaskSpec
from slowfast_cli.types import Batch


@dataclass(frozen=True, kw_only=True)
class MultiLabel:
    """Binary cross-entropy over each label set."""

    labels: tuple[str, ...]

    def losses(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Mean binary cross-entropy over clips or boxes, positions and classes; zero without boxes."""
        losses = {}
        for labels in self.labels:
            logits = at_least_float32(outputs[labels])
            target_RC = batch.targets[labels].to(logits.dtype)
            if logits.ndim == 3:
                target_RC = target_RC[:, None].expand_as(logits)
            total = f.binary_cross_entropy_with_logits(logits, target_RC, reduction="sum")
            losses[labels] = total / max(logits.numel(), 1)
        return losses

    def scores(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Sigmoid, averaged over positions: (R, C)."""
        scores = {labels: outputs[labels].float().sigmoid() for labels in self.labels}
        return {labels: rows.mean(1) if rows.ndim == 3 else rows for labels, rows in scores.items()}


SPEC = TaskSpec(part=lambda labels, *_: MultiLabel(labels=tuple(labels)), metric="map", multi_label=True)
DETECT = replace(SPEC, boxes=True, needs="frames")
