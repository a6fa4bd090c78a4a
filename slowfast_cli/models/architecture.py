"""What a trunk can be: a `Net` of ours, or one that is run beside it: of the literature, or a module of the user's.

Both are frozen data that a weight file can hold, and say the same of themselves: the signals they read, the length of
their features, and how they end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

from slowfast_cli.models.spec import Lateral, Net, Pathway, Stage
from slowfast_cli.types import Settings


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A network of one stream that is not of the SlowFast family.

    Attributes:
        kind: One of `slowfast_cli.models.baselines`, or ``package.module:callable``, which makes a module of the user's
            (see `slowfast_cli.models.external`).
        reads: ``logmel`` (B, 1, T, F), ``samples`` (B, N), or ``features`` (B, length) that another trunk gave before.
        length: Of its feature.
        rate: Of the samples it reads, Hz; None for a log-mel.
        bands: Mel bands that its size depends on; None where any number will do.
        frames: Frames of a clip that its size depends on, likewise.
        least: Frames, or samples, that a clip has at least.
        standardise: Bring each clip's log-mel to mean 0 and deviation 1 first (HARES App. C).
        front_end: Settings of the log-mel that a module of the user's asks for.
    """

    kind: str
    reads: Literal["logmel", "samples", "features"] = "logmel"
    length: int
    rate: int | None = None
    bands: int | None = None
    frames: int | None = None
    least: int = 1
    standardise: bool = True
    front_end: Settings = field(default_factory=dict)

    merge: ClassVar[str] = "concat"
    window: ClassVar[int | None] = None
    regions: ClassVar[str] = "none"

    def __str__(self) -> str:
        return f"{self.kind}, features of {self.length}"

    @property
    def signals(self) -> frozenset[str]:
        """Names of the signals that it reads."""
        return frozenset({self.reads})

    def features(self) -> dict[str, int]:
        """Length of its feature, under the name of its only stream."""
        return {"audio": self.length}

    def sync(self) -> dict[Stage, str]:
        """Sound and pictures are compared nowhere: it does not see."""
        return {}

    def no_audio_upstream(self, stage: Stage) -> bool:
        """No sound has reached the pictures: there are none."""
        return True


Architecture: TypeAlias = Net | Baseline


def from_plain(plain: Mapping[str, Any]) -> Architecture:
    """What `dataclasses.asdict` wrote down.

    Raises:
        TypeError: A field this version does not know.
        ValueError: Values that do not hold together.
    """

    def frozen(value: Any) -> Any:
        return tuple(map(frozen, value)) if isinstance(value, list) else value

    def build(kind: type[Any], values: Mapping[str, Any]) -> Any:
        return kind(**{key: frozen(value) for key, value in values.items()})

    if "kind" in plain:
        return Baseline(**plain)
    rest = {key: value for key, value in plain.items() if key not in ("pathways", "laterals")}
    return Net(
        pathways={name: build(Pathway, values) for name, values in plain["pathways"].items()},
        laterals={name: build(Lateral, values) for name, values in plain["laterals"].items()},
        **rest,
    )
