"""A network as data: pathways run side by side, laterals that join them, and how they end.

A published variant is one such tree (`slowfast_cli.models.zoo`), an ablation is `dataclasses.replace` on it, and one
class runs them all (`slowfast_cli.models.slowfast`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, get_args

Stage: TypeAlias = Literal["stem", "res2", "res3", "res4", "res5"]
STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True, kw_only=True)
class Pathway:
    """One stream: which signal it reads, how often it looks, how wide it is.

    Attributes:
        reads: The signal, by name.
        stride: It keeps one step in ``stride`` of the signal's time axis: alpha of the Slow stream (ASF Sec. 3).
        width: Channels after the stem; res2..res5 have 4, 8, 16, 32 times that.
        depth: Bottlenecks in res2..res5.
        time: Temporal kernel of stem, res2..res5.
        time_in: The convolution of a bottleneck that has the temporal kernel: its first, which separates time from
            frequency (ASF Fig. 1), or its middle one, square as in ResNet.
        halve_time: Stages that halve the time axis, besides the stem, which quarters it.
    """

    reads: Literal["logmel"] = "logmel"
    stride: int = 1
    width: int = 64
    depth: tuple[int, int, int, int] = (3, 4, 6, 3)
    time: tuple[int, int, int, int, int] = (1, 1, 1, 3, 3)
    time_in: Literal["first", "middle"] = "first"
    halve_time: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        if min(self.stride, self.width, *self.depth, *self.time) < 1 or not all(kernel % 2 for kernel in self.time):
            raise ValueError(f"pathway: sizes start at 1 and temporal kernels are odd: {self}")

    def channels(self, stage: Stage) -> int:
        """Channels after a stage, before any lateral joins."""
        return self.width if stage == "stem" else 4 * self.width * 2 ** (STAGES.index(stage) - 1)


@dataclass(frozen=True, kw_only=True)
class Lateral:
    """Features of ``src``, brought to the rate of ``dst`` by a time-strided convolution and concatenated to it.

    Attributes:
        src: The pathway that gives.
        dst: The pathway that receives.
        after: The stages after which it does.
        kernel: Steps of ``src`` under the convolution.
        ratio: Its output channels per channel of ``src``.
    """

    src: str
    dst: str
    after: tuple[Stage, ...] = ("stem", "res2", "res3", "res4")
    kernel: int = 7
    ratio: int = 2


@dataclass(frozen=True, kw_only=True)
class Net:
    """Pathways run side by side; laterals are applied in the order listed.

    Attributes:
        pathways: By name; their features are concatenated in this order.
        laterals: By name.
        merge: What joins the pathways at the end: features before the head, or logits after one head each.
    """

    pathways: Mapping[str, Pathway]
    laterals: Mapping[str, Lateral] = field(default_factory=dict)
    merge: Literal["concat", "average"] = "concat"

    def __post_init__(self) -> None:
        for key, lateral in self.laterals.items():
            if not {lateral.src, lateral.dst} <= set(self.pathways):
                raise ValueError(
                    f"lateral {key}: {lateral.src} -> {lateral.dst}: pathways are {', '.join(self.pathways)}"
                )
            if self.pathways[lateral.dst].stride % self.pathways[lateral.src].stride:
                raise ValueError(f"lateral {key}: the stride of {lateral.dst} is no multiple of that of {lateral.src}")

    def step(self, lateral: Lateral) -> int:
        """How many steps of ``src`` make one of ``dst``."""
        return self.pathways[lateral.dst].stride // self.pathways[lateral.src].stride

    def inputs(self, name: str, stage: Stage) -> int:
        """Channels that a stage of a pathway reads: those of the stage before and of the laterals that joined it."""
        if stage == "stem":
            return 1
        before = STAGES[STAGES.index(stage) - 1]
        joined = [lateral for lateral in self.laterals.values() if lateral.dst == name and before in lateral.after]
        own = self.pathways[name].channels(before)
        return own + sum(lateral.ratio * self.pathways[lateral.src].channels(before) for lateral in joined)

    def features(self) -> dict[str, int]:
        """Length of each pathway's pooled feature."""
        return {name: path.channels("res5") for name, path in self.pathways.items()}


def narrowed(net: Net, width: int) -> Net:
    """The same network with ``width`` channels after the stem of its widest pathway, the others in proportion."""
    widest = max(path.width for path in net.pathways.values())
    paths = {name: replace(path, width=max(1, path.width * width // widest)) for name, path in net.pathways.items()}
    return replace(net, pathways=paths)


def from_plain(plain: Mapping[str, Any]) -> Net:
    """The tree that `dataclasses.asdict` wrote down.

    Raises:
        TypeError: A field this version does not know.
        ValueError: Values that do not hold together.
    """

    def build(kind: type[Any], values: Mapping[str, Any]) -> Any:
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})

    return Net(
        pathways={name: build(Pathway, values) for name, values in plain["pathways"].items()},
        laterals={name: build(Lateral, values) for name, values in plain["laterals"].items()},
        merge=plain["merge"],
    )
