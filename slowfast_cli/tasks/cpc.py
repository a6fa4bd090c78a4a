"""Contrastive predictive coding in both directions of time (van den Oord et al. 2018, Kawakami et al. 2020).

Shapes: B clips, C channels, T steps, Q queries, N choices.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from slowfast_cli.models.baselines.bidir_cpc import BidirCpc
from slowfast_cli.tasks.infonce import draw_choices, info_nce, retrieval_scores
from slowfast_cli.tasks.task import PRETEXT_TOP1, Outputs, TaskSpec
from slowfast_cli.types import Batch, Signals


class CpcObjective(nn.Module):
    """Predict which encoded step comes next, second next, and so on, from the context so far; and backwards in time.

    Negatives are other steps of the same clip, so that neither speaker nor room gives the answer away. The papers that
    HARES refers to give neither their number nor their source: ten from the same clip, as in wav2vec.

    Args:
        trunk: The network that learns; its body is `BidirCpc`.
        steps: Longest prediction, in steps of 10 ms.
        negatives: Negatives of each query.

    Raises:
        ValueError: The trunk has another body.
    """

    def __init__(self, trunk: nn.Module, *, steps: int = 12, negatives: int = 10) -> None:
        super().__init__()
        self.steps, self.negatives = steps, negatives
        width = _body(trunk).width
        self.ahead, self.back = (
            nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(steps)) for _ in range(2)
        )

    def forward(self, trunk: nn.Module, signals: Signals) -> dict[str, Tensor]:
        """Similarities of the choices of each query: ``cpc_choices`` (B, Q, 1 + negatives), the positive first.

        Raises:
            ValueError: A clip is not longer than the longest prediction.
        """
        body = _body(trunk)
        encoded_BCT = body.encode(signals["samples"])
        if encoded_BCT.shape[2] <= self.steps:
            raise ValueError(f"clips: {encoded_BCT.shape[2]} steps of 10 ms, expected more than {self.steps}")
        past_BCT, future_BCT = body.contexts(encoded_BCT)
        ahead = self._choices(self.ahead, past_BCT, encoded_BCT)
        back = self._choices(self.back, future_BCT.flip(2), encoded_BCT.flip(2))
        return {"cpc_choices": torch.cat([*ahead, *back], dim=1)}

    def _choices(self, predictors: nn.ModuleList, context_BCT: Tensor, encoded_BCT: Tensor) -> list[Tensor]:
        T = encoded_BCT.shape[2]
        steps_T = torch.arange(T, device=encoded_BCT.device)
        choices = []
        for step, predictor in enumerate(predictors, 1):
            predicted_BQC = predictor(context_BCT[:, :, : T - step].transpose(1, 2))
            # Scaled like attention: unscaled, the first updates only make all choices equally likely.
            similarity_BQT = predicted_BQC @ encoded_BCT * encoded_BCT.shape[1] ** -0.5
            choices.append(draw_choices(similarity_BQT, steps_T[step:], self.negatives))
        return choices


def _body(trunk: nn.Module) -> BidirCpc:
    body = getattr(trunk, "body", None)
    if not isinstance(body, BidirCpc):
        raise ValueError("cpc: predicts steps of samples, which needs the network bidir-cpc")
    return body


@dataclass(frozen=True)
class Cpc:
    """InfoNCE over all steps, distances and both directions."""

    def losses(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """``cpc``: mean InfoNCE."""
        return {"cpc": info_nce(outputs["cpc_choices"])}

    def scores(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """``pretext_top1`` (B, 1): share of queries answered correctly."""
        return retrieval_scores(outputs, "cpc_choices")


SPEC = TaskSpec(
    part=lambda *_: Cpc(), metric=PRETEXT_TOP1, label_sets={}, objective=lambda trunk, _: CpcObjective(trunk),
    body="bidir-cpc", variant="bidir-cpc",
)  # fmt: skip
