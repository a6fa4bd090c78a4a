"""Questions whose right answer stands first among the choices.

Shapes: B clips, Q questions, N choices.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as f


def info_nce(choices_BQN: Tensor) -> Tensor:
    """The mean of -log of the right answer's probability: InfoNCE (van den Oord et al. 2018).

    Shape:
        (B, Q, N) -> ()
    """
    return -f.log_softmax(choices_BQN.float(), dim=2)[:, :, 0].mean()


def told(choices_BQN: Tensor) -> Tensor:
    """The share of each clip's questions whose right answer is alone at the top.

    Shape:
        (B, Q, N) -> (B, 1)
    """
    return (choices_BQN[:, :, 0] > choices_BQN[:, :, 1:].amax(2)).float().mean(1, keepdim=True)
