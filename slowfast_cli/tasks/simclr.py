"""Which of many clips is of the same recording? The contrastive loss of SimCLR (Chen et al. 2020; HARES Sec. 3).

Shapes: B clips of this process, N of all processes, E embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed
from torch.distributed.nn.functional import all_gather
from torch.nn import functional as f

from slowfast_cli.tasks.task import Outputs
from slowfast_cli.types import Batch

PRETEXT_TOP1 = "told"  # the share of questions that were answered right, as a label set of one number
NO_POSITIVE = -1  # in place of a twin
POSITIVE = "twin"  # the number of each clip's twin, among the targets of a batch


@dataclass(frozen=True, kw_only=True)
class SimCLR:
    """The part of a task.

    Attributes:
        temperature: What similarities are divided by.
    """

    temperature: float = 0.1

    def losses(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of finding each clip's twin among the clips of all processes but itself.

        Clips that share an id are twins. A clip without one, whose twin could not be read, is still among those that
        the others are compared with.
        """
        embedding_BE = outputs["embedding"]
        logits_BN, first, paired_B, twin_B = self._compared(embedding_BE, batch)
        logits_BN = _without_itself(logits_BN, first)
        asked_B = torch.where(paired_B > 0, twin_B, NO_POSITIVE)  # or the first of them would be asked for itself
        rows_B = f.cross_entropy(logits_BN, asked_B, ignore_index=NO_POSITIVE, reduction="none")
        return {"simclr": rows_B.sum() / paired_B.sum().clamp(min=1)}

    def scores(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """``told`` (B, 1): 1 where the nearest clip of the batch is the twin."""
        embedding_BE = outputs["embedding"].float()
        near_B = _without_itself(embedding_BE @ embedding_BE.T, 0).argmax(1)
        twin_B, paired_B = positives_of(batch, near_B.device)
        return {PRETEXT_TOP1: ((near_B == twin_B) & (paired_B > 0)).float()[:, None]}

    def _compared(self, embedding_BE: Tensor, batch: Batch) -> tuple[Tensor, int, Tensor, Tensor]:
        """Similarities to all clips, the number of the first of ours among them, who has a twin, and its number."""
        twin_B, paired_B = positives_of(batch, embedding_BE.device)
        everyone_NE, first = gathered(embedding_BE)
        return embedding_BE @ everyone_NE.T / self.temperature, first, paired_B, twin_B + first


def _without_itself(logits_BN: Tensor, first: int) -> Tensor:
    """Nobody is its own neighbour."""
    B, N = logits_BN.shape
    every_N = torch.arange(N, device=logits_BN.device)
    return logits_BN.masked_fill(every_N == every_N[first : first + B, None], float("-inf"))


def positives_of(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor]:
    """The number of each clip's twin, and 1 where there is one, from the targets or, without them, from the ids."""
    twin_B = batch.targets[POSITIVE] if POSITIVE in batch.targets else torch.tensor(positives(batch.ids), device=device)
    return twin_B.clamp(min=0), (twin_B >= 0).float()


def positives(ids: Sequence[str]) -> list[int]:
    """For each clip, which other one has its id; `NO_POSITIVE` where none has.

    >>> positives(["a", "b", "a", "c"])
    [2, -1, 0, -1]
    """
    seen: dict[str, int] = {}
    found = [NO_POSITIVE] * len(ids)
    for number, id_ in enumerate(ids):
        if id_ in seen:
            found[number], found[seen[id_]] = seen[id_], number
        seen[id_] = number
    return found


def gathered(mine_BE: Tensor) -> tuple[Tensor, int]:
    """The rows of all processes, with gradients, and the number of this one's first.

    Processes may have read different numbers of clips: rows of zeros fill up the shorter ones, and are taken out again.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return mine_BE, 0
    rank, world = distributed.get_rank(), distributed.get_world_size()
    counts_W = torch.zeros(world, dtype=torch.long, device=mine_BE.device)
    counts_W[rank] = len(mine_BE)
    distributed.all_reduce(counts_W)
    counts = counts_W.tolist()
    padded = f.pad(mine_BE, (0, 0, 0, max(counts) - len(mine_BE)))
    parts = all_gather(padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)]), sum(counts[:rank])
