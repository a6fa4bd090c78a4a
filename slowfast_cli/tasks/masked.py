"""The loss of masked prediction (Baevski et al. 2020, Sec. 3.2 and 4.2), without a codebook's."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from slowfast_cli.tasks.choices import info_nce, told
from slowfast_cli.tasks.simclr import PRETEXT_TOP1
from slowfast_cli.tasks.task import Outputs
from slowfast_cli.types import Batch


@dataclass(frozen=True, kw_only=True)
class Masked:
    """The part of a task.

    Attributes:
        energy: Weight of the mean square of what the convolutions give; 10 is that of the released Base model.
    """

    energy: float = 10.0

    def losses(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """``masked``: InfoNCE over the masked steps; ``energy``: keeps the convolutions' output small."""
        return {
            "masked": info_nce(outputs["masked_choices"]),
            "energy": self.energy * outputs["masked_energy"].mean(),
        }

    def scores(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """``told``: the share of masked steps that are told from the others (B, 1)."""
        return {PRETEXT_TOP1: told(outputs["masked_choices"])}
