"""What is trained, saved and used: a trunk, the heads on it, and what it is pretrained by."""

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
    """An objective that keeps something beside the trunk, as a running average of it."""

    def momentum_update(self, trunk: nn.Module) -> None:
        """Go after the trunk by one step."""


def trunk(net: Architecture) -> SlowFast | BaselineTrunk:
    """The trunk of a description, freshly initialised."""
    return BaselineTrunk(net) if isinstance(net, Baseline) else SlowFast(net)


class Recognizer(nn.Module):
    """A trunk and its heads: what is trained, saved and used.

    Args:
        net: The trunk's description.
        classes: Number of classes by label set.
        dropout: On the features, while training.
        freeze_norms: Batch norms that keep their statistics and parameters: none, all-but-first, all.
        freeze_trunk: Learn the heads only; the trunk stays in eval mode.
        sync: Stages at which sound and pictures are compared.
        hidden: Units of a hidden layer between the features and the classifiers; 0: none.
        objective: Makes what the trunk is pretrained by, from the trunk; there are no heads then.
    """

    def __init__(
        self,
        net: Architecture,
        classes: Mapping[str, int],
        *,
        dropout: float = 0.0,
        freeze_norms: str = "none",
        freeze_trunk: bool = False,
        sync: Sequence[Stage] = (),
        hidden: int = 0,
        objective: Callable[[nn.Module], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.trunk = trunk(net)
        self.heads = Heads(net, classes, dropout=dropout, hidden=hidden)
        self.sync = Sync(net, sync) if sync and isinstance(net, Net) else None
        self.objective = objective(self.trunk) if objective else None
        self._frozen = freeze(self.trunk, freeze_norms)
        self._probes = freeze_trunk
        if freeze_trunk:
            self.trunk.requires_grad_(False)

    def forward(self, signals: Signals, boxes: Tensor | None = None) -> dict[str, Tensor]:
        """Logits, in training and evaluation alike.

        Args:
            signals: The inputs: ``logmel`` (B, 1, T, F), ``frames`` (B, 3, T, H, W), ``has_audio`` (B,). With
                twice as many sounds as frames, the second half belonging to other moments, a model with ``sync`` also
                gives what `slowfast_cli.models.sync.Sync` does.
            boxes: (N, 5): row of the batch, x1, y1, x2, y2 in pixels of the frames; for networks that classify boxes.

        Returns:
            By label set as `slowfast_cli.models.heads.Heads`: (B, classes), (B, positions, classes) or (N, classes); or
            what the objective gives out.
        """
        if self.objective is not None:
            outputs: dict[str, Tensor] = self.objective(self.trunk, signals)
            return outputs
        compares = self.sync is not None and len(signals["logmel"]) > len(signals["frames"])
        last, kept = self.trunk.run(signals, self.sync.reads if self.sync is not None and compares else ())
        logits: dict[str, Tensor] = self.heads(last, boxes)
        if self.sync is not None and compares:
            frames = signals["frames"]
            logits |= self.sync(kept, signals.get("has_audio", torch.ones(len(frames), device=frames.device)))
        return logits

    def momentum_update(self) -> None:
        """Let what an objective keeps beside the trunk follow it; called after each optimiser step."""
        if isinstance(self.objective, MomentumUpdated):
            self.objective.momentum_update(self.trunk)

    def train(self, mode: bool = True) -> Recognizer:
        """As `torch.nn.Module.train`, except that frozen norms stay in eval mode."""
        super().train(mode)
        for name in self._frozen:  # by name: a norm may have been exchanged for a synchronised one
            self.trunk.get_submodule(name).eval()
        if self._probes:
            self.trunk.eval()
        return self
