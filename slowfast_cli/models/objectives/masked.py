"""Masked prediction of wav2vec 2.0 (Baevski et al. 2020), with continuous inputs and targets (HARES App. C).

Shapes: B clips, C channels of the convolutions, D width of the transformer, T steps, M masked ones, E embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.models.baselines.wav2vec2 import Wav2Vec2
from slowfast_cli.models.objectives.choices import choices
from slowfast_cli.types import Signals

TEMPERATURE = 0.1
SLOWER = 0.1  # what the gradient of the convolutions is scaled by (Baevski et al. Sec. 4.2)


class Masked(nn.Module):
    """What was at a masked step, among what was at other masked steps of the same clip.

    The right answer is not quantised: it is the projection of what the convolutions gave there.

    Args:
        trunk: The network that learns; its body is `Wav2Vec2`.
        size: Of the embedding in which answers are compared.
        starts: The share of steps at which a masked span starts.
        span: Its steps; spans may overlap.
        wrong: Wrong answers to each question.

    Raises:
        ValueError: The trunk is another one.
    """

    def __init__(
        self, trunk: nn.Module, *, size: int = 256, starts: float = 0.065, span: int = 10, wrong: int = 100
    ) -> None:
        super().__init__()
        body, self.starts, self.span, self.wrong = _body(trunk), starts, span, wrong
        self.mask = nn.Parameter(torch.empty(body.length).uniform_())
        self.answer = nn.Linear(body.length, size)
        self.target = nn.Linear(body.width, size)

    def forward(self, trunk: nn.Module, signals: Signals) -> dict[str, Tensor]:
        """The similarities that decide each question, and how large the output of the convolutions is.

        Args:
            trunk: The network that learns.
            signals: ``samples`` (B, N).

        Returns:
            ``masked_choices`` (B, M, 1 + wrong), cosines over the temperature, the right one first; ``masked_energy``
            (B,).
        """
        body = _body(trunk)
        encoded_BTC = body.encode(signals["samples"])
        encoded_BTC = SLOWER * encoded_BTC + (1 - SLOWER) * encoded_BTC.detach()
        normed_BTC, (B, T, _) = body.normalize(encoded_BTC), encoded_BTC.shape
        places_BM1 = masked(B, T, starts=self.starts, span=self.span, device=encoded_BTC.device)[:, :, None]
        read_BTD = body.project(normed_BTC)
        blank_BMD = self.mask.to(read_BTD.dtype).expand(B, places_BM1.shape[1], -1)
        context_BTD = body.contextualize(read_BTD.scatter(1, places_BM1.expand_as(blank_BMD), blank_BMD))
        answers_BME = self.answer(torch.take_along_dim(context_BTD, places_BM1, dim=1))
        targets_BME = self.target(torch.take_along_dim(normed_BTC, places_BM1, dim=1))
        cosine_BMM = f.normalize(answers_BME.float(), dim=2) @ f.normalize(targets_BME.float(), dim=2).mT
        right_M = torch.arange(places_BM1.shape[1], device=cosine_BMM.device)
        return {
            "masked_choices": choices(cosine_BMM / TEMPERATURE, right_M, self.wrong),
            "masked_energy": encoded_BTC.float().square().mean((1, 2)),
        }


def masked(clips: int, steps: int, *, starts: float, span: int, device: torch.device) -> Tensor:
    """Which steps are masked: spans that start anywhere, and may overlap; as many in each clip as in all others.

    Of a clip that has more masked steps than another, some drawn ones are left unmasked.

    Args:
        clips: How many.
        steps: Of each.
        starts: The share of steps at which a span starts.
        span: Its steps.
        device: Where to draw.

    Shape:
        (clips, M), in order

    Raises:
        ValueError: A clip is no longer than a span.
    """
    if steps <= span:
        raise ValueError(f"clips: {steps} steps; right are more than the {span} of a masked span")
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
        raise ValueError("masked: predicts steps of samples, which only the network wav2vec2 has; give that one")
    return body
