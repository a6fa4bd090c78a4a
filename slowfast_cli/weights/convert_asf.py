"""Auditory Slow-Fast checkpoints to ours: names by rule, the network from the shapes, the rest from the settings.

A checkpoint is a dict with ``model_state`` and, where its author kept it, ``cfg``: the settings as YAML text. The
stride alpha leaves no trace in the shapes, and neither does the front end: without ``cfg`` they are the published ones,
and the card says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml
from torch import Tensor

from slowfast_cli.models.spec import STAGES, Lateral, Net, Pathway
from slowfast_cli.types import Seconds, Settings, WeightsError

T = TypeVar("T", int, float)

_STAGE, _PATH = r"^s(?P<stage>\d)", r"\.pathway(?P<path>\d)"
_BLOCK, _CONV = _STAGE + _PATH + r"_res(?P<block>\d+)\.", r"branch2\.(?P<conv>[abc])"
RULES = (
    (_STAGE + _PATH + r"_stem\.bn\.", "trunk.stages.{path}_{stage}.norm."),
    (_STAGE + _PATH + r"_stem\.", "trunk.stages.{path}_{stage}."),
    (_BLOCK + r"branch1_bn\.", "trunk.stages.{path}_{stage}.{block}.shortcut.norm."),
    (_BLOCK + r"branch1\.", "trunk.stages.{path}_{stage}.{block}.shortcut.conv."),
    (_BLOCK + _CONV + r"_bn\.", "trunk.stages.{path}_{stage}.{block}.{conv}_norm."),
    (_BLOCK + _CONV + r"\.", "trunk.stages.{path}_{stage}.{block}.{conv}."),
    (_STAGE + r"_fuse\.conv_f2s\.", "trunk.laterals.f2s_{stage}.conv."),
    (_STAGE + r"_fuse\.bn\.", "trunk.laterals.f2s_{stage}.norm."),
    (r"^head\.projection_(?P<head>verb|noun)\.", "heads.linears.{head}.0."),
    (r"^head\.projection\.", "heads.linears.label.0."),
)
PUBLISHED_ALPHA = 4
FIXED: Settings = {"fft": 2048, "floor": 1e-6}  # of the reference's front end
PARALLEL = "module."  # what DistributedDataParallel puts before every name
LONGER_HOP = 4  # of the Slow stream alone (see `slowfast_cli.models.zoo`)


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A foreign checkpoint in our terms.

    Attributes:
        net: The network.
        heads: Number of classes by label set.
        state: Tensors by our names.
        front_end: Settings of the log-mel, and None where nothing says.
        clip_seconds: Length of a clip, and None likewise.
        views: Test clips of a segment.
        unexpected: Names that no rule knows.
        notes: What was taken for granted.
    """

    net: Net
    heads: Mapping[str, int]
    state: Mapping[str, Tensor]
    front_end: Settings | None
    clip_seconds: Seconds | None
    views: int
    unexpected: tuple[str, ...]
    notes: tuple[str, ...]


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Whether the names and shapes are those of Auditory Slow-Fast: 2-d convolutions under PySlowFast's names."""
    names = {name.removeprefix(PARALLEL): value for name, value in state.items()}
    stem = names.get("s1.pathway0_stem.conv.weight")
    return stem is not None and stem.ndim == 4 and any(name.startswith("head.projection") for name in names)


def convert(state: Mapping[str, Tensor], text: str | None) -> Converted:
    """Translate a checkpoint.

    Args:
        state: Its tensors.
        text: Its settings as YAML, if it has them.

    Raises:
        WeightsError: Settings and shapes contradict each other, or it is no network of this family.
    """
    state = {
        name.removeprefix(PARALLEL): value for name, value in state.items() if not name.endswith("num_batches_tracked")
    }
    settings = _settings(text)
    names = _pathway_names(state)
    notes: list[str] = []
    alpha = _asked(settings, "SLOWFAST", "ALPHA")
    if alpha is None and len(names) == 2:
        notes.append(f"alpha is not in the file: {PUBLISHED_ALPHA}, as published")
    net = _net(state, names, _number(int, "SLOWFAST.ALPHA", alpha or PUBLISHED_ALPHA))
    renamed = {_ours(name, names): value for name, value in state.items()}
    unexpected = tuple(name for name in state if _ours(name, names) == name)
    heads = {name.split(".")[2]: len(value) for name, value in renamed.items() if re.match(r"heads\..*bias$", name)}
    front_end, seconds = _front_end(settings, heads, names, notes)
    return Converted(
        net=net,
        heads=heads,
        state={name: value for name, value in renamed.items() if name not in unexpected},
        front_end=front_end,
        clip_seconds=seconds,
        views=10 if "verb" in heads else 2,
        unexpected=unexpected,
        notes=tuple(notes),
    )


def _settings(text: str | None) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(text) if text else {}
    except yaml.YAMLError as error:
        raise WeightsError(f"the checkpoint's cfg is not YAML: {' '.join(str(error).split())}") from error
    return settings if isinstance(settings, dict) else {}


def _asked(settings: Mapping[str, Any], section: str, field: str) -> Any:
    inside = settings.get(section)
    return inside.get(field) if isinstance(inside, dict) else None


def _number(kind: type[T], name: str, value: Any) -> T:
    try:
        return kind(value)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"the checkpoint's cfg has {name}: {value!r}: a number is right") from error


def _pathway_names(state: Mapping[str, Tensor]) -> list[str]:
    if "s1.pathway1_stem.conv.weight" in state:
        return ["slow", "fast"]
    # Of single streams only Fast has a temporal kernel in its stem (ASF Table 1).
    return ["fast" if state["s1.pathway0_stem.conv.weight"].shape[2] > 1 else "slow"]


def _ours(name: str, paths: list[str]) -> str:
    for rule, ours in RULES:
        if match := re.match(rule, name):
            found = match.groupdict()
            if "stage" in found:
                found["stage"] = STAGES[int(found["stage"]) - 1]
            if "path" in found:
                found["path"] = paths[int(found["path"])]
            return ours.format(**found) + name[match.end() :]
    return name


def _net(state: Mapping[str, Tensor], names: list[str], alpha: int) -> Net:
    try:
        paths = {
            name: _pathway(state, number, alpha if number == 0 and len(names) == 2 else 1)
            for number, name in enumerate(names)
        }
        laterals = {}
        if fused := tuple(
            stage for number, stage in enumerate(STAGES, 1) if f"s{number}_fuse.conv_f2s.weight" in state
        ):
            kernel = state[f"s{STAGES.index(fused[0]) + 1}_fuse.conv_f2s.weight"]
            laterals["f2s"] = Lateral(
                src="fast", dst="slow", after=fused, kernel=kernel.shape[2], ratio=kernel.shape[0] // kernel.shape[1]
            )
        return Net(pathways=paths, laterals=laterals)
    except (KeyError, ValueError) as error:
        raise WeightsError(f"the checkpoint is no Auditory Slow-Fast network: {error}") from error


def _pathway(state: Mapping[str, Tensor], number: int, stride: int) -> Pathway:
    stem = state[f"s1.pathway{number}_stem.conv.weight"]
    blocks = [
        len({name for name in state if re.match(rf"s{s}\.pathway{number}_res\d+\.branch2\.a\.weight", name)})
        for s in (2, 3, 4, 5)
    ]
    kernels = [state[f"s{s}.pathway{number}_res0.branch2.a.weight"].shape[2] for s in (2, 3, 4, 5)]
    return Pathway(
        stride=stride,
        width=stem.shape[0],
        depth=(blocks[0], blocks[1], blocks[2], blocks[3]),
        time=(stem.shape[2], kernels[0], kernels[1], kernels[2], kernels[3]),
    )


def _front_end(
    settings: Mapping[str, Any], heads: Mapping[str, int], names: list[str], notes: list[str]
) -> tuple[Settings | None, Seconds | None]:
    told = settings.get("AUDIO_DATA")
    if isinstance(told, dict) and {"SAMPLING_RATE", "WINDOW_LENGTH", "HOP_LENGTH", "CLIP_SECS"} <= set(told):
        front_end: Settings = {
            "rate": _number(int, "AUDIO_DATA.SAMPLING_RATE", told["SAMPLING_RATE"]),
            "window_ms": _number(float, "AUDIO_DATA.WINDOW_LENGTH", told["WINDOW_LENGTH"]),
            "hop_ms": _number(float, "AUDIO_DATA.HOP_LENGTH", told["HOP_LENGTH"]),
            "mels": _number(int, "AUDIO_DATA.NUM_FREQUENCIES", told.get("NUM_FREQUENCIES", 128)),
            **FIXED,
        }
        return front_end, _number(float, "AUDIO_DATA.CLIP_SECS", told["CLIP_SECS"])
    published = {("verb", "noun"): (24000, 10.0, 5.0, 1.999), ("label",): (16000, 20.0, 10.0, 5.119)}
    if tuple(sorted(heads, reverse=True)) not in published:
        return None, None
    rate, window_ms, hop_ms, seconds = published[tuple(sorted(heads, reverse=True))]
    hop_ms *= LONGER_HOP if names == ["slow"] else 1
    notes.append(
        f"the front end is not in the file: {rate} Hz, {window_ms:g} ms window, {hop_ms:g} ms hop, as published"
    )
    return {"rate": rate, "window_ms": window_ms, "hop_ms": hop_ms, "mels": 128, **FIXED}, seconds
