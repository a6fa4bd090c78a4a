"""Audio-visual synchronization: does the audio belong to the frames (AV Sec. 3.5, Korbar et al. 2018).

Negatives are made here too: easy ones are the audio of another clip, hard ones that of the same clip half a second off.

Shapes: B clips, S = 2B sounds, the first B of which belong to the frames, E embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from slowfast_cli.nn.precision import at_least_float32
from slowfast_cli.tasks.task import Outputs, TaskSpec
from slowfast_cli.types import Batch

MARGIN = 0.99  # the largest distance is 1
MIN_VARIANCE, MAX_SIMILARITY = 0.01, 0.99999  # of two sounds that differ
BELONGS = ("belongs", "does not")


def label_set(stage: str) -> str:
    """Name of a stage's comparison among losses and scores."""
    return f"sync_{stage}"


@dataclass(frozen=True, kw_only=True)
class Sync:
    """Contrastive loss at some stages of the network."""

    stages: tuple[str, ...]
    weight: float = 1.0  # of each stage's loss

    def losses(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Contrastive margin loss by stage: pull the positive pair together, push the negative apart.

        Clips whose two sounds do not differ are ignored, and stages whose visual features already contain audio.
        """
        valid_B = distinct(_logmel(batch)).float()
        losses = {}
        for stage in self.stages:
            positive_B, negative_B = _distances(outputs, stage)
            margin_B = positive_B.square() + (MARGIN - negative_B).clamp(min=0).square()
            total = (margin_B * valid_B * outputs[f"valid_{stage}"]).sum()
            losses[label_set(stage)] = self.weight * total / (2 * valid_B.sum() + 1e-8)
        return losses

    def scores(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """How much nearer the positive is: (B, 2), each distance as a share of the sum, swapped.

        Boxes get the scores of their clip. NaN for clips whose sounds do not differ, and for stages whose visual
        features already contain audio.
        """
        valid_B = distinct(_logmel(batch))
        scores = {}
        for stage in self.stages:
            positive_B, negative_B = _distances(outputs, stage)
            nearer_B2 = torch.stack([negative_B, positive_B], dim=1)
            nearer_B2 = nearer_B2 / (positive_B + negative_B).clamp(min=1e-8)[:, None]
            counts_B = valid_B & (outputs[f"valid_{stage}"] > 0)
            nearer_B2 = nearer_B2.where(counts_B[:, None], torch.nan)
            scores[label_set(stage)] = nearer_B2 if batch.boxes is None else nearer_B2[batch.boxes[:, 0].long()]
        return scores


def _logmel(batch: Batch) -> Tensor:
    logmel = batch.inputs.logmel
    if logmel is None:
        raise ValueError("av-sync: the batch has no log-mel")
    return logmel


def _distances(outputs: Outputs, stage: str) -> tuple[Tensor, Tensor]:
    visual_BE, audio_SE = (at_least_float32(outputs[f"{signal}_{stage}"]) for signal in ("video", "audio"))
    positive_BE, negative_BE = audio_SE[: len(visual_BE)], audio_SE[len(visual_BE) :]
    return _length(visual_BE - positive_BE), _length(visual_BE - negative_BE)


def _length(x_BE: Tensor) -> Tensor:
    # The square root has no gradient at zero, where both are equal to the last bit.
    return x_BE.square().sum(1).clamp(min=1e-24).sqrt()


def distinct(logmel_S1TF: Tensor) -> Tensor:
    """Whether the two sounds of each clip differ, and neither is flat: (B,)."""
    flat_S = logmel_S1TF.float().flatten(1)
    positive_B, negative_B = flat_S.tensor_split(2)
    similarity_B = torch.cosine_similarity(positive_B, negative_B)
    varied_B = (positive_B.var(1) > MIN_VARIANCE) & (negative_B.var(1) > MIN_VARIANCE)
    return varied_B & (similarity_B < MAX_SIMILARITY)


def easy_negatives(aligned_B1TF: Tensor, ids: Sequence[str]) -> Tensor:
    """Append one negative per clip: the audio of the next clip from another segment (its own, masked out, if none).

    Shape: (B, 1, T, F) -> (2B, 1, T, F)
    """
    B = len(ids)
    turn = [next((j % B for j in range(i + 1, i + B) if ids[j % B] != ids[i]), i) for i in range(B)]
    return torch.cat([aligned_B1TF, aligned_B1TF[turn]])


def with_negatives(aligned_B1TF: Tensor, shifted_B1TF: Tensor, *, hard: float) -> Tensor:
    """Append one negative per clip.

    Args:
        aligned_B1TF: The audio of each clip.
        shifted_B1TF: Its audio at another time.
        hard: Share of clips whose negative is their own shifted audio; the first ones get that of the next clip.

    Shape: (B, 1, T, F) twice -> (2B, 1, T, F)
    """
    B = len(aligned_B1TF)
    easy = max(int((1 - hard) * B), 1)
    turn = torch.cat([torch.arange(1, easy + 1) % easy, torch.arange(easy, B)]).to(aligned_B1TF.device)
    return torch.cat([aligned_B1TF, shifted_B1TF[turn]])


def append_negatives(batch: Batch, *, hard: float | None) -> Batch:
    """Append a negative per clip to the log-mels, where the batch carries audio of another time, which is dropped.

    ``hard`` as in `with_negatives`; None: easy ones, chosen by the segments' ids.
    """
    logmel, negative = batch.inputs.logmel, batch.inputs.negative
    if logmel is None or negative is None:
        return batch
    pairs = easy_negatives(logmel, batch.ids) if hard is None else with_negatives(logmel, negative, hard=hard)
    return replace(batch, inputs=replace(batch.inputs, logmel=pairs, negative=None))


SPEC = TaskSpec(part=None, metric="sync_res5", label_sets={}, needs="frames")
