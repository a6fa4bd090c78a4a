"""Convert foreign checkpoints to weight files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from slowfast_cli.corpora import labels
from slowfast_cli.features.mel import mel_filters
from slowfast_cli.models.architecture import Architecture, Baseline
from slowfast_cli.models.baselines.zoo import BASELINES
from slowfast_cli.models.spec import STAGES
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.settings import FrontEnd
from slowfast_cli.storage.atomic import make_folder, write_atomic
from slowfast_cli.types import Settings, UsageError, WeightsError, did_you_mean
from slowfast_cli.weights.catalog import CATALOG
from slowfast_cli.weights.catalog_entry import CatalogEntry, network
from slowfast_cli.weights.file import Card, Loaded, check_finite, load_matching, save
from slowfast_cli.weights.foreign import haiku, panns, pyslowfast
from slowfast_cli.weights.foreign.load import load_state
from slowfast_cli.weights.foreign.pyslowfast import Checkpoint
from slowfast_cli.weights.foreign.vggsound_order import class_order

# Lists of class names by label set and size; classes of other heads are numbered.
CLASS_LISTS = {
    ("label", 400): "kinetics400", ("label", 157): "charades", ("label", 80): "ava80",
    ("verb", 97): "epic100_verbs", ("noun", 300): "epic100_nouns", ("label", 527): "audioset527",
    ("label", 44): "epic_sounds44", ("label", 174): "ssv2",
}  # fmt: skip
HEAD_BIAS = r"heads\.linears\.label\.\d+\.bias"
VGGSOUND = 309  # classes, in an order of its own: see `class_order`
# Recipes by number of classes, and whether the network is audiovisual.
RECIPES = {
    (309, False): "vggsound", (400, False): "kinetics", (400, True): "kinetics-av", (157, False): "charades-av",
    (157, True): "charades-av", (80, False): "ava", (80, True): "ava-av", (44, False): "epic-sounds",
    (174, False): "ssv2",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A weight file written from a foreign checkpoint."""

    path: Path
    card: Card
    result: Loaded


def convert(
    source: Path, out: Path, *, variant: str | None = None, entry: CatalogEntry | None = None, ema: bool = False
) -> Converted:
    """Convert a checkpoint.

    Supported: PySlowFast, Auditory Slow-Fast, AVSlowFast, PyTorchVideo, Caffe2, PANNs (CNN14), SlowFast NFNet (Haiku).

    Args:
        source: A ``.pyth``, ``.pth`` or ``.pkl`` file, or a Haiku parameter tree in ``.npz`` or ``.npy``.
        out: The ``.safetensors`` file to write.
        variant: Name of its network, in the zoo or in the catalog, for properties that the file does not determine;
            by default these are as published for a network of its shapes.
        ema: Take the averaged (EMA) weights of a file that has both.
        entry: Catalog entry of the checkpoint, if it is an official one; also gives license and scores.

    Raises:
        UsageError: The variant is unknown.
        WeightsError: The checkpoint is not supported, is incomplete or not the variant, or a value is not finite.
    """
    expected = _expected(variant, entry)
    foreign = load_state(source, ema=ema)
    try:
        checkpoint = _convert_tensors(foreign.tensors, foreign.cfg, expected)
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}") from error
    heads = dict(checkpoint.heads)
    if checkpoint.front_end is None or checkpoint.clip_seconds is None:
        raise WeightsError(
            f"{source}: its front end is unknown: it has no `cfg` with an AUDIO_DATA section, and its heads ({heads}) "
            "are not the published ones: use a checkpoint with its `cfg`"
        )
    if expected.heads is not None and heads != dict(expected.heads):
        raise WeightsError(f"{source}: is not {expected.name}: it has classes {heads}, expected {dict(expected.heads)}")
    difference = _difference(checkpoint.net, expected)
    if difference and variant:
        raise WeightsError(f"{source}: is not {expected.name}: {difference}; omit --variant to determine it")
    check_finite(source, checkpoint.state)
    notes = foreign.notes + checkpoint.notes
    if entry:
        notes += (entry.note,) if entry.note else ()
    classes = {name: _class_names(name, size) for name, size in heads.items()}
    if len(classes.get("label", ())) == VGGSOUND:
        biases = [checkpoint.state[name] for name in checkpoint.state if re.fullmatch(HEAD_BIAS, name)]
        classes["label"], note = class_order(torch.stack(biases).mean(0))
        notes += (note,)
    card = Card(
        net=checkpoint.net, classes=classes,
        front_end=checkpoint.front_end, clip_seconds=checkpoint.clip_seconds, views=checkpoint.views,
        video=checkpoint.video, sigmoid=checkpoint.sigmoid,
        sync=tuple(stage for stage in STAGES if f"sync.see.{stage}.weight" in checkpoint.state),
        recipe=_recipe(checkpoint), source=entry.url if entry else source.name, licence=entry.licence if entry else "",
        scores=dict(entry.published) if entry else {},
        notes=notes + ((f"not as published: {difference}",) if difference else ()),
    )  # fmt: skip
    result = load_matching(card.model(), checkpoint.state)
    result = replace(result, unused=result.unused + checkpoint.unexpected)
    if result.fresh:
        examples = f": {', '.join(result.unused[:3])}" if result.unused else ""
        raise WeightsError(
            f"{source}: {len(result.fresh)} tensors are missing, such as {result.fresh[0]}: a truncated or foreign "
            f"checkpoint; {len(result.loaded)} were loaded, {len(result.unused)} unexpected{examples}"
        )
    make_folder(out.parent)
    write_atomic(out, lambda part: save(part, checkpoint.state, card))
    return Converted(path=out, card=card, result=result)


@dataclass(frozen=True, kw_only=True)
class _Expected:
    """Properties of the model that the caller named; None if unknown."""

    name: str = ""
    net: Architecture | None = None
    heads: Mapping[str, int] | None = None
    front_end: Settings | None = None
    video: Mapping[str, Any] | None = None


def _expected(variant: str | None, entry: CatalogEntry | None) -> _Expected:
    entry = entry or CATALOG.get(variant or "")
    if entry:
        front_end = entry.frontend or None
        return _Expected(name=entry.name, net=network(entry), heads=entry.heads, front_end=front_end, video=entry.video)
    if variant is None:
        return _Expected()
    if variant in BASELINES:
        return _Expected(name=variant, net=BASELINES[variant])
    if variant not in VARIANTS:
        raise UsageError(
            f"--variant {variant}: no such network{did_you_mean(variant, [*VARIANTS, *BASELINES, *CATALOG]) or ';'} "
            "`slowfast recipes variants` lists them, `slowfast weights ls` lists official weights"
        )
    net = VARIANTS[variant]
    # slowfast-8x8-r50: Slow reads 8 frames, 8 apart; Fast reads alpha times as many.
    clip = re.search(r"(\d+)x(\d+)", variant)
    alpha = net.pathways["slow"].stride if "slow" in net.pathways else 1
    video = {"frames": int(clip[1]) * alpha, "step": int(clip[2]) // alpha} if clip else {}
    if clip and "a2s" in net.laterals:
        video["rows"] = int(clip[1]) * (net.laterals["a2s"].alpha or 1)
    return _Expected(name=variant, net=net, video=video)


def _convert_tensors(state: Mapping[str, Tensor], text: str | None, expected: _Expected) -> Checkpoint:
    if panns.recognizes(state):
        checkpoint = panns.convert(state, known=expected.front_end)
        _check_filters(checkpoint.front_end, panns.filters(state))
        return checkpoint
    if pyslowfast.recognizes(state):
        like = None if isinstance(expected.net, Baseline) else expected.net
        return pyslowfast.convert(state, text, like=like, video=expected.video)
    if haiku.recognizes(state):
        return haiku.convert(state)
    raise WeightsError(
        f"not a checkpoint of the SlowFast family: its tensors are {', '.join(list(state)[:3])} ..., expected "
        "s1.pathway0_stem.conv.weight ... (PySlowFast), blocks.0.... (PyTorchVideo), conv1_w ... (Caffe2), "
        "bn0.weight ... (CNN14 of PANNs) or slow_fast_nf_net/~/NFNet/~/stem_conv0/w ... (SlowFast NFNet in Haiku)"
    )


def _check_filters(settings: Settings | None, filters_KF: Tensor | None) -> None:
    """Refuse a checkpoint whose mel filters are not those of its front end."""
    if settings is None or filters_KF is None:
        return
    front_end = FrontEnd(**settings)  # type: ignore[arg-type]
    own_KF = mel_filters(front_end).T
    if filters_KF.shape != own_KF.shape or abs(filters_KF.numpy() - own_KF).max() > 1e-4 * own_KF.max():
        raise WeightsError(
            f"its mel filters do not match its FFT size: expected those of PANNs at {front_end.rate} Hz, "
            f"from {front_end.fmin:g} to {front_end.top:g} Hz"
        )


def _difference(net: Architecture, expected: _Expected) -> str:
    """Describe the first difference between a network and the expected one; empty if there is none."""
    if expected.net is None or net == expected.net:
        return ""
    if isinstance(net, Baseline) or isinstance(expected.net, Baseline):
        return f"the network is {net}, expected {expected.net}"
    if replace(net, window=expected.net.window) == expected.net:
        return ""
    actual, wanted = asdict(net), asdict(expected.net)
    for path, fields in actual["pathways"].items():
        for key, value in fields.items():
            if path in wanted["pathways"] and value != wanted["pathways"][path][key]:
                return f"{path}.{key} is {value}, expected {wanted['pathways'][path][key]}"
    return (
        f"it has pathways {', '.join(actual['pathways'])}, laterals {', '.join(actual['laterals']) or 'none'}, "
        f"regions {net.regions}"
    )


def _recipe(checkpoint: Checkpoint) -> str:
    if isinstance(checkpoint.net, Baseline):
        return ""
    if not checkpoint.heads:
        return "hares"
    if "verb" in checkpoint.heads:
        return "epic-video" if checkpoint.video else "epic"
    audiovisual = {"frames", "logmel"} <= checkpoint.net.signals
    default = "kinetics" if checkpoint.video else "vggsound"
    return RECIPES.get((checkpoint.heads.get("label", 0), audiovisual), default)


def _class_names(label_set: str, size: int) -> tuple[str, ...]:
    class_list = CLASS_LISTS.get((label_set, size))
    return labels.names(class_list) if class_list else tuple(f"{label_set} {number}" for number in range(size))
