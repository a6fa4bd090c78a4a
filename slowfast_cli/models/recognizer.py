"""The model that is trained, saved and used: a trunk with heads, or with a pretraining objective."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from slowfast_cli.models.architecture import Architecture, Baseline
from slowfast_cli.models.baseline import BaselineTrunk
from slowfast_cli.models.heads import Heads
from slowfast_cli.models.slowfast import SlowFast
from slowfast_cli.models.spec import Net, Stage
from slowfast_cli.models.sync import Sync
from slowfast_cli.nn.frozen import freeze
from slowfast_cli.types import Signals


@runtime_checkable
class MomentumUpdated(Protocol):
    """An objective with a target network that is a moving average of the trunk."""

    def momentum_update(self, trunk: nn.Module) -> None:
        """Update the target network after an optimizer step."""


def build_trunk(net: Architecture) -> SlowFast | BaselineTrunk:
    """Build and initialize the trunk of a description."""
    return BaselineTrunk(net) if isinstance(net, Baseline) else SlowFast(net)


class Recognizer(nn.Module):
    """A trunk with heads, and optionally AV-sync or a pretraining objective.

    Args:
        net: Description of the trunk.
        classes: Number of classes by label set.
        dropout: Dropout rate on the features.
        freeze_bn: Batch norms whose statistics and parameters are frozen: none, all-but-first, all.
        freeze_trunk: Train the heads only; the trunk stays in eval mode.
        sync: Stages at which audio and video are compared.
        hidden: Units of a hidden layer between the features and the classifiers; 0: none.
        objective: Builds the pretraining objective from the trunk, which replaces the heads.
    """

    def __init__(
        self,
        net: Architecture,
        classes: Mapping[str, int],
        *,
        dropout: float = 0.0,
        freeze_bn: str = "none",
        freeze_trunk: bool = False,
        sync: Sequence[Stage] = (),
        hidden: int = 0,
        objective: Callable[[nn.Module], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.trunk = build_trunk(net)
        self.heads = Heads(net, classes, dropout=dropout, hidden=hidden)
        self.sync = Sync(net, sync) if sync and isinstance(net, Net) else None
        self.objective = objective(self.trunk) if objective else None
        self._frozen = freeze(self.trunk, freeze_bn)
        self._freeze_trunk = freeze_trunk
        if freeze_trunk:
            self.trunk.requires_grad_(False)

    def forward(self, signals: Signals, boxes: Tensor | None = None) -> dict[str, Tensor]:
        """Return logits, in training and evaluation alike, or the outputs of the objective.

        Args:
            signals: ``logmel`` (B, 1, T, F), ``frames`` (B, 3, T, H, W), ``has_audio`` (B,). With 2 B log-mels, the
                second half being AV-sync negatives, a model with ``sync`` adds the outputs of
                `slowfast_cli.models.sync.Sync`.
            boxes: (N, 5): batch index, x1, y1, x2, y2 in pixels of the frames; for detectors.

        Returns:
            Logits by label set as from `slowfast_cli.models.heads.Heads`: (B, classes), (B, positions, classes) or
            (N, classes).
        """
        if self.objective is not None:
            outputs: dict[str, Tensor] = self.objective(self.trunk, signals)
            return outputs
        compares = self.sync is not None and len(signals["logmel"]) > len(signals["frames"])
        last, kept = self.trunk.run(signals, self.sync.map_names if self.sync is not None and compares else ())
        logits: dict[str, Tensor] = self.heads(last, boxes)
        if self.sync is not None and compares:
            frames = signals["frames"]
            logits |= self.sync(kept, signals.get("has_audio", torch.ones(len(frames), device=frames.device)))
        return logits

    def momentum_update(self) -> None:
        """Update the objective's moving averages, if it has any; call it after each optimizer step."""
        if isinstance(self.objective, MomentumUpdated):
            self.objective.momentum_update(self.trunk)

    def train(self, mode: bool = True) -> Recognizer:
        """Set the training mode as `torch.nn.Module.train` does, but keep frozen modules in eval mode."""
        super().train(mode)
        for name in self._frozen:  # looked up by name: SyncBatchNorm conversion replaces the modules
            self.trunk.get_submodule(name).eval()
        if self._freeze_trunk:
            self.trunk.eval()
        return self
