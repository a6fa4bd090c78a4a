"""Networks as data: pathways that run in parallel, laterals that fuse them, and how they end.

A published variant is one such tree (`slowfast_cli.models.zoo`), an ablation is `dataclasses.replace` on it, and one
class runs them all (`slowfast_cli.models.slowfast`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, get_args

Stage: TypeAlias = Literal["stem", "res2", "res3", "res4", "res5"]
STAGES: tuple[Stage, ...] = get_args(Stage)
AXES = {"logmel": 2, "frames": 3}  # time and frequency; time, height and width
CHANNELS = {"logmel": 1, "frames": 3}


@dataclass(frozen=True, kw_only=True)
class Pathway:
    """One stream: its input signal, temporal stride, width and blocks."""

    reads: Literal["logmel", "frames"] = "logmel"
    stride: int = 1  # of the input's time axis: alpha for the Slow pathway (ASF Sec. 3)
    width: int = 64  # channels after the stem; res2..res5 have 4, 8, 16, 32 times as many
    depth: tuple[int, int, int, int] = (3, 4, 6, 3)  # bottlenecks in res2..res5
    stem: Literal["square", "space", "split", "nfnet"] = "square"
    """``square``: strided convolution and max-pool on every axis (ASF Sec. 3); ``space``: not on time (SF Table 1);
    ``split``: sum of a time and a frequency convolution, stride 1 (AV Table 1); ``nfnet``: four small convolutions,
    two with stride 2 (HARES Table 5)."""
    time: tuple[int, int, int, int, int] = (1, 1, 1, 3, 3)  # temporal kernel sizes of stem, res2..res5
    time_in: Literal["first", "middle"] = "first"
    """Convolution of a bottleneck with the temporal kernel: the first, separate from frequency (ASF Fig. 1), or the
    middle one, square as in ResNet."""
    time_blocks: tuple[int, int, int, int] | None = None
    """Number of bottlenecks in res2..res5, from the first, with the temporal kernel; None: all."""
    halve_time: tuple[Stage, ...] = ()  # stages after the stem with stride 2 in time
    halve_space: tuple[Stage, ...] = ("res3", "res4", "res5")  # stages after the stem with stride 2 on the other axes
    dilated: tuple[Stage, ...] = ()  # stages whose middle convolution has dilation 2, for detectors
    split: tuple[Stage, ...] = ()  # stages with parallel time and frequency convolutions (AV Sec. 3.2)
    split_as: Literal["concat", "sum"] = "concat"
    """Parallel convolutions read the block's input and are concatenated, or follow a 1x1 convolution and are summed."""
    attend: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]] = ((), (), (), ())
    """Bottlenecks of res2..res5 that a non-local block follows."""
    attend_pool: tuple[int, int, int] = (1, 2, 2)  # max-pooling of the non-local keys over (time, height, width)
    absent: Literal["nowhere", "laterals", "everywhere"] = "nowhere"
    """Outputs that are zeroed for clips whose signal is missing or dropped: none, the laterals, or the head's too."""
    pick: Literal["one", "largest"] = "one"  # subsample the time axis by picking steps, or by max-pooling
    norm: Literal["batch", "layer", "instance", "none"] = "batch"  # norm after each convolution of a ``residual`` block
    block: Literal["residual", "nf-resnet", "nfnet"] = "residual"
    """Block type: with norms, or normalizer-free (``nf-resnet``: HARES Sec. 3.2, ``nfnet``: HARES Table 5)."""
    widths: tuple[int, int, int, int] | None = None  # channels of res2..res5, if not the multiples of ``width``
    group: int | None = None  # channels per group in the grouped convolutions of ``nfnet`` blocks
    stem_time: tuple[int, int, int, int] = (3, 3, 3, 3)  # temporal kernel sizes of an ``nfnet`` stem
    drop: float = 0.0  # stochastic-depth rate, reached linearly from 0 at the first block
    final: int | None = None  # expansion of a last 1x1 convolution, times the channels of res5; None: no convolution
    final_gain: bool = False  # whether the activation after it has a gain

    def __post_init__(self) -> None:
        if min(self.stride, self.width, *self.depth, *self.time) < 1 or not all(kernel % 2 for kernel in self.time):
            raise ValueError(f"pathway: sizes must be at least 1 and temporal kernels odd: {self}")

    @property
    def axes(self) -> int:
        """Number of axes of the signal besides batch and channels."""
        return AXES[self.reads]

    def channels(self, stage: Stage) -> int:
        """Return the output channels of a stage, before fusion."""
        if stage == "stem":
            return self.width
        number = STAGES.index(stage) - 1
        return self.widths[number] if self.widths else 4 * self.width * 2**number

    def time_stride(self, stage: Stage) -> int:
        """Return the total time stride of a stage's output, relative to the subsampled input."""
        passed = STAGES[: STAGES.index(stage) + 1]
        return int((4 if self.stem in ("square", "nfnet") else 1) << sum(at in passed for at in self.halve_time))

    def spatial_stride(self, stage: Stage) -> int:
        """Return the total stride of a stage's output on the other axes."""
        passed = STAGES[: STAGES.index(stage) + 1]
        return int((1 if self.stem == "split" else 4) << sum(at in passed for at in self.halve_space))


@dataclass(frozen=True, kw_only=True)
class Lateral:
    """A connection that converts features of ``src`` to the time steps of ``dst`` and fuses them."""

    src: str
    dst: str
    after: tuple[Stage, ...] = ("stem", "res2", "res3", "res4")  # stages after which it is fused
    taps: tuple[Stage, ...] = ()  # stages after which it is computed for objectives (AV-sync) only, and not fused
    kind: Literal["time-conv", "time-to-channel", "time-sample", "pooled-convs", "attention"] = "time-conv"
    """``time-conv``, ``time-to-channel``, ``time-sample``: SF Sec. 3.4; ``pooled-convs``: mean over frequency and two
    convolutions over time (AV's sum of audio); ``attention``: queries from ``src`` attend to positions of ``dst`` (AV's
    audiovisual non-local)."""
    join: Literal["concat", "sum"] = "concat"  # concatenate to the channels of ``dst``, or add at every position
    kernel: int = 7  # kernel size of the convolutions in ``src`` steps
    ratio: int = 2  # output channels per channel of ``src``, for a concatenated ``time-conv``
    widths: tuple[int, ...] | None = None  # output channels per stage of ``after``, in place of ``ratio``
    inner: int = 64  # channels between the two convolutions, or of queries and keys
    alpha: int | None = None  # input steps of ``src`` per subsampled step of ``dst``; None if both read the same signal


@dataclass(frozen=True, kw_only=True)
class Net:
    """A network: parallel pathways and the laterals between them."""

    pathways: Mapping[str, Pathway]  # their features are concatenated in this order
    laterals: Mapping[str, Lateral] = field(default_factory=dict)
    """Applied in this order, the fusion scheme: {f2s, a2s} is A->FS, {a2f, f2s} is A->F->S (AV Sec. 3.4)."""
    merge: Literal["concat", "average"] = "concat"  # features before the head, or logits of one head each
    window: int | None = None
    """Side of the square of last-map positions averaged per classification, so that frames larger than in training are
    classified at several positions; None: all positions."""
    regions: Literal["none", "aligned", "unaligned"] = "none"
    """Classify boxes by RoIAlign with (``aligned``) or without the half-pixel shift, or the whole clip (``none``)."""
    standardise: bool = False  # standardize each clip's log-mel to mean 0 and deviation 1 (HARES Sec. 3 and App. C)

    def __post_init__(self) -> None:
        for key, lateral in self.laterals.items():
            if not {lateral.src, lateral.dst} <= set(self.pathways):
                raise ValueError(
                    f"lateral {key}: {lateral.src} -> {lateral.dst}: pathways are {', '.join(self.pathways)}"
                )
            for at in (*lateral.after, *lateral.taps):
                self.time_ratio(lateral, at)
                width = self.width(lateral.dst, at, before=key)
                if lateral.join == "sum" and self.lateral_channels(key, at) != width:
                    raise ValueError(
                        f"lateral {key} after {at}: cannot add {self.lateral_channels(key, at)} channels to the "
                        f"{width} of {lateral.dst}"
                    )

    def __str__(self) -> str:
        return "; ".join(f"{name}: width {path.width}, stride {path.stride}" for name, path in self.pathways.items())

    def time_ratio(self, lateral: Lateral, stage: Stage) -> int:
        """Return the number of ``src`` steps per ``dst`` step after a stage."""
        src, dst = self.pathways[lateral.src], self.pathways[lateral.dst]
        dst_stride = (lateral.alpha or dst.stride) * dst.time_stride(stage)
        src_stride = (1 if lateral.alpha else src.stride) * src.time_stride(stage)
        if dst_stride % src_stride:
            raise ValueError(
                f"{lateral.src} -> {lateral.dst} after {stage}: the total time stride of {lateral.dst} ({dst_stride}) "
                f"is no multiple of that of {lateral.src} ({src_stride}): change the strides of the pathways"
            )
        return dst_stride // src_stride

    def lateral_channels(self, key: str, stage: Stage) -> int:
        """Return the output channels of a lateral after a stage."""
        lateral = self.laterals[key]
        own = self.pathways[lateral.src].channels(stage)
        if lateral.kind == "time-to-channel":
            return own * self.time_ratio(lateral, stage)
        if lateral.kind == "time-sample":
            return own
        if lateral.kind == "time-conv" and lateral.join == "concat":
            return lateral.widths[lateral.after.index(stage)] if lateral.widths else own * lateral.ratio
        return self.width(lateral.dst, stage, before=key)

    def width(self, name: str, stage: Stage, *, before: str | None = None) -> int:
        """Return the channels of a pathway after a stage and its laterals.

        With ``before``, only laterals listed before that one count, and taps too if it is itself tapped at this stage.
        """
        total = self.pathways[name].channels(stage)
        tapped = before is not None and stage in self.laterals[before].taps
        for key, lateral in self.laterals.items():
            if key == before:
                break
            is_fused = stage in lateral.after or (tapped and stage in lateral.taps)
            if lateral.dst == name and is_fused and lateral.join == "concat":
                total += self.lateral_channels(key, stage)
        return total

    def in_channels(self, name: str, stage: Stage) -> int:
        """Return the input channels of a stage: those of the preceding stage and its laterals."""
        if stage == "stem":
            return CHANNELS[self.pathways[name].reads]
        return self.width(name, STAGES[STAGES.index(stage) - 1])

    def features(self) -> dict[str, int]:
        """Return the length of each pathway's pooled feature."""
        return {name: path.channels("res5") * (path.final or 1) for name, path in self.pathways.items()}

    @property
    def signals(self) -> frozenset[str]:
        """Names of the input signals."""
        return frozenset(path.reads for path in self.pathways.values())

    def sync_laterals(self) -> dict[Stage, str]:
        """Return, by stage, the audio-to-video lateral whose features AV-sync can compare there."""
        paths = self.pathways
        return {
            stage: key
            for stage in STAGES
            for key, lateral in self.laterals.items()
            if (stage in lateral.after or stage in lateral.taps)
            and (paths[lateral.src].reads, paths[lateral.dst].reads) == ("logmel", "frames")
        }

    def no_audio_upstream(self, stage: Stage) -> bool:
        """Whether no audio is fused into the video features in earlier stages."""
        earlier = STAGES[: STAGES.index(stage)]
        return not any(at in earlier and at in self.laterals[key].after for at, key in self.sync_laterals().items())


def with_width(net: Net, width: int) -> Net:
    """Scale a network to ``width`` channels after the stem of its widest pathway, the others in proportion."""
    widest = max(path.width for path in net.pathways.values())

    def scale(channels: int) -> int:
        return max(1, channels * width // widest)

    def scale_pathway(path: Pathway) -> Pathway:
        widths = tuple(map(scale, path.widths)) if path.widths else None
        group = scale(path.group) if path.group else None
        return replace(path, width=scale(path.width), widths=widths, group=group)  # type: ignore[arg-type]

    laterals = {
        key: replace(lateral, widths=tuple(map(scale, lateral.widths))) if lateral.widths else lateral
        for key, lateral in net.laterals.items()
    }
    pathways = {name: scale_pathway(path) for name, path in net.pathways.items()}
    return replace(net, pathways=pathways, laterals=laterals)


def keep_taps(net: Net, stages: Collection[Stage]) -> Net:
    """Remove all taps but those at the given stages, whose parameters would get no gradient."""
    laterals = {
        key: replace(lateral, taps=tuple(stage for stage in lateral.taps if stage in stages))
        for key, lateral in net.laterals.items()
    }
    return replace(net, laterals={key: lateral for key, lateral in laterals.items() if lateral.after or lateral.taps})
