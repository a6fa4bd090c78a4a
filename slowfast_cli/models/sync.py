"""Audio-visual synchronization head: embeds audio and video at several stages (AV Sec. 3.5).

Shapes: B clips, S audio clips (the B that match the video, optionally followed by B negatives), E embedding.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as f

from slowfast_cli.models.spec import Net, Stage
from slowfast_cli.nn import init

EMBEDDING = 64


class Sync(nn.Module):
    """A linear projection of audio and one of video per stage, to vectors of length 0.5 (AV Sec. 3.5).

    Raises:
        ValueError: The network has no audio-to-video lateral at one of the stages.
    """

    def __init__(self, net: Net, stages: Sequence[Stage]) -> None:
        super().__init__()
        laterals = net.sync_laterals()
        if unknown := [stage for stage in stages if stage not in laterals]:
            raise ValueError(
                f"sync: no audio-to-video lateral after {', '.join(unknown)}; "
                f"this network has one after {', '.join(laterals) or 'no stage'}"
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
                init.normal_(linear.weight, std=0.01)
                nn.init.zeros_(linear.bias)

    @property
    def map_names(self) -> tuple[str, ...]:
        """Names of the trunk's intermediates that `forward` reads."""
        return tuple(name for key in self.keys.values() for name in (key, f"{key}_into"))

    def forward(self, maps: Mapping[str, Tensor], has_audio_B: Tensor) -> dict[str, Tensor]:
        """Embed audio and video at every stage.

        Args:
            maps: The intermediates named by `map_names`.
            has_audio_B: 1 if the clip's audio is fused into its video features, 0 if it was dropped or missing.

        Returns:
            ``video_<stage>`` (B, E), ``audio_<stage>`` (S, E) and ``valid_<stage>`` (B,): 0 if audio was fused into
            the video features before this stage, which makes the comparison trivial.
        """
        outputs = {}
        for stage, key in self.keys.items():
            outputs[f"video_{stage}"] = _half_unit(self.see[stage](maps[f"{key}_into"].flatten(2).mean(2)))
            outputs[f"audio_{stage}"] = _half_unit(self.hear[stage](maps[key].flatten(2).mean(2)))
            outputs[f"valid_{stage}"] = has_audio_B * 0 + 1 if self.no_audio_upstream[stage] else 1 - has_audio_B
        return outputs


def _half_unit(x_BE: Tensor) -> Tensor:
    return f.normalize(x_BE, dim=1) * 0.5
