"""SimCLR: find the other clip of the same recording among all clips of the batch (Chen et al. 2020; HARES Sec. 3).

Shapes: B clips of this process, N of all processes, D features, E embedding.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_gather
from torch.nn import functional as f

from slowfast_cli.settings import Pretext
from slowfast_cli.tasks.task import PRETEXT_TOP1, Outputs, TaskSpec
from slowfast_cli.types import Batch, Signals

NO_POSITIVE = -1
POSITIVE = "positive"  # index of each clip's positive, among the targets of a batch


class Projector(nn.Module):
    """MLP of ``layers`` hidden layers from features to embeddings of unit length (HARES Sec. 3 and App. C)."""

    def __init__(self, features: int, *, hidden: int, layers: int, out: int) -> None:
        super().__init__()
        sizes = [features, *[hidden] * layers]
        stack = [module for a, b in itertools.pairwise(sizes) for module in (nn.Linear(a, b), nn.ReLU())]
        self.layers = nn.Sequential(*stack, nn.Linear(sizes[-1], out))

    def forward(self, trunk: nn.Module, signals: Signals) -> dict[str, Tensor]:
        """Embed clips: {"logmel": (B, 1, T, F)} -> {"embedding": (B, E)}, unit length."""
        features_BD = torch.cat(list(trunk(signals).values()), dim=1)
        return {"embedding": f.normalize(self.layers(features_BD).float(), dim=1)}


def _projector(trunk: nn.Module, settings: Pretext) -> Projector:
    length = sum(trunk.net.features().values())  # type: ignore[operator, union-attr]
    return Projector(length, hidden=settings.hidden, layers=settings.layers, out=settings.out)


@dataclass(frozen=True, kw_only=True)
class SimCLR:
    """NT-Xent loss over the clips of all processes."""

    temperature: float = 0.1  # divides cosine similarities

    def losses(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of each clip's positive among the clips of all processes but itself.

        Clips that share an id are positives of each other. A clip whose positive could not be read has no loss of its
        own and stays a negative of the others.
        """
        embedding_BE = outputs["embedding"]
        positive_B, valid_B = positives_of(batch, embedding_BE.device)
        all_NE, first = gathered(embedding_BE)
        logits_BN = _mask_self(embedding_BE @ all_NE.T / self.temperature, first)
        target_B = torch.where(valid_B > 0, positive_B + first, NO_POSITIVE)
        rows_B = f.cross_entropy(logits_BN, target_B, ignore_index=NO_POSITIVE, reduction="none")
        return {"simclr": rows_B.sum() / valid_B.sum().clamp(min=1)}

    def scores(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """``pretext_top1`` (B, 1): 1 where the nearest clip of the batch is the positive."""
        embedding_BE = outputs["embedding"].float()
        nearest_B = _mask_self(embedding_BE @ embedding_BE.T, 0).argmax(1)
        positive_B, valid_B = positives_of(batch, nearest_B.device)
        return {PRETEXT_TOP1: ((nearest_B == positive_B) & (valid_B > 0)).float()[:, None]}


def _mask_self(logits_BN: Tensor, first: int) -> Tensor:
    """Exclude the similarity of each clip to itself."""
    B, N = logits_BN.shape
    index_N = torch.arange(N, device=logits_BN.device)
    return logits_BN.masked_fill(index_N == index_N[first : first + B, None], float("-inf"))


def mark_positives(batch: Batch) -> Batch:
    """Copy the index of each clip's positive to the device before the step, which then needs no host sync."""
    index = torch.tensor(positives(batch.ids), device="cpu", pin_memory=batch.device.type == "cuda")
    return replace(batch, targets={**batch.targets, POSITIVE: index.to(batch.device, non_blocking=True)})


def positives_of(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor]:
    """Index of each clip's positive, and 1.0 where there is one: from the targets, else from the ids; (B,) each."""
    index_B = (
        batch.targets[POSITIVE] if POSITIVE in batch.targets else torch.tensor(positives(batch.ids), device=device)
    )
    return index_B.clamp(min=0), (index_B >= 0).float()


def positives(ids: Sequence[str]) -> list[int]:
    """Index of the other clip with the same id, or `NO_POSITIVE`.

    >>> positives(["a", "b", "a", "c"])
    [2, -1, 0, -1]
    """
    last: dict[str, int] = {}
    index = [NO_POSITIVE] * len(ids)
    for number, id_ in enumerate(ids):
        if id_ in last:
            index[number], index[last[id_]] = last[id_], number
        last[id_] = number
    return index


def gathered(local_BE: Tensor) -> tuple[Tensor, int]:
    """Rows of all processes, with gradients, and the index of this process's first row.

    Processes may hold different numbers of clips: shorter ones are padded for the exchange, and trimmed afterwards.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return local_BE, 0
    rank, world = distributed.get_rank(), distributed.get_world_size()
    counts_W = torch.zeros(world, dtype=torch.long, device=local_BE.device)
    counts_W[rank] = len(local_BE)
    distributed.all_reduce(counts_W)
    counts = counts_W.tolist()
    parts = all_gather(f.pad(local_BE, (0, 0, 0, max(counts) - len(local_BE))))
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)]), sum(counts[:rank])


SPEC = TaskSpec(
    part=lambda labels, smoothing, pretext: SimCLR(temperature=pretext.temperature), metric=PRETEXT_TOP1, label_sets={},
    crops=2, views_per_segment=2, objective=_projector, transform=mark_positives, min_batch=2, whole_batch_loss=True,
)  # fmt: skip
