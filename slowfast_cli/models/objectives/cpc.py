"""Contrastive predictive coding in both directions of time (van den Oord et al. 2018, Kawakami et al. 2020).

Shapes: B clips, C channels, T steps, Q questions, N drawn wrong answers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from slowfast_cli.models.baselines.bidir_cpc import BidirCpc
from slowfast_cli.models.objectives.choices import choices
from slowfast_cli.types import Signals


class Cpc(nn.Module):
    """From what has been heard up to a step, which of some steps comes next, second, and so on; and backwards.

    The wrong ones are other steps of the same clip, so that neither speaker nor room tells them apart. How many of them
    there are, and from where, is not in the papers that HARES refers to: ten from the same clip, as in wav2vec.

    Args:
        trunk: The network that learns; its body is `BidirCpc`.
        steps: How far is predicted, in steps of 10 ms.
        wrong: Wrong answers to each question.

    Raises:
        ValueError: The trunk is another one.
    """

    def __init__(self, trunk: nn.Module, *, steps: int = 12, wrong: int = 10) -> None:
        super().__init__()
        self.steps, self.wrong = steps, wrong
        width = _body(trunk).width
        self.ahead, self.back = (
            nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(steps)) for _ in range(2)
        )

    def forward(self, trunk: nn.Module, signals: Signals) -> dict[str, Tensor]:
        """The similarities that decide each question.

        Args:
            trunk: The network that learns.
            signals: ``samples`` (B, N).

        Returns:
            ``cpc_choices`` (B, Q, 1 + N), the right one first.

        Raises:
            ValueError: A clip is not longer than what is predicted.
        """
        body = _body(trunk)
        encoded_BCT = body.encode(signals["samples"])
        if encoded_BCT.shape[2] <= self.steps:
            raise ValueError(f"clips: {encoded_BCT.shape[2]} steps of 10 ms; right are more than {self.steps}")
        past_BCT, future_BCT = body.contexts(encoded_BCT)
        ahead = self._asked(self.ahead, past_BCT, encoded_BCT)
        back = self._asked(self.back, future_BCT.flip(2), encoded_BCT.flip(2))
        return {"cpc_choices": torch.cat([*ahead, *back], dim=1)}

    def _asked(self, predictors: nn.ModuleList, context_BCT: Tensor, encoded_BCT: Tensor) -> list[Tensor]:
        T = encoded_BCT.shape[2]
        steps_T = torch.arange(T, device=encoded_BCT.device)
        asked = []
        for step, predictor in enumerate(predictors, 1):
            predicted_BQC = predictor(context_BCT[:, :, : T - step].transpose(1, 2))
            # Scaled like attention: unscaled, the first steps do no more than make all choices equally likely.
            similarity_BQT = predicted_BQC @ encoded_BCT * encoded_BCT.shape[1] ** -0.5
            asked.append(choices(similarity_BQT, steps_T[step:], self.wrong))
        return asked


def _body(trunk: nn.Module) -> BidirCpc:
    body = getattr(trunk, "body", None)
    if not isinstance(body, BidirCpc):
        raise ValueError("cpc: predicts steps of samples, which only the network bidir-cpc has; give that one")
    return body
