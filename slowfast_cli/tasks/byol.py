"""The loss of BYOL: what a view predicts is what the slow copy makes of the other view (Niizumi et al. 2021).

Shapes: R rows, two views of each clip; E embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as f

from slowfast_cli.tasks.simclr import PRETEXT_TOP1, positives_of
from slowfast_cli.tasks.task import Outputs
from slowfast_cli.types import Batch


@dataclass(frozen=True)
class Byol:
    """The part of a task. Rows that share an id are views of one clip; a row without such another does not count."""

    def losses(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Both directions' squared distances on the unit sphere, summed, and averaged over the clips."""
        predicted_RE, slow_RE = _unit(outputs)
        twin_R, paired_R = positives_of(batch, slow_RE.device)
        apart_R = 2 - 2 * (predicted_RE * slow_RE[twin_R]).sum(1)
        return {"byol": 2 * (apart_R * paired_R).sum() / paired_R.sum().clamp(min=1)}

    def scores(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """``told`` (R, 1): 1 where the other view is nearer to what is predicted than any view of another clip."""
        predicted_RE, slow_RE = _unit(outputs)
        twin_R, paired_R = positives_of(batch, slow_RE.device)
        cosine_RR = (predicted_RE @ slow_RE.T).fill_diagonal_(-2)  # below every cosine
        return {PRETEXT_TOP1: ((cosine_RR.argmax(1) == twin_R) & (paired_R > 0)).float()[:, None]}


def _unit(outputs: Outputs) -> tuple[Tensor, Tensor]:
    return f.normalize(outputs["byol_predicted"].float(), dim=1), f.normalize(outputs["byol_slow"].float(), dim=1)
