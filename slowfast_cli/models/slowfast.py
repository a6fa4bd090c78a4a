"""The one network class: it runs any `Net`."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor, nn

from slowfast_cli.models.fusion import TimeConv
from slowfast_cli.models.heads import Heads
from slowfast_cli.models.pathway import every, stage
from slowfast_cli.models.spec import STAGES, Net
from slowfast_cli.nn.blocks import Bottleneck
from slowfast_cli.nn.frozen import freeze
from slowfast_cli.types import Signals


class SlowFast(nn.Module):
    """The trunk: signals in, one pooled feature a pathway out.

    Every intermediate has a name, ``<pathway>_<stage>`` (``fast_res4``), which `maps` gives out.

    Args:
        net: The network's description.
    """

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net
        self.stages = nn.ModuleDict(
            {
                f"{name}_{at}": stage(path, at, net.inputs(name, at))
                for name, path in net.pathways.items()
                for at in STAGES
            }
        )
        self.laterals = nn.ModuleDict(
            {
                f"{key}_{at}": TimeConv(lateral, net.pathways[lateral.src].channels(at), net.step(lateral))
                for key, lateral in net.laterals.items()
                for at in lateral.after
            }
        )
        initialise(self)

    def forward(self, signals: Signals) -> dict[str, Tensor]:
        """Averages of the last stage over time and frequency.

        Shape:
            {"logmel": (B, 1, T, F)} -> {pathway: (B, channels)}
        """
        last, _ = self._run(signals)
        return {name: h.flatten(2).mean(2) for name, h in last.items()}

    def maps(self, signals: Signals, keep: Collection[str]) -> dict[str, Tensor]:
        """The named intermediates, each as its stage gave it, before any lateral joined.

        Shape:
            {"logmel": (B, 1, T, F)} -> {"slow_res3": (B, C, T', F'), ...}

        Raises:
            KeyError: A name that there is not.
        """
        if unknown := set(keep) - set(self.stages):
            raise KeyError(f"no intermediate {', '.join(sorted(unknown))}; there are {', '.join(self.stages)}")
        return self._run(signals, keep)[1]

    def _run(self, signals: Signals, keep: Collection[str] = ()) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        x = {name: every(signals[path.reads], path.stride) for name, path in self.net.pathways.items()}
        kept: dict[str, Tensor] = {}
        for at in STAGES:
            x = {name: self.stages[f"{name}_{at}"](x[name]) for name in x}
            kept |= {f"{name}_{at}": h for name, h in x.items() if f"{name}_{at}" in keep}
            for key, lateral in self.net.laterals.items():
                if at in lateral.after:
                    x[lateral.dst] = self.laterals[f"{key}_{at}"](x[lateral.src], x[lateral.dst])
        return x, kept


class Recogniser(nn.Module):
    """A trunk and its heads: what is trained, saved and used.

    Args:
        net: The network's description.
        classes: Number of classes by label set.
        dropout: On the features, while training.
        freeze_norms: Batch norms that keep their statistics and parameters: none, all-but-first, all.
    """

    def __init__(self, net: Net, classes: dict[str, int], *, dropout: float = 0.0, freeze_norms: str = "none") -> None:
        super().__init__()
        self.trunk = SlowFast(net)
        self.heads = Heads(net.features(), classes, merge=net.merge, dropout=dropout)
        self._frozen = freeze(self.trunk, freeze_norms)

    def forward(self, signals: Signals) -> dict[str, Tensor]:
        """Logits, in training and evaluation alike.

        Shape:
            {"logmel": (B, 1, T, F)} -> {label set: (B, classes)}
        """
        logits: dict[str, Tensor] = self.heads(self.trunk(signals))
        return logits

    def train(self, mode: bool = True) -> Recogniser:
        """As `torch.nn.Module.train`, except that frozen norms stay in eval mode."""
        super().train(mode)
        for name in self._frozen:  # by name: a norm may have been exchanged for a synchronised one
            self.trunk.get_submodule(name).eval()
        return self


def initialise(trunk: nn.Module) -> None:
    """Weights as the reference draws them: He fan-out, norms at one, the last norm of each bottleneck at zero."""
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    for module in trunk.modules():
        if isinstance(module, Bottleneck):
            nn.init.zeros_(module.c_norm.weight)
