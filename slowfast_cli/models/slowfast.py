"""The one class of trunks of ours: it runs any `Net`, of sound, of video and of both."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from slowfast_cli.models.fusion import join, lateral
from slowfast_cli.models.pathway import PICK, stage
from slowfast_cli.models.spec import STAGES, Net, Stage
from slowfast_cli.nn.blocks import Bottleneck
from slowfast_cli.nn.frozen import still
from slowfast_cli.nn.nonlocal_block import AudioQuery, NonLocal
from slowfast_cli.nn.split_block import SplitConcat, SplitSum
from slowfast_cli.nn.standardize import standardised
from slowfast_cli.types import Signals


class SlowFast(nn.Module):
    """The trunk: signals in, the maps of each pathway's last stage out.

    Every intermediate has a name, which `maps` gives out: ``<pathway>_<stage>`` (``fast_res4``), before laterals join;
    ``<lateral>_<stage>``, what a lateral brings (``a2s_res4``), and ``<lateral>_<stage>_into``, what it is joined to.

    Sounds may be more than frames: those after the first B are embedded beside them (for AV-sync), and go nowhere else.

    Args:
        net: The network's description.

    Attributes:
        recompute: Whether training keeps only what goes from stage to stage, and computes a stage again for its
            gradients: a third more work, for a fraction of the memory.
    """

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net
        self.recompute = False
        self.stages = nn.ModuleDict(
            {
                f"{name}_{at}": stage(path, at, net.inputs(name, at))
                for name, path in net.pathways.items()
                for at in STAGES
            }
        )
        self.laterals = nn.ModuleDict(
            {
                f"{key}_{at}": lateral(net, key, at)
                for key, each in net.laterals.items()
                for at in STAGES
                if at in each.after or at in each.taps
            }
        )
        initialise(self)

    @property
    def intermediates(self) -> tuple[str, ...]:
        """Names that `maps` knows."""
        return (*self.stages, *self.laterals, *(f"{name}_into" for name in self.laterals))

    def forward(self, signals: Signals) -> dict[str, Tensor]:
        """Averages of the last stage over time and all positions.

        Shape:
            {"logmel": (B, 1, T, F), "frames": (B, 3, T, H, W), "has_audio": (B,)} -> {pathway: (B, channels)}; only the
            signals that the network reads, and ``has_audio`` only where some clips have no sound
        """
        last, _ = self.run(signals)
        return {name: h.flatten(2).mean(2) for name, h in last.items()}

    def maps(self, signals: Signals, keep: Collection[str]) -> dict[str, Tensor]:
        """The named intermediates.

        Shape:
            signals as `forward` -> {"slow_res3": (B, C, T', ...), ...}

        Raises:
            KeyError: A name that there is not.
        """
        if unknown := set(keep) - set(self.intermediates):
            raise KeyError(f"no intermediate {', '.join(sorted(unknown))}; there are {', '.join(self.intermediates)}")
        return self.run(signals, keep)[1]

    def run(self, signals: Signals, keep: Collection[str] = ()) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The maps of the last stage by pathway, and the named intermediates."""
        if any(path.reads not in signals for path in self.net.pathways.values()):
            missing, reads = self.net.signals - signals.keys(), ", ".join(sorted(self.net.signals))
            raise KeyError(f"signals: {', '.join(sorted(missing))} missing; this network reads {reads}")
        if self.net.standardise and "logmel" in self.net.signals:
            signals = {**signals, "logmel": standardised(signals["logmel"])}
        x = {name: PICK[path.pick](signals[path.reads], path.stride) for name, path in self.net.pathways.items()}
        clips = min(len(signal) for signal in x.values())
        kept: dict[str, Tensor] = {}
        for at in STAGES:
            x = {name: self._staged(f"{name}_{at}", x[name]) for name in x}
            kept |= {f"{name}_{at}": h for name, h in x.items() if f"{name}_{at}" in keep}
            x = self._joined(x, at, clips, signals.get("has_audio"), keep, kept)
        heard = signals.get("has_audio")
        last = {name: h[:clips] for name, h in x.items()}
        if heard is not None:
            paths = self.net.pathways
            last = {name: _silenced(h, heard) if paths[name].absent == "everywhere" else h for name, h in last.items()}
        return last, kept

    def _staged(self, name: str, x: Tensor) -> Tensor:
        stage: nn.Module = self.stages[name]
        if not (self.recompute and self.training and torch.is_grad_enabled()):
            staged: Tensor = stage(x)
            return staged
        output: Tensor = checkpoint(stage, x, use_reentrant=False, context_fn=lambda: (nullcontext(), still(stage)))
        return output

    def _joined(
        self,
        x: Mapping[str, Tensor],
        at: Stage,
        clips: int,
        heard: Tensor | None,
        keep: Collection[str],
        kept: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """The pathways after the laterals of a stage; what taps give joins only what later taps read."""
        joined, tapped = dict(x), dict(x)
        names = {key: f"{key}_{at}" for key in self.net.laterals}
        taps = any(name in keep or f"{name}_into" in keep for name in names.values())
        for key, each in self.net.laterals.items():
            joins = at in each.after
            if not joins and not (taps and at in each.taps):
                continue
            name, base = names[key], joined if joins else tapped
            brought = self.laterals[name](base[each.src], base[each.dst])
            kept |= {label: h for label, h in ((name, brought), (f"{name}_into", base[each.dst])) if label in keep}
            brought = brought[:clips]
            if heard is not None and self.net.pathways[each.src].absent != "nowhere":
                brought = _silenced(brought, heard)
            tapped[each.dst] = join(base[each.dst], brought, each.join)
            if joins:
                joined[each.dst] = tapped[each.dst]
        return joined


def _silenced(x_BCTx: Tensor, heard_B: Tensor) -> Tensor:
    """Zeros for clips that have no sound; a product, so that every parameter keeps a gradient."""
    return x_BCTx * heard_B.to(x_BCTx).reshape(-1, *(1,) * (x_BCTx.ndim - 1))


def initialise(trunk: nn.Module) -> None:
    """Weights as the reference draws them: He fan-out, norms at one, the last norm of each residual branch at zero.

    Where there are no norms that is its last convolution; a `slowfast_cli.nn.nf.NFBlock` has a gain at zero instead.
    """
    for module in trunk.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in trunk.modules():
        if isinstance(module, Bottleneck | SplitConcat | SplitSum):
            last = module.c if isinstance(module.c_norm, nn.Identity) else module.c_norm
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        if isinstance(module, NonLocal | AudioQuery):
            nn.init.zeros_(module.norm.weight)
