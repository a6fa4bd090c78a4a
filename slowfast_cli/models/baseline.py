"""The trunk of a `Baseline`, with the interface of `slowfast_cli.models.slowfast.SlowFast`."""

from collections.abc import Collection

from torch import Tensor, nn

from slowfast_cli.models import external
from slowfast_cli.models.architecture import Baseline
from slowfast_cli.models.baselines import BODIES
from slowfast_cli.nn.standardize import standardize
from slowfast_cli.types import Signals


class BaselineTrunk(nn.Module):
    """A trunk with a single stream, named ``audio``, and no named intermediates."""

    def __init__(self, net: Baseline) -> None:
        super().__init__()
        self.net = net
        self.body = external.build_body(net) if ":" in net.kind else BODIES[net.kind](net)

    @property
    def intermediates(self) -> tuple[str, ...]:
        """Names of the intermediates: none."""
        return ()

    def forward(self, signals: Signals) -> dict[str, Tensor]:
        """Return the feature: the mean of the last map.

        Shape:
            {"logmel": (B, 1, T, F)} or {"samples": (B, N)} -> {"audio": (B, length)}
        """
        last, _ = self.run(signals)
        return {name: map_BCx.flatten(2).mean(2) for name, map_BCx in last.items()}

    def run(self, signals: Signals, keep: Collection[str] = ()) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the last map (B, length, ...) and an empty dict of intermediates."""
        if keep:
            raise KeyError(f"no intermediate {', '.join(sorted(keep))}: {self.net.kind} names none")
        if self.net.reads not in signals:
            raise KeyError(f"signals: {self.net.reads} missing, which {self.net.kind} reads")
        x = signals[self.net.reads]
        if self.net.reads == "logmel" and self.net.standardise:
            x = standardize(x)
        return {"audio": self.body(x)}, {}
