"""A network as data: pathways run side by side, laterals that join them, and how they end.

A published variant is one such tree (`slowfast_cli.models.zoo`), an ablation is `dataclasses.replace` on it, and one
class runs them all (`slowfast_cli.models.slowfast`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, get_args

Stage: TypeAlias = Literal["stem", "res2", "res3", "res4", "res5"]
STAGES: tuple[Stage, ...] = get_args(Stage)
AXES = {"logmel": 2, "frames": 3}  # time and frequency; time, height and width
CHANNELS = {"logmel": 1, "frames": 3}


@dataclass(frozen=True, kw_only=True)
class Pathway:
    """One stream: which signal it reads, how often it looks, how wide it is.

    Attributes:
        reads: The signal, by name.
        stride: It keeps one step in ``stride`` of the signal's time axis: alpha of the Slow stream (ASF Sec. 3).
        width: Channels after the stem; res2..res5 have 4, 8, 16, 32 times that.
        depth: Bottlenecks in res2..res5.
        stem: ``square`` halves every axis twice, by its convolution and its max-pool (ASF Sec. 3); ``space`` keeps time
            (SF Table 1); ``split`` adds a convolution over time and one over frequency and halves nothing (AV Table 1);
            ``nfnet`` has four small convolutions that halve every axis twice (HARES Table 5).
        time: Temporal kernel of stem, res2..res5.
        time_in: The convolution of a bottleneck that has the temporal kernel: its first, which separates time from
            frequency (ASF Fig. 1), or its middle one, square as in ResNet.
        time_blocks: How many bottlenecks of res2..res5 have the temporal kernel, the first ones; None: all.
        halve_time: Stages after the stem that halve the time axis.
        halve_space: Stages after the stem that halve the other axes.
        dilated: Stages whose middle convolution skips every other position, as where a detector keeps their size.
        split: Stages whose middle convolution is two side by side, over time and over frequency (AV Sec. 3.2).
        split_as: Their outputs are concatenated, and read the block's input, or summed, after a first 1x1.
        attend: Bottlenecks of res2..res5 that a Non-Local block follows.
        attend_pool: Positions over (time, height, width) whose maximum is one key of it.
        absent: Where zeros stand in for what it gives when a clip lacks its signal, or training drops it: nowhere, at
            its laterals, or at the head too.
        pick: How one step in ``stride`` is found: as one of them, or as their maximum.
        norm: After each convolution of a ``residual`` block: over the batch, a clip's map, a channel of it, or none.
        block: ``residual`` with norms, or without: ``nf-resnet`` (HARES Sec. 3.2) and ``nfnet`` (HARES Table 5).
        widths: Channels of res2..res5, where they are not those multiples of ``width``.
        group: Channels of a group in the grouped convolutions of ``nfnet`` blocks.
        stem_time: Temporal kernels of the four convolutions of an ``nfnet`` stem.
        drop: Stochastic depth of the last block, rising from 0 at the first.
        final: Times the channels of res5 that a last 1x1 convolution gives; None: no such convolution.
        final_gain: Whether the activation after it has the gain of the others.
    """

    reads: Literal["logmel", "frames"] = "logmel"
    stride: int = 1
    width: int = 64
    depth: tuple[int, int, int, int] = (3, 4, 6, 3)
    stem: Literal["square", "space", "split", "nfnet"] = "square"
    time: tuple[int, int, int, int, int] = (1, 1, 1, 3, 3)
    time_in: Literal["first", "middle"] = "first"
    time_blocks: tuple[int, int, int, int] | None = None
    halve_time: tuple[Stage, ...] = ()
    halve_space: tuple[Stage, ...] = ("res3", "res4", "res5")
    dilated: tuple[Stage, ...] = ()
    split: tuple[Stage, ...] = ()
    split_as: Literal["concat", "sum"] = "concat"
    attend: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]] = ((), (), (), ())
    attend_pool: tuple[int, int, int] = (1, 2, 2)
    absent: Literal["nowhere", "laterals", "everywhere"] = "nowhere"
    pick: Literal["one", "largest"] = "one"
    norm: Literal["batch", "layer", "instance", "none"] = "batch"
    block: Literal["residual", "nf-resnet", "nfnet"] = "residual"
    widths: tuple[int, int, int, int] | None = None
    group: int | None = None
    stem_time: tuple[int, int, int, int] = (3, 3, 3, 3)
    drop: float = 0.0
    final: int | None = None
    final_gain: bool = False

    def __post_init__(self) -> None:
        if min(self.stride, self.width, *self.depth, *self.time) < 1 or not all(kernel % 2 for kernel in self.time):
            raise ValueError(f"pathway: sizes start at 1 and temporal kernels are odd: {self}")

    @property
    def axes(self) -> int:
        """Axes of its signal besides batch and channels."""
        return AXES[self.reads]

    def channels(self, stage: Stage) -> int:
        """Channels after a stage, before any lateral joins."""
        if stage == "stem":
            return self.width
        number = STAGES.index(stage) - 1
        return self.widths[number] if self.widths else 4 * self.width * 2**number

    def shrink(self, stage: Stage) -> int:
        """Time steps of its input that have become one after a stage."""
        passed = STAGES[: STAGES.index(stage) + 1]
        return int((4 if self.stem in ("square", "nfnet") else 1) << sum(each in passed for each in self.halve_time))

    def scale(self, stage: Stage) -> int:
        """Positions of a picture's side that have become one after a stage."""
        passed = STAGES[: STAGES.index(stage) + 1]
        return int((1 if self.stem == "split" else 4) << sum(each in passed for each in self.halve_space))


@dataclass(frozen=True, kw_only=True)
class Lateral:
    """Features of ``src``, brought to the steps of ``dst`` and joined to it.

    Attributes:
        src: The pathway that gives.
        dst: The pathway that receives.
        after: The stages after which it does.
        taps: Stages after which it is worked out for objectives that read it (AV-sync), and not joined.
        kind: ``time-conv``, ``time-to-channel`` and ``time-sample`` are those of SF Sec. 3.4; ``pooled-convs`` takes
            the mean over frequency and two convolutions over time (AV's sum of audio); ``attention`` looks up positions
            of ``dst`` by queries from ``src`` (AV's Audiovisual Nonlocal).
        join: Concatenated to the channels of ``dst``, or added to them, the same at every position.
        kernel: Steps of ``src`` under each convolution.
        ratio: Channels it brings per channel of ``src``, for a concatenated ``time-conv``.
        widths: Or how many it brings after each stage of ``after``.
        inner: Channels between the two convolutions, or of queries and keys.
        alpha: Steps of the signal that ``src`` reads for one that ``dst`` looks at of its own; None where both read the
            same.
    """

    src: str
    dst: str
    after: tuple[Stage, ...] = ("stem", "res2", "res3", "res4")
    taps: tuple[Stage, ...] = ()
    kind: Literal["time-conv", "time-to-channel", "time-sample", "pooled-convs", "attention"] = "time-conv"
    join: Literal["concat", "sum"] = "concat"
    kernel: int = 7
    ratio: int = 2
    widths: tuple[int, ...] | None = None
    inner: int = 64
    alpha: int | None = None


@dataclass(frozen=True, kw_only=True)
class Net:
    """Pathways run side by side; laterals are applied in the order listed.

    Attributes:
        pathways: By name; their features are concatenated in this order.
        laterals: By name; their order is the fusion scheme: {f2s, a2s} is A->FS, {a2f, f2s} is A->F->S (AV Sec. 3.4).
        merge: What joins the pathways at the end: features before the head, or logits after one head each.
        window: Positions of the last map, along each side, whose average one classification is about; frames larger
            than those trained on are classified at several. None: all positions.
        regions: Classify boxes rather than the whole, by RoIAlign with or without the half-pixel shift.
        standardise: Bring each clip's log-mel to mean 0 and deviation 1 first (HARES Sec. 3 and App. C).
    """

    pathways: Mapping[str, Pathway]
    laterals: Mapping[str, Lateral] = field(default_factory=dict)
    merge: Literal["concat", "average"] = "concat"
    window: int | None = None
    regions: Literal["none", "aligned", "unaligned"] = "none"
    standardise: bool = False

    def __post_init__(self) -> None:
        for key, lateral in self.laterals.items():
            if not {lateral.src, lateral.dst} <= set(self.pathways):
                raise ValueError(
                    f"lateral {key}: {lateral.src} -> {lateral.dst}: pathways are {', '.join(self.pathways)}"
                )
            for at in (*lateral.after, *lateral.taps):
                self.step(lateral, at)
                if lateral.join == "sum" and self.brought(key, at) != self.width(lateral.dst, at, before=key):
                    raise ValueError(
                        f"lateral {key} after {at}: brings {self.brought(key, at)} channels, and {lateral.dst} has "
                        f"{self.width(lateral.dst, at, before=key)} to add them to"
                    )

    def __str__(self) -> str:
        return "; ".join(f"{name}: width {path.width}, stride {path.stride}" for name, path in self.pathways.items())

    def step(self, lateral: Lateral, stage: Stage) -> int:
        """How many steps of ``src`` make one of ``dst`` after a stage."""
        src, dst = self.pathways[lateral.src], self.pathways[lateral.dst]
        there = (lateral.alpha or dst.stride) * dst.shrink(stage)
        here = (1 if lateral.alpha else src.stride) * src.shrink(stage)
        if there % here:
            raise ValueError(
                f"{lateral.src} -> {lateral.dst} after {stage}: {there} steps are no multiple of {here}: the strides "
                "of the pathways do not fit"
            )
        return there // here

    def brought(self, key: str, stage: Stage) -> int:
        """Channels that a lateral brings after a stage."""
        lateral = self.laterals[key]
        own = self.pathways[lateral.src].channels(stage)
        if lateral.kind == "time-to-channel":
            return own * self.step(lateral, stage)
        if lateral.kind == "time-sample":
            return own
        if lateral.kind == "time-conv" and lateral.join == "concat":
            return lateral.widths[lateral.after.index(stage)] if lateral.widths else own * lateral.ratio
        return self.width(lateral.dst, stage, before=key)

    def width(self, name: str, stage: Stage, *, before: str | None = None) -> int:
        """Channels of a pathway after a stage and the laterals that join it there.

        Args:
            name: The pathway.
            stage: The stage.
            before: Count only laterals listed before this one, taps included where it is tapped itself.
        """
        total = self.pathways[name].channels(stage)
        tapped = before is not None and stage in self.laterals[before].taps
        for key, lateral in self.laterals.items():
            if key == before:
                break
            joins = stage in lateral.after or (tapped and stage in lateral.taps)
            if lateral.dst == name and joins and lateral.join == "concat":
                total += self.brought(key, stage)
        return total

    def inputs(self, name: str, stage: Stage) -> int:
        """Channels that a stage of a pathway reads: those of the stage before and of the laterals that joined it."""
        if stage == "stem":
            return CHANNELS[self.pathways[name].reads]
        return self.width(name, STAGES[STAGES.index(stage) - 1])

    def features(self) -> dict[str, int]:
        """Length of each pathway's pooled feature."""
        return {name: path.channels("res5") * (path.final or 1) for name, path in self.pathways.items()}

    @property
    def signals(self) -> frozenset[str]:
        """Names of the signals that it reads."""
        return frozenset(path.reads for path in self.pathways.values())

    def sync(self) -> dict[Stage, str]:
        """By stage, the lateral that brings sound to pictures there: what can be compared for synchronisation."""
        paths = self.pathways
        return {
            stage: key
            for stage in STAGES
            for key, lateral in self.laterals.items()
            if (stage in lateral.after or stage in lateral.taps)
            and (paths[lateral.src].reads, paths[lateral.dst].reads) == ("logmel", "frames")
        }

    def no_audio_upstream(self, stage: Stage) -> bool:
        """Whether no sound has reached the pictures before a stage ends."""
        earlier = STAGES[: STAGES.index(stage)]
        return not any(at in earlier and at in self.laterals[key].after for at, key in self.sync().items())


def narrowed(net: Net, width: int) -> Net:
    """The same network with ``width`` channels after the stem of its widest pathway, the others in proportion."""
    widest = max(path.width for path in net.pathways.values())

    def scaled(channels: int) -> int:
        return max(1, channels * width // widest)

    def each(path: Pathway) -> Pathway:
        widths = tuple(map(scaled, path.widths)) if path.widths else None
        group = scaled(path.group) if path.group else None
        return replace(path, width=scaled(path.width), widths=widths, group=group)  # type: ignore[arg-type]

    laterals = {
        key: replace(lateral, widths=tuple(map(scaled, lateral.widths))) if lateral.widths else lateral
        for key, lateral in net.laterals.items()
    }
    return replace(net, pathways={name: each(path) for name, path in net.pathways.items()}, laterals=laterals)


def compared_at(net: Net, stages: Collection[Stage]) -> Net:
    """The same network with only those taps that are compared: others would learn nothing."""
    laterals = {
        key: replace(lateral, taps=tuple(stage for stage in lateral.taps if stage in stages))
        for key, lateral in net.laterals.items()
    }
    return replace(net, laterals={key: lateral for key, lateral in laterals.items() if lateral.after or lateral.taps})
