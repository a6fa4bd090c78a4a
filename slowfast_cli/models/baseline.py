"""The trunk of a `Baseline`: the network itself between the signals and the map that heads pool."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor, nn

from slowfast_cli.models import external
from slowfast_cli.models.architecture import Baseline
from slowfast_cli.models.baselines import BODIES
from slowfast_cli.nn.standardize import standardised
from slowfast_cli.types import Signals


class BaselineTrunk(nn.Module):
    """A trunk of one stream, ``audio``: it has the methods of `slowfast_cli.models.slowfast.SlowFast`.

    Args:
        net: The network's description.
    """

    def __init__(self, net: Baseline) -> None:
        super().__init__()
        self.net = net
        self.body = external.body(net) if ":" in net.kind else BODIES[net.kind](net)

    @property
    def intermediates(self) -> tuple[str, ...]:
        """None has a name."""
        return ()

    def forward(self, signals: Signals) -> dict[str, Tensor]:
        """The feature: the mean of the last map.

        Shape:
            {"logmel": (B, 1, T, F)} or {"samples": (B, N)} -> {"audio": (B, length)}
        """
        last, _ = self.run(signals)
        return {name: h.flatten(2).mean(2) for name, h in last.items()}

    def run(self, signals: Signals, keep: Collection[str] = ()) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The last map (B, length, ...), and no intermediates."""
        if keep:
            raise KeyError(f"no intermediate {', '.join(sorted(keep))}: {self.net.kind} names none")
        if self.net.reads not in signals:
            raise KeyError(f"signals: {self.net.reads} missing; {self.net.kind} reads it")
        x = signals[self.net.reads]
        if self.net.reads == "logmel" and self.net.standardise:
            x = standardised(x)
        return {"audio": self.body(x)}, {}
