"""Descriptions of trunks: a SlowFast `Net`, or a `Baseline` from the literature or from user code.

Both are frozen data that a weight file stores, with a common interface: input signals, feature lengths, how they end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias

from slowfast_cli.models.spec import Lateral, Net, Pathway, Stage
from slowfast_cli.types import Settings


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A single-stream network outside the SlowFast family."""

    kind: str
    """A key of `slowfast_cli.models.baselines.BODIES`, or ``package.module:callable`` for a user-defined module (see
    `slowfast_cli.models.external`)."""
    reads: Literal["logmel", "samples", "features"] = "logmel"
    """Input signal: ``logmel`` (B, 1, T, F), ``samples`` (B, N), or precomputed ``features`` (B, length)."""
    length: int  # of the feature
    rate: int | None = None  # sampling rate of the samples it reads, Hz; None for a log-mel
    bands: int | None = None  # required number of mel bands; None: any
    frames: int | None = None  # required number of frames per clip; None: any
    least: int = 1  # minimum number of frames, or samples, per clip
    standardise: bool = True  # standardize each clip's log-mel to mean 0 and deviation 1 (HARES App. C)
    front_end: Settings = field(default_factory=dict)  # log-mel settings that a user-defined module requires

    merge: ClassVar[str] = "concat"
    window: ClassVar[int | None] = None
    regions: ClassVar[str] = "none"

    def __str__(self) -> str:
        return f"{self.kind}, features of {self.length}"

    @property
    def signals(self) -> frozenset[str]:
        """Names of the input signals."""
        return frozenset({self.reads})

    def features(self) -> dict[str, int]:
        """Return the feature length, under the name of the only stream."""
        return {"audio": self.length}

    def sync_laterals(self) -> dict[Stage, str]:
        """Return no laterals: a baseline has no video input."""
        return {}

    def no_audio_upstream(self, stage: Stage) -> bool:
        """Return True: a baseline has no video features that audio could be fused into."""
        return True


Architecture: TypeAlias = Net | Baseline


def from_dict(plain: Mapping[str, Any]) -> Architecture:
    """Rebuild a description from the output of `dataclasses.asdict`, lists in place of tuples allowed.

    Raises:
        TypeError: A field is unknown to this version.
        ValueError: The values are inconsistent.
    """

    def to_tuple(value: Any) -> Any:
        return tuple(map(to_tuple, value)) if isinstance(value, list) else value

    def build(kind: type[Any], values: Mapping[str, Any]) -> Any:
        return kind(**{key: to_tuple(value) for key, value in values.items()})

    if "kind" in plain:
        return Baseline(**plain)
    rest = {key: value for key, value in plain.items() if key not in ("pathways", "laterals")}
    return Net(
        pathways={name: build(Pathway, values) for name, values in plain["pathways"].items()},
        laterals={name: build(Lateral, values) for name, values in plain["laterals"].items()},
        **rest,
    )
