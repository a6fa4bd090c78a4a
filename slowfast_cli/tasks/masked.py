"""Masked prediction of wav2vec 2.0 (Baevski et al. 2020), with continuous inputs and targets (HARES App. C).

Shapes: B clips, C channels of the convolutions, D width of the transformer, T steps, M masked steps, E embedding.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.models.baselines.wav2vec2 import Wav2Vec2
from slowfast_cli.tasks.infonce import draw_choices, info_nce, retrieval_scores
from slowfast_cli.tasks.task import PRETEXT_TOP1, Outputs, TaskSpec
from slowfast_cli.types import Batch, Signals

TEMPERATURE = 0.1
CONV_GRADIENT = 0.1  # scale of the gradient into the convolutions (Baevski et al. Sec. 4.2)


class MaskedObjective(nn.Module):
    """Identify the content of a masked step among the contents of other masked steps of the same clip.

    Targets are not quantized: they are projections of the convolutions' output.

    Args:
        trunk: The network that learns; its body is `Wav2Vec2`.
        size: Size of the embedding in which targets are compared.
        starts: Share of steps at which a masked span starts.
        span: Length of a span, in steps; spans may overlap.
        negatives: Negatives of each query.

    Raises:
        ValueError: The trunk has another body.
    """

    def __init__(
        self, trunk: nn.Module, *, size: int = 256, starts: float = 0.065, span: int = 10, negatives: int = 100
    ) -> None:
        super().__init__()
        body, self.starts, self.span, self.negatives = _body(trunk), starts, span, negatives
        self.mask = nn.Parameter(torch.empty(body.length).uniform_())
        self.answer = nn.Linear(body.length, size)
        self.target = nn.Linear(body.width, size)

    def forward(self, trunk: nn.Module, signals: Signals) -> dict[str, Tensor]:
        """Similarities of the choices of each masked step, and the energy of the convolutions' output.

        Args:
            trunk: The network that learns.
            signals: ``samples`` (B, samples).

        Returns:
            ``masked_choices`` (B, M, 1 + negatives), cosine over temperature, the positive first; ``masked_energy``
            (B,).
        """
        body = _body(trunk)
        encoded_BTC = body.encode(signals["samples"])
        encoded_BTC = CONV_GRADIENT * encoded_BTC + (1 - CONV_GRADIENT) * encoded_BTC.detach()
        normed_BTC, (B, T, _) = body.normalize(encoded_BTC), encoded_BTC.shape
        steps_BM1 = draw_mask(B, T, starts=self.starts, span=self.span, device=encoded_BTC.device)[:, :, None]
        input_BTD = body.project(normed_BTC)
        mask_BMD = self.mask.to(input_BTD.dtype).expand(B, steps_BM1.shape[1], -1)
        context_BTD = body.contextualize(input_BTD.scatter(1, steps_BM1.expand_as(mask_BMD), mask_BMD))
        answers_BME = self.answer(torch.take_along_dim(context_BTD, steps_BM1, dim=1))
        targets_BME = self.target(torch.take_along_dim(normed_BTC, steps_BM1, dim=1))
        cosine_BMM = f.normalize(answers_BME.float(), dim=2) @ f.normalize(targets_BME.float(), dim=2).mT
        positive_M = torch.arange(steps_BM1.shape[1], device=cosine_BMM.device)
        return {
            "masked_choices": draw_choices(cosine_BMM / TEMPERATURE, positive_M, self.negatives),
            "masked_energy": encoded_BTC.float().square().mean((1, 2)),
        }


def draw_mask(clips: int, steps: int, *, starts: float, span: int, device: torch.device) -> Tensor:
    """Draw the masked steps: spans that may overlap, the same number of steps in every clip.

    Surplus steps of a clip are unmasked at random.

    Args:
        clips: Number of clips.
        steps: Steps of each clip.
        starts: Share of steps at which a span starts.
        span: Length of a span, in steps.
        device: Where to draw.

    Shape: (clips, M), sorted

    Raises:
        ValueError: A clip is not longer than a span.
    """
    if steps <= span:
        raise ValueError(f"clips: {steps} steps, expected more than the {span} of a masked span")
    number = min(max(1, round(starts * steps)), steps - span + 1)
    starts_BN = torch.rand(clips, steps - span + 1, device=device).topk(number, dim=1).indices
    covered_BNS = starts_BN[:, :, None] + torch.arange(span, device=device)
    keys_BT = torch.zeros(clips, steps, device=device)
    keys_BT.scatter_(1, covered_BNS.flatten(1), 1.0)
    least = int(keys_BT.sum(1).min())
    keys_BT *= 1 + torch.rand(clips, steps, device=device)
    return keys_BT.topk(least, dim=1).indices.sort(dim=1).values


def _body(trunk: nn.Module) -> Wav2Vec2:
    body = getattr(trunk, "body", None)
    if not isinstance(body, Wav2Vec2):
        raise ValueError("masked: predicts steps of samples, which needs the network wav2vec2")
    return body


@dataclass(frozen=True, kw_only=True)
class Masked:
    """InfoNCE over the masked steps, and a penalty on the energy of the features (Sec. 3.2 and 4.2), no codebook."""

    energy: float = 10.0  # weight of the penalty, as in the released Base model

    def losses(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """``masked``: InfoNCE; ``energy``: weighted mean square of the convolutions' output."""
        return {"masked": info_nce(outputs["masked_choices"]), "energy": self.energy * outputs["masked_energy"].mean()}

    def scores(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """``pretext_top1`` (B, 1): share of masked steps identified."""
        return retrieval_scores(outputs, "masked_choices")


SPEC = TaskSpec(
    part=lambda *_: Masked(), metric=PRETEXT_TOP1, label_sets={}, objective=lambda trunk, _: MaskedObjective(trunk),
    body="wav2vec2", variant="wav2vec2-base",
)  # fmt: skip
