"""The loss of BYOL: what a view predicts is what the slow copy makes of the other view (Niizumi et al. 2021).

Shapes: R rows, two views of each clip; E embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as f

from slowfast_cli.tasks.task import Outputs
from slowfast_cli.types import Batch


@dataclass(frozen=True)
class Byol:
    """The part of a task."""

    def losses(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Both directions' squared distances on the unit sphere, summed, and averaged over the clips."""
        predicted_RE, slow_RE = _unit(outputs)
        cosine_R = (predicted_RE * slow_RE[partners(batch.ids)]).sum(1)
        return {"byol": 2 * (2 - 2 * cosine_R).mean()}

    def scores(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """``told``: 1 where the other view is nearer to what is predicted than any view of another clip, else 0."""
        predicted_RE, slow_RE = _unit(outputs)
        cosine_RR = predicted_RE @ slow_RE.T
        other = partners(batch.ids)
        rows = list(range(len(other)))
        right_R1 = cosine_RR[rows, other][:, None]
        strangers_RR = cosine_RR.clone()
        strangers_RR[rows + rows, rows + other] = -2  # below every cosine
        return {"told": (right_R1 > strangers_RR.amax(1, keepdim=True)).float()}


def _unit(outputs: Outputs) -> tuple[Tensor, Tensor]:
    return f.normalize(outputs["byol_predicted"].float(), dim=1), f.normalize(outputs["byol_slow"].float(), dim=1)


def partners(ids: Sequence[str]) -> list[int]:
    """The row of the other view of each row's clip.

    Args:
        ids: Of the rows; each occurs twice.

    Raises:
        ValueError: One does not.

    >>> partners(["a", "b", "b", "a"])
    [3, 2, 1, 0]
    """
    rows: dict[str, list[int]] = {}
    for row, id_ in enumerate(ids):
        rows.setdefault(id_, []).append(row)
    if odd := [id_ for id_, found in rows.items() if len(found) != 2]:
        raise ValueError(f"batch: {odd[0]} has {len(rows[odd[0]])} rows; right are two views of each clip")
    return [sum(rows[id_]) - row for row, id_ in enumerate(ids)]
