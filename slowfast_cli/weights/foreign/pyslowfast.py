"""Conversion of SlowFast-family checkpoints: names by rule, the network from tensor shapes, the rest from settings.

Checkpoints of PySlowFast, Auditory SlowFast and AVSlowFast may contain their settings as YAML text (``cfg``); those of
Caffe2 and PyTorchVideo do not. Values that neither shapes nor settings determine (alpha, frames of a clip, front end,
RoIAlign) come from a network that the caller names, or else are the published ones, with a note.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from slowfast_cli.models.architecture import Architecture
from slowfast_cli.models.spec import STAGES, Lateral, Net, Pathway
from slowfast_cli.types import Seconds, Settings, WeightsError
from slowfast_cli.weights.foreign.pyslowfast_cfg import FIXED, ParsedConfig, parse_yaml
from slowfast_cli.weights.foreign.pyslowfast_names import is_detector, own_name, to_pyslowfast

SLOW_HOP = 4  # hop of the Slow stream alone, relative to the two-stream model's (see `slowfast_cli.models.zoo`)
EPIC_SOUNDS = {"label": 44}  # heads of its models, unique among the released ones


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A foreign checkpoint, converted: network, tensors by our names, and settings."""

    net: Architecture
    heads: Mapping[str, int]  # number of classes by label set
    state: Mapping[str, Tensor]
    front_end: Settings | None  # of the log-mel; None if unknown; empty for a network without audio
    clip_seconds: Seconds | None  # None if unknown
    views: int  # test clips of a segment
    video: Mapping[str, Any] = field(default_factory=dict)  # settings of the frames; empty for a network without video
    sigmoid: bool = False  # independent classes (sigmoid) instead of exclusive ones (softmax)
    unexpected: tuple[str, ...] = ()  # tensor names that no rule matches
    notes: tuple[str, ...] = ()  # assumptions


def recognizes(state: Mapping[str, Tensor]) -> bool:
    """Whether the tensor names are those of the SlowFast family, in any supported naming scheme."""
    names = to_pyslowfast(state)
    stem = names.get("s1.pathway0_stem.conv.weight")
    return stem is not None and stem.ndim in (4, 5) and any(name.startswith("head.projection") for name in names)


def convert(
    state: Mapping[str, Tensor], text: str | None, *, like: Net | None = None, video: Mapping[str, Any] | None = None
) -> Checkpoint:
    """Convert a checkpoint.

    Args:
        state: Its tensors.
        text: Its settings as YAML, if any.
        like: Expected network, for what neither shapes nor settings determine.
        video: Expected settings of the frames, with the keys of `slowfast_cli.settings.Frames`, likewise.

    Raises:
        WeightsError: Settings are invalid or contradict the shapes, or the network is not of this family.
    """
    boxes, state = is_detector(state), to_pyslowfast(state)
    names = _pathway_names(state)
    renamed = {own_name(name, names): value for name, value in state.items()}
    heads = {name.split(".")[2]: len(value) for name, value in renamed.items() if re.match(r"heads\..*bias$", name)}
    unexpected = tuple(name for name in state if own_name(name, names) == name)
    parsed = ParsedConfig(settings=parse_yaml(text), heads=heads, boxes=boxes, like=like, video=video or {})
    notes: list[str] = []
    net = _net(state, names, parsed, notes)
    front_end: Settings | None = {}
    if "frames" in net.signals:
        video = parsed.frames(net, notes)
        seconds: Seconds | None = video["frames"] * video["step"] / video["fps"]
        if "logmel" in net.signals:
            front_end = parsed.audiovisual_front_end
        views = 1 if net.regions != "none" or video.get("sampling") == "uniform" else 10
    else:
        video = {}
        front_end, seconds = _front_end(parsed, heads, names, notes)
        views = 10 if "verb" in heads else 5 if heads == EPIC_SOUNDS else 2
    return Checkpoint(
        net=net, heads=heads,
        state={name: _reshape(name, value) for name, value in renamed.items() if name not in unexpected},
        front_end=front_end, clip_seconds=seconds, views=views, video=video, sigmoid=bool(video) and parsed.sigmoid,
        unexpected=unexpected, notes=tuple(notes),
    )  # fmt: skip


def _reshape(name: str, value: Tensor) -> Tensor:
    """Drop the third axis, of length one, of AVSlowFast's audio kernels; flatten Caffe2's classifier."""
    if value.ndim == 5 and (".audio_" in name or ".a2s_" in name):
        return value.squeeze(2)
    return value.flatten(1) if name.startswith("heads.") and value.ndim > 2 else value


def _pathway_names(state: Mapping[str, Tensor]) -> list[str]:
    if "s1.pathway2_stem.conv_t.weight" in state:
        return ["slow", "fast", "audio"]
    if "s1.pathway1_stem.conv.weight" in state:
        return ["slow", "fast"]
    # Among single streams only Fast has a temporal kernel in its stem (ASF Table 1).
    return ["fast" if state["s1.pathway0_stem.conv.weight"].shape[2] > 1 else "slow"]


def _net(state: Mapping[str, Tensor], names: Sequence[str], parsed: ParsedConfig, notes: list[str]) -> Net:
    has_video = state["s1.pathway0_stem.conv.weight"].ndim == 5
    try:
        alpha = parsed.alpha(state, has_video, notes) if len(names) > 1 else 1
        strides = (alpha, 1, 1)
        paths = {name: _pathway(state, number, strides[number], parsed) for number, name in enumerate(names)}
        laterals = {}
        if "fast" in names and "slow" in names:
            laterals["f2s"] = _f2s(state, "audio" in names)
        if "audio" in names:
            laterals["a2s"] = _a2s(state, laterals["f2s"], parsed)
        net = Net(
            pathways=paths,
            laterals={key: lateral for key, lateral in laterals.items() if lateral.after or lateral.taps},
        )
        return replace(net, window=parsed.window, regions=parsed.regions) if has_video else net
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise WeightsError(f"the checkpoint is not a network of the SlowFast family: {error}") from error


def _f2s(state: Mapping[str, Tensor], with_audio: bool) -> Lateral:
    fused = tuple(stage for number, stage in enumerate(STAGES, 1) if f"s{number}_fuse.conv_f2s.weight" in state)
    if not fused:
        return Lateral(src="fast", dst="slow", after=())
    kernel = state[f"s{STAGES.index(fused[0]) + 1}_fuse.conv_f2s.weight"]
    return Lateral(
        src="fast",
        dst="slow",
        after=tuple(stage for stage in fused if stage != "res5"),
        taps=("res5",) if with_audio and "res5" in fused else (),
        kernel=kernel.shape[2],
        ratio=kernel.shape[0] // kernel.shape[1],
    )


def _a2s(state: Mapping[str, Tensor], f2s: Lateral, parsed: ParsedConfig) -> Lateral:
    fused = tuple(stage for number, stage in enumerate(STAGES, 1) if f"s{number}_fuse.conv_a2fs_0.weight" in state)
    if not fused:
        return Lateral(src="audio", dst="slow", after=())
    kernel = state[f"s{STAGES.index(fused[0]) + 1}_fuse.conv_a2fs_0.weight"]
    return Lateral(
        src="audio", dst="slow", after=tuple(stage for stage in fused if stage in f2s.after), taps=f2s.taps,
        kind="pooled-convs", join="sum", kernel=kernel.shape[3], inner=kernel.shape[0], alpha=parsed.audio_alpha,
    )  # fmt: skip


def _pathway(state: Mapping[str, Tensor], number: int, stride: int, parsed: ParsedConfig) -> Pathway:
    if f"s1.pathway{number}_stem.conv_t.weight" in state:
        return _audio(state, number)
    stem = state[f"s1.pathway{number}_stem.conv.weight"]
    blocks = [_blocks(state, s, number) for s in (2, 3, 4, 5)]
    kernels = [
        [state[f"s{s}.pathway{number}_res{block}.branch2.a.weight"].shape[2] for block in range(blocks[s - 2])]
        for s in (2, 3, 4, 5)
    ]
    # Blocks with temporal kernels by stage; all of them where no block has one.
    temporal = [sum(size > 1 for size in sizes) if max(sizes) > 1 else len(sizes) for sizes in kernels]
    for stage, sizes in enumerate(kernels, 2):
        if sizes != sorted(sizes, reverse=True):
            raise ValueError(f"res{stage} has temporal kernels {', '.join(map(str, sizes))}, as I3D does")
    path = Pathway(
        stride=stride,
        width=stem.shape[0],
        depth=(blocks[0], blocks[1], blocks[2], blocks[3]),
        time=(stem.shape[2], *(max(sizes) for sizes in kernels)),  # type: ignore[arg-type]
        time_blocks=None if temporal == blocks else (temporal[0], temporal[1], temporal[2], temporal[3]),
    )
    if stem.ndim == 4:
        return path
    attend = [_nonlocal_blocks(state, s, number) for s in (2, 3, 4, 5)]
    return replace(
        path,
        reads="frames",
        stem="space",
        attend=(attend[0], attend[1], attend[2], attend[3]),
        attend_pool=parsed.attend_pool if any(attend) else (1, 2, 2),
        halve_space=("res3", "res4") if parsed.regions != "none" else ("res3", "res4", "res5"),
        dilated=("res5",) if parsed.regions != "none" else (),
    )


def _audio(state: Mapping[str, Tensor], number: int) -> Pathway:
    stem = state[f"s1.pathway{number}_stem.conv_t.weight"]
    blocks = [_blocks(state, s, number) for s in (2, 3, 4, 5)]
    concat = {s for s in (2, 3, 4, 5) if f"s{s}.pathway{number}_res0.branch2.t.weight" in state}
    added = {s for s in (2, 3, 4, 5) if f"s{s}.pathway{number}_res0.branch2.b_t.weight" in state}
    return Pathway(
        width=stem.shape[0], depth=(blocks[0], blocks[1], blocks[2], blocks[3]), stem="split",
        time=(stem.shape[3], 3, 3, 3, 3), time_in="middle", halve_time=("res3", "res4", "res5"),
        split=tuple(STAGES[s - 1] for s in sorted(concat | added)), split_as="sum" if added else "concat",
        absent="everywhere",
    )  # fmt: skip


def _blocks(state: Mapping[str, Tensor], stage: int, path: int) -> int:
    blocks = {m[1] for name in state if (m := re.match(rf"s{stage}\.pathway{path}_res(\d+)\.", name))}
    if not blocks:
        raise ValueError(f"pathway {path} has no bottleneck in res{stage}")
    return len(blocks)


def _nonlocal_blocks(state: Mapping[str, Tensor], stage: int, path: int) -> tuple[int, ...]:
    blocks = {m[1] for name in state if (m := re.match(rf"s{stage}\.pathway{path}_nonlocal(\d+)\.", name))}
    return tuple(sorted(map(int, blocks)))


def _front_end(
    parsed: ParsedConfig, heads: Mapping[str, int], names: Sequence[str], notes: list[str]
) -> tuple[Settings | None, Seconds | None]:
    if parsed.front_end is not None:
        return parsed.front_end
    kitchens = (24000, 10.0, 5.0, 1.999)
    label = kitchens if heads == EPIC_SOUNDS else (16000, 20.0, 10.0, 5.119)
    published = {("verb", "noun"): kitchens, ("label",): label}
    labels = tuple(sorted(heads, reverse=True))
    if labels not in published:
        return None, None
    rate, window_ms, hop_ms, seconds = published[labels]
    hop_ms *= SLOW_HOP if list(names) == ["slow"] else 1
    notes.append(
        f"the front end is not in the file: {rate} Hz, {window_ms:g} ms window, {hop_ms:g} ms hop, as published"
    )
    return {"rate": rate, "window_ms": window_ms, "hop_ms": hop_ms, "mels": 128, **FIXED}, seconds
