"""Questions with one right answer among others that are drawn from the same clip.

Shapes: B clips, Q questions, S answers there are, N drawn ones.
"""

from __future__ import annotations

import torch
from torch import Tensor


def choices(similarity_BQS: Tensor, right_Q: Tensor, drawn: int) -> Tensor:
    """The similarity of each question to its right answer, and to some wrong ones.

    Args:
        similarity_BQS: Of each question to every answer.
        right_Q: Which one is right.
        drawn: How many wrong ones are drawn, each from all of them.

    Shape:
        (B, Q, S) -> (B, Q, 1 + drawn), the right one first

    Raises:
        ValueError: There is no wrong answer.
    """
    B, Q, S = similarity_BQS.shape
    if S < 2:
        raise ValueError(f"clips: too short, {S} step to choose from; give longer ones")
    right_BQ1 = right_Q[:, None].expand(B, Q, 1)
    return similarity_BQS.gather(2, torch.cat([right_BQ1, wrong(right_BQ1, S, drawn)], dim=2))


def wrong(right_BQ1: Tensor, answers: int, drawn: int) -> Tensor:
    """Numbers of wrong answers, drawn evenly from all but the right one.

    Args:
        right_BQ1: The right ones.
        answers: How many there are.
        drawn: How many are drawn for each question; some may be the same.

    Shape:
        (B, Q, 1) -> (B, Q, drawn)
    """
    drawn_BQN = torch.randint(answers - 1, (*right_BQ1.shape[:2], drawn), device=right_BQ1.device)
    return drawn_BQN + (drawn_BQN >= right_BQ1)
