"""Checkpoints of the SlowFast family to ours: names by rule, the network from the shapes, the rest from the settings.

A checkpoint of PySlowFast, Auditory SlowFast or AVSlowFast may carry ``cfg``, its settings as YAML text; those of
Caffe2 and PyTorchVideo carry none. What leaves no trace in the shapes is then taken from a network that the caller
names, or as published, and the card says so: alpha, the frames of a clip, the front end, how boxes are read.
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
from slowfast_cli.weights.foreign.pyslowfast_cfg import Told, parsed
from slowfast_cli.weights.foreign.pyslowfast_names import detects, ours, pyslowfast

LONGER_HOP = 4  # of the Slow stream alone (see `slowfast_cli.models.zoo`)


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A foreign checkpoint in our terms.

    Attributes:
        net: The network.
        heads: Number of classes by label set.
        state: Tensors by our names.
        front_end: Settings of the log-mel, and None where nothing says; empty for a network without sound.
        video: Settings of the frames; empty for a network without.
        clip_seconds: Length of a clip, and None likewise.
        views: Test clips of a segment.
        sigmoid: Whether each class stands for itself.
        unexpected: Names that no rule knows.
        notes: What was taken for granted.
    """

    net: Architecture
    heads: Mapping[str, int]
    state: Mapping[str, Tensor]
    front_end: Settings | None
    clip_seconds: Seconds | None
    views: int
    video: Mapping[str, Any] = field(default_factory=dict)
    sigmoid: bool = False
    unexpected: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of the SlowFast family, in any of the spellings that are known."""
    names = pyslowfast(state)
    stem = names.get("s1.pathway0_stem.conv.weight")
    return stem is not None and stem.ndim in (4, 5) and any(name.startswith("head.projection") for name in names)


def convert(
    state: Mapping[str, Tensor],
    text: str | None,
    *,
    like: Net | None = None,
    video: Mapping[str, Any] | None = None,
) -> Converted:
    """Translate a checkpoint.

    Args:
        state: Its tensors.
        text: Its settings as YAML, if it has them.
        like: A network that it is said to be, asked for what neither shapes nor settings tell.
        video: Settings of the frames, in our terms, likewise.

    Raises:
        WeightsError: Settings and shapes contradict each other, or it is no network of this family.
    """
    boxes, state = detects(state), pyslowfast(state)
    names = _pathway_names(state)
    renamed = {ours(name, names): value for name, value in state.items()}
    heads = {name.split(".")[2]: len(value) for name, value in renamed.items() if re.match(r"heads\..*bias$", name)}
    unexpected = tuple(name for name in state if ours(name, names) == name)
    told = Told(settings=parsed(text), classes=heads.get("label", 0), boxes=boxes, like=like, video=video or {})
    notes: list[str] = []
    net = _net(state, names, told, notes)
    seen, heard = "frames" in net.signals, "logmel" in net.signals
    frames = told.frames(net, notes) if seen else {}
    front_end, seconds = _front_end(told, heads, names, notes) if not seen else (None, None)
    return Converted(
        net=net,
        heads=heads,
        state={name: _shaped(name, value) for name, value in renamed.items() if name not in unexpected},
        front_end=front_end if not seen else told.audiovisual_front_end if heard else {},
        clip_seconds=frames["frames"] * frames["step"] / frames["fps"] if seen else seconds,
        views=(1 if net.regions != "none" else 10) if seen or "verb" in heads else 2,
        video=frames,
        sigmoid=seen and told.sigmoid,
        unexpected=unexpected,
        notes=tuple(notes),
    )


def _shaped(name: str, value: Tensor) -> Tensor:
    """Spectrograms of AVSlowFast have a third axis of length one, which ours have not; Caffe2's classifier is flat."""
    if value.ndim == 5 and (".audio_" in name or ".a2s_" in name):
        return value.squeeze(2)
    return value.flatten(1) if name.startswith("heads.") and value.ndim > 2 else value


def _pathway_names(state: Mapping[str, Tensor]) -> list[str]:
    if "s1.pathway2_stem.conv_t.weight" in state:
        return ["slow", "fast", "audio"]
    if "s1.pathway1_stem.conv.weight" in state:
        return ["slow", "fast"]
    # Of single streams only Fast has a temporal kernel in its stem (ASF Table 1).
    return ["fast" if state["s1.pathway0_stem.conv.weight"].shape[2] > 1 else "slow"]


def _net(state: Mapping[str, Tensor], names: Sequence[str], told: Told, notes: list[str]) -> Net:
    seen = state["s1.pathway0_stem.conv.weight"].ndim == 5
    try:
        alpha = told.alpha(state, seen, notes) if len(names) > 1 else 1
        paths = {name: _pathway(state, number, alpha if number == 0 else 1, told) for number, name in enumerate(names)}
        laterals = {}
        if "fast" in names and "slow" in names:
            laterals["f2s"] = _f2s(state, "audio" in names)
        if "audio" in names:
            laterals["a2s"] = _a2s(state, laterals["f2s"], told)
        net = Net(pathways=paths, laterals={key: each for key, each in laterals.items() if each.after or each.taps})
        return replace(net, window=told.window, regions=told.regions) if seen else net
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise WeightsError(f"the checkpoint is no network of the SlowFast family: {error}") from error


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


def _a2s(state: Mapping[str, Tensor], f2s: Lateral, told: Told) -> Lateral:
    fused = tuple(stage for number, stage in enumerate(STAGES, 1) if f"s{number}_fuse.conv_a2fs_0.weight" in state)
    if not fused:
        return Lateral(src="audio", dst="slow", after=())
    kernel = state[f"s{STAGES.index(fused[0]) + 1}_fuse.conv_a2fs_0.weight"]
    return Lateral(
        src="audio",
        dst="slow",
        after=tuple(stage for stage in fused if stage in f2s.after),
        taps=f2s.taps,
        kind="pooled-convs",
        join="sum",
        kernel=kernel.shape[3],
        inner=kernel.shape[0],
        alpha=told.audio_alpha,
    )


def _pathway(state: Mapping[str, Tensor], number: int, stride: int, told: Told) -> Pathway:
    if f"s1.pathway{number}_stem.conv_t.weight" in state:
        return _audio(state, number)
    stem = state[f"s1.pathway{number}_stem.conv.weight"]
    blocks = [_blocks(state, s, number) for s in (2, 3, 4, 5)]
    kernels = [
        [state[f"s{s}.pathway{number}_res{block}.branch2.a.weight"].shape[2] for block in range(blocks[s - 2])]
        for s in (2, 3, 4, 5)
    ]
    timely = [sum(kernel > 1 for kernel in each) if max(each) > 1 else len(each) for each in kernels]
    for stage, each in enumerate(kernels, 2):
        if each != sorted(each, reverse=True):
            raise ValueError(f"res{stage} has temporal kernels {', '.join(map(str, each))}, as I3D does")
    path = Pathway(
        stride=stride,
        width=stem.shape[0],
        depth=(blocks[0], blocks[1], blocks[2], blocks[3]),
        time=(stem.shape[2], *(max(each) for each in kernels)),  # type: ignore[arg-type]
        time_blocks=None if timely == blocks else (timely[0], timely[1], timely[2], timely[3]),
    )
    if stem.ndim == 4:
        return path
    attend = [_attended(state, s, number) for s in (2, 3, 4, 5)]
    return replace(
        path,
        reads="frames",
        stem="space",
        attend=(attend[0], attend[1], attend[2], attend[3]),
        attend_pool=told.attend_pool if any(attend) else (1, 2, 2),
        halve_space=("res3", "res4") if told.regions != "none" else ("res3", "res4", "res5"),
        dilated=("res5",) if told.regions != "none" else (),
    )


def _audio(state: Mapping[str, Tensor], number: int) -> Pathway:
    stem = state[f"s1.pathway{number}_stem.conv_t.weight"]
    blocks = [_blocks(state, s, number) for s in (2, 3, 4, 5)]
    concat = {s for s in (2, 3, 4, 5) if f"s{s}.pathway{number}_res0.branch2.t.weight" in state}
    added = {s for s in (2, 3, 4, 5) if f"s{s}.pathway{number}_res0.branch2.b_t.weight" in state}
    return Pathway(
        width=stem.shape[0],
        depth=(blocks[0], blocks[1], blocks[2], blocks[3]),
        stem="split",
        time=(stem.shape[3], 3, 3, 3, 3),
        time_in="middle",
        halve_time=("res3", "res4", "res5"),
        split=tuple(STAGES[s - 1] for s in sorted(concat | added)),
        split_as="sum" if added else "concat",
        absent="everywhere",
    )


def _blocks(state: Mapping[str, Tensor], stage: int, path: int) -> int:
    found = {m[1] for name in state if (m := re.match(rf"s{stage}\.pathway{path}_res(\d+)\.", name))}
    if not found:
        raise ValueError(f"pathway {path} has no bottleneck in res{stage}")
    return len(found)


def _attended(state: Mapping[str, Tensor], stage: int, path: int) -> tuple[int, ...]:
    found = {m[1] for name in state if (m := re.match(rf"s{stage}\.pathway{path}_nonlocal(\d+)\.", name))}
    return tuple(sorted(map(int, found)))


def _front_end(
    told: Told, heads: Mapping[str, int], names: Sequence[str], notes: list[str]
) -> tuple[Settings | None, Seconds | None]:
    if told.front_end is not None:
        return told.front_end
    published = {("verb", "noun"): (24000, 10.0, 5.0, 1.999), ("label",): (16000, 20.0, 10.0, 5.119)}
    if tuple(sorted(heads, reverse=True)) not in published:
        return None, None
    rate, window_ms, hop_ms, seconds = published[tuple(sorted(heads, reverse=True))]
    hop_ms *= LONGER_HOP if list(names) == ["slow"] else 1
    notes.append(
        f"the front end is not in the file: {rate} Hz, {window_ms:g} ms window, {hop_ms:g} ms hop, as published"
    )
    settings: Settings = {
        "rate": rate,
        "window_ms": window_ms,
        "hop_ms": hop_ms,
        "mels": 128,
        "fft": 2048,
        "floor": 1e-6,
    }
    return settings, seconds
