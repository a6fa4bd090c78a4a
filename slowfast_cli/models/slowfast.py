"""The trunk of every SlowFast network: runs any `Net`, for audio, video or both."""

from collections.abc import Collection, Mapping
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from slowfast_cli.models.fusion import build_lateral, fuse
from slowfast_cli.models.pathway import SUBSAMPLE, build_stage
from slowfast_cli.models.spec import STAGES, Net, Stage
from slowfast_cli.nn import init
from slowfast_cli.nn.blocks import Bottleneck
from slowfast_cli.nn.frozen import frozen_statistics
from slowfast_cli.nn.nonlocal_block import AudioQuery, NonLocal
from slowfast_cli.nn.split_block import SplitConcat, SplitSum
from slowfast_cli.nn.standardize import standardize
from slowfast_cli.types import Signals


class SlowFast(nn.Module):
    """SlowFast trunk: input signals to the last feature map of each pathway.

    Intermediates are named ``<pathway>_<stage>`` (``fast_res4``) for a pathway before fusion, ``<lateral>_<stage>``
    (``a2s_res4``) for a lateral's output, and ``<lateral>_<stage>_into`` for the features it is fused with.

    The batch of log-mels may be larger than that of frames: clips after the first B (AV-sync negatives) only run
    through the audio pathway and the laterals, and are fused with nothing.
    """

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net
        # Keep only the stages' inputs for backward and recompute the stages: a third more compute, far less memory.
        self.activation_checkpointing = False
        self.stages = nn.ModuleDict(
            {
                f"{name}_{at}": build_stage(path, at, net.in_channels(name, at))
                for name, path in net.pathways.items()
                for at in STAGES
            }
        )
        self.laterals = nn.ModuleDict(
            {
                f"{key}_{at}": build_lateral(net, key, at)
                for key, lateral in net.laterals.items()
                for at in STAGES
                if at in lateral.after or at in lateral.taps
            }
        )
        init_weights(self)

    @property
    def intermediates(self) -> tuple[str, ...]:
        """Names of all intermediates that `maps` can return."""
        return (*self.stages, *self.laterals, *(f"{name}_into" for name in self.laterals))

    def forward(self, signals: Signals) -> dict[str, Tensor]:
        """Average the last maps over time and all positions.

        Shape:
            {"logmel": (B, 1, T, F), "frames": (B, 3, T, H, W), "has_audio": (B,)} -> {pathway: (B, channels)}; only
            the signals that the network reads, ``has_audio`` only if some clips have no audio
        """
        last, _ = self.run(signals)
        return {name: map_BCTx.flatten(2).mean(2) for name, map_BCTx in last.items()}

    def maps(self, signals: Signals, keep: Collection[str]) -> dict[str, Tensor]:
        """Return the named intermediates.

        Shape:
            signals as in `forward` -> {"slow_res3": (B, C, T', ...), ...}

        Raises:
            KeyError: The network has no intermediate of that name.
        """
        if unknown := set(keep) - set(self.intermediates):
            raise KeyError(f"no intermediate {', '.join(sorted(unknown))}; there are {', '.join(self.intermediates)}")
        return self.run(signals, keep)[1]

    def run(self, signals: Signals, keep: Collection[str] = ()) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the last maps by pathway, and the intermediates named in ``keep``."""
        if any(path.reads not in signals for path in self.net.pathways.values()):
            missing, reads = self.net.signals - signals.keys(), ", ".join(sorted(self.net.signals))
            raise KeyError(f"signals: {', '.join(sorted(missing))} missing; this network reads {reads}")
        if self.net.standardise and "logmel" in self.net.signals:
            signals = {**signals, "logmel": standardize(signals["logmel"])}
        x = {name: SUBSAMPLE[path.pick](signals[path.reads], path.stride) for name, path in self.net.pathways.items()}
        clips = min(signal.shape[0] for signal in x.values())  # `len` would fix the batch of an exported network
        has_audio = signals.get("has_audio")
        kept: dict[str, Tensor] = {}
        for at in STAGES:
            x = {name: self._run_stage(f"{name}_{at}", x[name]) for name in x}
            kept |= {f"{name}_{at}": map_BCTx for name, map_BCTx in x.items() if f"{name}_{at}" in keep}
            x = self._fuse(x, at, clips, has_audio, keep, kept)
        last = {name: map_BCTx[:clips] for name, map_BCTx in x.items()}
        if has_audio is not None:
            last = {
                name: _mask(map_BCTx, has_audio) if self.net.pathways[name].absent == "everywhere" else map_BCTx
                for name, map_BCTx in last.items()
            }
        return last, kept

    def _run_stage(self, name: str, x: Tensor) -> Tensor:
        stage: nn.Module = self.stages[name]
        if not (self.activation_checkpointing and self.training and torch.is_grad_enabled()):
            output: Tensor = stage(x)
            return output
        return checkpoint(  # type: ignore[no-any-return]
            stage, x, use_reentrant=False, context_fn=lambda: (nullcontext(), frozen_statistics(stage))
        )

    def _fuse(
        self,
        x: Mapping[str, Tensor],
        at: Stage,
        clips: int,
        has_audio: Tensor | None,
        keep: Collection[str],
        kept: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """Apply the laterals of a stage in order; the output of a tap is fused only into the inputs of later taps."""
        fused, tapped = dict(x), dict(x)
        names = {key: f"{key}_{at}" for key in self.net.laterals}
        needs_taps = any(name in keep or f"{name}_into" in keep for name in names.values())
        for key, lateral in self.net.laterals.items():
            is_fused = at in lateral.after
            if not is_fused and not (needs_taps and at in lateral.taps):
                continue
            name, base = names[key], fused if is_fused else tapped
            output = self.laterals[name](base[lateral.src], base[lateral.dst])
            candidates = {name: output, f"{name}_into": base[lateral.dst]}
            kept |= {label: map_BCTx for label, map_BCTx in candidates.items() if label in keep}
            output = output[:clips]
            if has_audio is not None and self.net.pathways[lateral.src].absent != "nowhere":
                output = _mask(output, has_audio)
            tapped[lateral.dst] = fuse(base[lateral.dst], output, lateral.join)
            if is_fused:
                fused[lateral.dst] = tapped[lateral.dst]
        return fused


def _mask(x_BCTx: Tensor, has_audio_B: Tensor) -> Tensor:
    """Zero the features of clips without audio; by a product, so that every parameter gets a gradient."""
    return x_BCTx * has_audio_B.to(x_BCTx).reshape(-1, *(1,) * (x_BCTx.ndim - 1))


def init_weights(trunk: nn.Module) -> None:
    """Initialize as the reference does: He fan-out, norms at one, the last norm of each residual branch at zero.

    Without norms, the last convolution of the branch is zero; `slowfast_cli.nn.nf.NFBlock` has a zero gain instead.
    """
    for module in trunk.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in trunk.modules():
        if isinstance(module, Bottleneck | SplitConcat | SplitSum):
            last = module.c if isinstance(module.c_norm, nn.Identity) else module.c_norm
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        if isinstance(module, NonLocal | AudioQuery):
            nn.init.zeros_(module.norm.weight)
