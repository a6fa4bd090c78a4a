"""Foreign checkpoints to weight files of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from slowfast_cli.data import labels
from slowfast_cli.engine.checkpoint import make_folder, write_whole
from slowfast_cli.models.spec import STAGES, Stage
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.recipe.load import did_you_mean
from slowfast_cli.types import UsageError, WeightsError
from slowfast_cli.weights import convert_pyslowfast
from slowfast_cli.weights.catalogue import UNVERIFIED_ORDER
from slowfast_cli.weights.file import Card, Loaded, put, save
from slowfast_cli.weights.pickles import load_tensors

# Class lists by label set and size; a head of another size gets numbered classes.
NAMES = {
    ("label", 309): "vggsound",
    ("label", 400): "kinetics400",
    ("label", 157): "charades",
    ("label", 80): "ava80",
    ("verb", 97): "epic100_verbs",
    ("noun", 300): "epic100_nouns",
}
RECIPES = {309: "vggsound", 400: "kinetics", 157: "charades-av", 80: "ava"}


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
    told: Loaded


def convert(
    source: Path,
    out: Path,
    *,
    variant: str | None = None,
    licence: str = "",
    scores: Mapping[str, float] | None = None,
) -> Converted:
    """Convert a checkpoint of the SlowFast family: PySlowFast, Auditory Slow-Fast, AVSlowFast, PyTorchVideo or Caffe2.

    Args:
        source: A ``.pyth``, ``.pth`` or ``.pkl`` file.
        out: The ``.safetensors`` file to write.
        variant: The network it is, by its name in the zoo; by default found from shapes and settings.
        licence: Of the weights.
        scores: What is known of them.

    Raises:
        WeightsError: Not such a checkpoint, or one that does not fill its network.
    """
    if variant is not None and variant not in VARIANTS:
        raise UsageError(f"--variant {variant}: no such network{did_you_mean(variant, list(VARIANTS))}")
    state, cfg = load_tensors(source)
    if not convert_pyslowfast.recognises(state):
        seen = ", ".join(list(state)[:3])
        raise WeightsError(
            f"{source}: not a checkpoint of the SlowFast family: its tensors are called {seen} ...; those are called "
            "s1.pathway0_stem.conv.weight ..., blocks.0.... (PyTorchVideo) or conv1_w ... (Caffe2)"
        )
    try:
        found = convert_pyslowfast.convert(state, cfg, net=VARIANTS[variant] if variant else None)
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}") from error
    if found.front_end is None or found.clip_seconds is None:
        raise WeightsError(
            f"{source}: says nothing of its front end, and its heads ({dict(found.heads)}) are not the published ones: "
            "keep the checkpoint's `cfg`, whose AUDIO_DATA section holds it"
        )
    notes = found.notes + ((UNVERIFIED_ORDER,) if found.heads.get("label") == 309 else ())
    card = Card(
        net=found.net,
        classes={name: _class_names(name, size) for name, size in found.heads.items()},
        front_end=found.front_end,
        clip_seconds=found.clip_seconds,
        views=found.views,
        video=found.video,
        sigmoid=found.sigmoid,
        sync=_synced(found.state),
        recipe="epic" if "verb" in found.heads else RECIPES.get(found.heads.get("label", 0), "vggsound"),
        source=source.name,
        licence=licence,
        scores=scores or {},
        notes=notes,
    )
    told = put(card.model(), found.state)
    told = Loaded(loaded=told.loaded, fresh=told.fresh, unused=told.unused + found.unexpected)
    if told.fresh:
        raise WeightsError(
            f"{source}: {len(told.fresh)} tensors are missing, as {told.fresh[0]}: a truncated or foreign checkpoint; "
            f"{len(told.loaded)} were found, {len(told.unused)} not expected{_named(told.unused)}"
        )
    make_folder(out.parent)
    write_whole(out, lambda part: save(part, found.state, card))
    return Converted(path=out, card=card, told=told)


def _synced(state: Mapping[str, Tensor]) -> tuple[Stage, ...]:
    return tuple(stage for stage in STAGES if f"sync.see.{stage}.weight" in state)


def _class_names(labels_of: str, size: int) -> tuple[str, ...]:
    known = NAMES.get((labels_of, size))
    return labels.names(known) if known else tuple(f"{labels_of} {number}" for number in range(size))


def _named(names: tuple[str, ...]) -> str:
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""
