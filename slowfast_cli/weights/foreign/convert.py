"""Foreign checkpoints to weight files of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from slowfast_cli.corpora import labels
from slowfast_cli.features.mel import mel_filters
from slowfast_cli.models.architecture import Architecture, Baseline
from slowfast_cli.models.baselines.zoo import BASELINES
from slowfast_cli.models.spec import STAGES, Stage
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.settings import FrontEnd
from slowfast_cli.storage.atomic import make_folder, write_atomic
from slowfast_cli.types import Settings, UsageError, WeightsError, did_you_mean
from slowfast_cli.weights.catalogue import CATALOGUE
from slowfast_cli.weights.catalogue_entry import Entry, network
from slowfast_cli.weights.file import Card, Loaded, put, save
from slowfast_cli.weights.foreign import haiku, panns, pyslowfast
from slowfast_cli.weights.foreign.load import load_tensors
from slowfast_cli.weights.official_sound import UNVERIFIED_ORDER

# Class lists by label set and size; a head of another size gets numbered classes.
NAMES = {
    ("label", 309): "vggsound",
    ("label", 400): "kinetics400",
    ("label", 157): "charades",
    ("label", 80): "ava80",
    ("verb", 97): "epic100_verbs",
    ("noun", 300): "epic100_nouns",
    ("label", 527): "audioset527",
}
# The recipe that goes with so many classes, of a network that only hears or sees, or does both.
RECIPES = {
    (309, False): "vggsound",
    (400, False): "kinetics",
    (400, True): "kinetics-av",
    (157, False): "charades-av",
    (157, True): "charades-av",
    (80, False): "ava",
    (80, True): "ava-av",
}


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A checkpoint became a weight file.

    Attributes:
        path: The new file.
        card: What it says of itself.
        told: Which tensors came over.
    """

    path: Path
    card: Card
    result: Loaded


def convert(source: Path, out: Path, *, variant: str | None = None, entry: Entry | None = None) -> Converted:
    """Convert a checkpoint of a known kind.

    PySlowFast, Auditory Slow-Fast, AVSlowFast, PyTorchVideo, Caffe2, CNN14 of PANNs, and SlowFast NFNets in Haiku.

    Args:
        source: A ``.pyth``, ``.pth`` or ``.pkl`` file, or a Haiku parameter tree in ``.npz`` or ``.npy``.
        out: The ``.safetensors`` file to write.
        variant: The network it is, by its name in the zoo or as official weights: for what the file does not tell. By
            default that is as published for a network of its shapes.
        entry: The official weights that it is; also says licence and scores.

    Raises:
        UsageError: No such variant.
        WeightsError: Not such a checkpoint, or one that does not fill its network, or is not the variant.
    """
    said = _said(variant, entry)
    state, cfg = load_tensors(source)
    try:
        found = _translated(state, cfg, said)
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}") from error
    if found.front_end is None or found.clip_seconds is None:
        raise WeightsError(
            f"{source}: says nothing of its front end, and its heads ({dict(found.heads)}) are not the published ones: "
            "keep the checkpoint's `cfg`, whose AUDIO_DATA section holds it"
        )
    other = _other(found.net, said)
    if said.heads is not None and dict(found.heads) != dict(said.heads):
        raise WeightsError(f"{source}: is not {said.name}: classes {dict(found.heads)}, not {dict(said.heads)}")
    if other and variant:
        raise WeightsError(
            f"{source}: is not {said.name}: {other}; without --variant the network is found from the file"
        )
    card = Card(
        net=found.net,
        classes={name: _class_names(name, size) for name, size in found.heads.items()},
        front_end=found.front_end,
        clip_seconds=found.clip_seconds,
        views=found.views,
        video=found.video,
        sigmoid=found.sigmoid,
        sync=_synced(found.state),
        recipe=_recipe(found),
        source=entry.url if entry else source.name,
        licence=entry.licence if entry else "",
        scores=dict(entry.published) if entry else {},
        notes=found.notes + _notes(found, entry) + ((f"not as announced: {other}",) if other else ()),
    )
    told = put(card.model(), found.state)
    told = Loaded(loaded=told.loaded, fresh=told.fresh, unused=told.unused + found.unexpected)
    if told.fresh:
        raise WeightsError(
            f"{source}: {len(told.fresh)} tensors are missing, as {told.fresh[0]}: a truncated or foreign checkpoint; "
            f"{len(told.loaded)} were found, {len(told.unused)} not expected{_named(told.unused)}"
        )
    make_folder(out.parent)
    write_atomic(out, lambda part: save(part, found.state, card))
    return Converted(path=out, card=card, result=told)


def _translated(state: Mapping[str, Tensor], cfg: str | None, said: _Said) -> pyslowfast.Converted:
    if panns.recognises(state):
        found = panns.convert(state, known=said.front_end)
        _check_filters(found.front_end, panns.filters(state))
        return found
    if pyslowfast.recognises(state):
        like = None if isinstance(said.net, Baseline) else said.net
        return pyslowfast.convert(state, cfg, like=like, video=said.video)
    if haiku.recognises(state):
        return haiku.convert(state)
    seen = ", ".join(list(state)[:3])
    raise WeightsError(
        f"not a checkpoint of the SlowFast family: its tensors are called {seen} ...; those are called "
        "s1.pathway0_stem.conv.weight ..., blocks.0.... (PyTorchVideo) or conv1_w ... (Caffe2), CNN14's of PANNs "
        "bn0.weight ..., SlowFast NFNet's in Haiku slow_fast_nf_net/~/NFNet/~/stem_conv0/w ..."
    )


def _check_filters(settings: Settings | None, filters_KF: Tensor | None) -> None:
    """The mel filters that a checkpoint holds are those of the front end it is taken to have."""
    if settings is None or filters_KF is None:
        return
    front_end = FrontEnd(**settings)  # type: ignore[arg-type]
    ours_KF = mel_filters(front_end).T
    if filters_KF.shape != ours_KF.shape or abs(filters_KF.numpy() - ours_KF).max() > 1e-4 * ours_KF.max():
        raise WeightsError(
            f"its mel filters are not those of {front_end.rate} Hz from {front_end.fmin:g} to {front_end.top:g} Hz, "
            "which PANNs has with its Fourier transform; right are the filters of its published front ends"
        )


@dataclass(frozen=True, kw_only=True)
class _Said:
    """What a checkpoint is said to be."""

    name: str = ""
    net: Architecture | None = None
    heads: Mapping[str, int] | None = None
    front_end: Settings | None = None
    video: Mapping[str, Any] | None = None


def _said(variant: str | None, entry: Entry | None) -> _Said:
    entry = entry or CATALOGUE.get(variant or "")
    if entry:
        front_end = entry.frontend or None
        return _Said(name=entry.name, net=network(entry), heads=entry.heads, front_end=front_end, video=entry.video)
    if variant is None:
        return _Said()
    if variant in BASELINES:
        return _Said(name=variant, net=BASELINES[variant])
    if variant not in VARIANTS:
        raise UsageError(
            f"--variant {variant}: no such network{did_you_mean(variant, [*VARIANTS, *BASELINES, *CATALOGUE])}; "
            "`slowfast recipes variants` lists them, and names of `slowfast weights ls` will do as well"
        )
    net = VARIANTS[variant]
    # A name like slowfast-8x8-r50 says how many frames Slow looks at, and how far apart: alpha times those of Fast.
    clip = re.search(r"(\d+)x(\d+)", variant)
    alpha = net.pathways["slow"].stride if "slow" in net.pathways else 1
    video = {"frames": int(clip[1]) * alpha, "step": int(clip[2]) // alpha} if clip else {}
    if clip and "a2s" in net.laterals:
        video["rows"] = int(clip[1]) * (net.laterals["a2s"].alpha or 1)
    return _Said(name=variant, net=net, video=video)


def _other(net: Architecture, said: _Said) -> str:
    """The first thing in which a network is not what it is said to be; empty where it is."""
    if said.net is None or net == said.net:
        return ""
    if isinstance(net, Baseline) or isinstance(said.net, Baseline):
        return f"it is {net}"
    if replace(net, window=said.net.window) == said.net:
        return ""
    ours, theirs = asdict(net), asdict(said.net)
    for path, fields in ours["pathways"].items():
        for key, value in fields.items():
            if path in theirs["pathways"] and value != theirs["pathways"][path][key]:
                return f"{path}.{key} is {value}, not {theirs['pathways'][path][key]}"
    return (
        f"its pathways are {', '.join(ours['pathways'])}, joined by {', '.join(ours['laterals']) or 'nothing'}, "
        f"regions {net.regions}"
    )


def _recipe(found: pyslowfast.Converted) -> str:
    if isinstance(found.net, Baseline):
        return ""
    if not found.heads:
        return "hares"
    if "verb" in found.heads:
        return "epic"
    hears = {"frames", "logmel"} <= found.net.signals
    return RECIPES.get((found.heads.get("label", 0), hears), "vggsound" if not found.video else "kinetics")


def _notes(found: pyslowfast.Converted, entry: Entry | None) -> tuple[str, ...]:
    if entry:
        return (entry.note,) if entry.note else ()
    return (UNVERIFIED_ORDER,) if found.heads.get("label") == 309 else ()


def _synced(state: Mapping[str, Tensor]) -> tuple[Stage, ...]:
    return tuple(stage for stage in STAGES if f"sync.see.{stage}.weight" in state)


def _class_names(labels_of: str, size: int) -> tuple[str, ...]:
    known = NAMES.get((labels_of, size))
    return labels.names(known) if known else tuple(f"{labels_of} {number}" for number in range(size))


def _named(names: tuple[str, ...]) -> str:
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""
