"""Audio-visual synchronisation: does this sound belong to these pictures? AV Sec. 3.5, Korbar et al. 2018.

Which sounds do not belong is decided here too: those of other clips are easy to tell, those of the same clip half a
second off are hard.

Shapes: B clips, S = 2B sounds, the first B of which belong, E embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from slowfast_cli.tasks.task import Outputs
from slowfast_cli.types import Batch

MARGIN = 0.99  # of a largest distance of 1
LEAST_VARIANCE, MOST_ALIKE = 0.01, 0.99999  # of sounds that can be told apart
BELONGS = ("belongs", "does not")


def label_set(stage: str) -> str:
    """What the comparison at a stage is called among losses and scores."""
    return f"sync_{stage}"


@dataclass(frozen=True, kw_only=True)
class Sync:
    """The part of a task.

    Attributes:
        stages: Where sound and pictures are compared.
        weight: Of each stage's loss.
    """

    stages: tuple[str, ...]
    weight: float = 1.0

    def losses(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Contrastive margin loss by stage: the pair that belongs is drawn together, the other pushed apart.

        Clips whose two sounds cannot be told apart do not count, nor stages whose pictures have heard the sound.
        """
        valid_B = distinct(batch.signals["logmel"]).float()
        found = {}
        for stage in self.stages:
            near_B, far_B = _distances(outputs, stage)
            apart_B = near_B.square() + (MARGIN - far_B).clamp(min=0).square()
            total = (apart_B * valid_B * outputs[f"valid_{stage}"]).sum()
            found[label_set(stage)] = self.weight * total / (2 * valid_B.sum() + 1e-8)
        return found

    def scores(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """How much nearer the sound that belongs is: (B, 2), the share of either distance that the other has.

        Where boxes are asked about, each has that of its clip. NaN for clips whose sounds cannot be told apart, and
        where the pictures have heard the sound.
        """
        valid_B = distinct(batch.signals["logmel"])
        found = {}
        for stage in self.stages:
            near_B, far_B = _distances(outputs, stage)
            nearer_B2 = torch.stack([far_B, near_B], dim=1) / (near_B + far_B).clamp(min=1e-8)[:, None]
            counts_B = valid_B & (outputs[f"valid_{stage}"] > 0)
            nearer_B2 = nearer_B2.where(counts_B[:, None], torch.nan)
            found[label_set(stage)] = nearer_B2 if batch.boxes is None else nearer_B2[batch.boxes[:, 0].long()]
        return found


def _distances(outputs: Outputs, stage: str) -> tuple[Tensor, Tensor]:
    seen_BE, heard_SE = outputs[f"video_{stage}"].float(), outputs[f"audio_{stage}"].float()
    belongs_BE, other_BE = heard_SE[: len(seen_BE)], heard_SE[len(seen_BE) :]
    return _length(seen_BE - belongs_BE), _length(seen_BE - other_BE)


def _length(x_BE: Tensor) -> Tensor:
    # The root has no gradient at zero, where the two are the same to the last bit.
    return x_BE.square().sum(1).clamp(min=1e-24).sqrt()


def distinct(logmel_S1TF: Tensor) -> Tensor:
    """Which clips have two sounds that can be told apart: neither flat, and not the same (B,)."""
    pairs_S = logmel_S1TF.float().flatten(1)
    aligned_B, other_B = pairs_S.tensor_split(2)
    alike_B = torch.cosine_similarity(aligned_B, other_B)
    return (aligned_B.var(1) > LEAST_VARIANCE) & (other_B.var(1) > LEAST_VARIANCE) & (alike_B < MOST_ALIKE)


def easy_negatives(aligned_B1TF: Tensor, ids: Sequence[str]) -> Tensor:
    """Put behind each sound that of the next clip of another segment; its own, which does not count, where none is.

    Shape:
        (B, 1, T, F) -> (2B, 1, T, F)
    """
    B = len(ids)
    turn = [next((j % B for j in range(i + 1, i + B) if ids[j % B] != ids[i]), i) for i in range(B)]
    return torch.cat([aligned_B1TF, aligned_B1TF[turn]])


def with_negatives(aligned_B1TF: Tensor, shifted_B1TF: Tensor, *, hard: float) -> Tensor:
    """Put a sound that does not belong behind each that does.

    Args:
        aligned_B1TF: The sound of each clip.
        shifted_B1TF: Another stretch of its sound.
        hard: Share of clips that keep their own other stretch; the first ones get that of the next clip instead.

    Shape:
        (B, 1, T, F) twice -> (2B, 1, T, F)
    """
    B = len(aligned_B1TF)
    easy = max(int((1 - hard) * B), 1)
    turn = torch.cat([torch.arange(1, easy + 1) % easy, torch.arange(easy, B)]).to(aligned_B1TF.device)
    return torch.cat([aligned_B1TF, shifted_B1TF[turn]])
