"""InfoNCE: pick the positive among negatives drawn from the same clip (van den Oord et al. 2018).

Shapes: B clips, Q queries, S candidates, N choices: the positive first, then the drawn negatives.
"""

import torch
from torch import Tensor
from torch.nn import functional as f

from slowfast_cli.tasks.task import PRETEXT_TOP1, Outputs


def info_nce(choices_BQN: Tensor) -> Tensor:
    """Mean negative log-probability of the positive: (B, Q, N) -> ()."""
    return -f.log_softmax(choices_BQN.float(), dim=2)[:, :, 0].mean()


def accuracy(choices_BQN: Tensor) -> Tensor:
    """Share of each clip's queries for which the positive alone has the highest score: (B, Q, N) -> (B, 1)."""
    return (choices_BQN[:, :, 0] > choices_BQN[:, :, 1:].amax(2)).float().mean(1, keepdim=True)


def retrieval_scores(outputs: Outputs, name: str) -> dict[str, Tensor]:
    """``pretext_top1`` (B, 1), the accuracy of the choices that the objective returned under a name."""
    return {PRETEXT_TOP1: accuracy(outputs[name])}


def draw_choices(similarity_BQS: Tensor, positive_Q: Tensor, negatives: int) -> Tensor:
    """Similarity of each query to its positive and to negatives drawn from the other candidates.

    Shape: (B, Q, S) -> (B, Q, 1 + negatives), the positive first

    Raises:
        ValueError: There is only one candidate.
    """
    B, Q, S = similarity_BQS.shape
    if S < 2:
        raise ValueError(f"clips: too short, {S} step to choose from; give longer ones")
    positive_BQ1 = positive_Q[:, None].expand(B, Q, 1)
    return similarity_BQS.gather(2, torch.cat([positive_BQ1, draw_negatives(positive_BQ1, S, negatives)], dim=2))


def draw_negatives(positive_BQ1: Tensor, candidates: int, negatives: int) -> Tensor:
    """Indices of negatives, drawn evenly and with replacement from all candidates but the positive.

    Shape: (B, Q, 1) -> (B, Q, negatives)
    """
    drawn_BQN = torch.randint(candidates - 1, (*positive_BQ1.shape[:2], negatives), device=positive_BQ1.device)
    return drawn_BQN + (drawn_BQN >= positive_BQ1)
