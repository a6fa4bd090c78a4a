"""Whether sound and pictures belong together: projections of both, stage by stage (AV Sec. 3.5).

Shapes: B clips, S sounds (the B that belong to them, then maybe B that do not), C channels, E embedding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.models.spec import Net, Stage

EMBEDDING = 64


class Sync(nn.Module):
    """One pair of linear projections a stage, to vectors of length one half.

    Args:
        net: Has a lateral that brings sound to pictures at each of the stages.
        stages: Where it is compared.

    Raises:
        ValueError: No sound is brought there.
    """

    def __init__(self, net: Net, stages: Sequence[Stage]) -> None:
        super().__init__()
        laterals = net.sync()
        if unknown := [stage for stage in stages if stage not in laterals]:
            raise ValueError(
                f"sync: no lateral brings sound to pictures after {', '.join(unknown)}; "
                f"there is one after {', '.join(laterals) or 'no stage'}"
            )
        self.keys = {stage: f"{laterals[stage]}_{stage}" for stage in stages}
        self.no_audio_upstream = {stage: net.no_audio_upstream(stage) for stage in stages}
        widths = {
            stage: net.width(net.laterals[laterals[stage]].dst, stage, before=laterals[stage]) for stage in stages
        }
        self.see = nn.ModuleDict({stage: nn.Linear(widths[stage], EMBEDDING) for stage in stages})
        self.hear = nn.ModuleDict({stage: nn.Linear(widths[stage], EMBEDDING) for stage in stages})
        for linear in self.modules():
            if isinstance(linear, nn.Linear):
                nn.init.normal_(linear.weight, std=0.01)
                nn.init.zeros_(linear.bias)

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the trunk's intermediates that `forward` wants."""
        return tuple(name for key in self.keys.values() for name in (key, f"{key}_into"))

    def forward(self, maps: Mapping[str, Tensor], heard_B: Tensor) -> dict[str, Tensor]:
        """Embed.

        Args:
            maps: Of `reads`.
            heard_B: 0 for clips whose sound the pictures have not heard on their way.

        Returns:
            ``seen_<stage>`` (B, E), ``heard_<stage>`` (S, E) and ``counts_<stage>`` (B,): 0 where the pictures have
            heard their sound before this stage, so that telling is no art.
        """
        found = {}
        for stage, key in self.keys.items():
            found[f"seen_{stage}"] = _unit(self.see[stage](maps[f"{key}_into"].flatten(2).mean(2)))
            found[f"heard_{stage}"] = _unit(self.hear[stage](maps[key].flatten(2).mean(2)))
            found[f"counts_{stage}"] = heard_B * 0 + 1 if self.no_audio_upstream[stage] else 1 - heard_B
        return found


def _unit(x_BE: Tensor) -> Tensor:
    return f.normalize(x_BE, dim=1) * 0.5
