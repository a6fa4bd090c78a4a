"""The loss of contrastive predictive coding, InfoNCE (van den Oord et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from slowfast_cli.tasks.choices import info_nce, told
from slowfast_cli.tasks.simclr import PRETEXT_TOP1
from slowfast_cli.tasks.task import Outputs
from slowfast_cli.types import Batch


@dataclass(frozen=True)
class Cpc:
    """The part of a task."""

    def losses(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """``cpc``: InfoNCE, the mean over all steps, distances and both directions."""
        return {"cpc": info_nce(outputs["cpc_choices"])}

    def scores(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """``told``: the share of questions answered right (B, 1)."""
        return {PRETEXT_TOP1: told(outputs["cpc_choices"])}
