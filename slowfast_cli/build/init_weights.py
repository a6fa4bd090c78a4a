"""Initialize a model from other weights: matching tensors are copied, heads for other classes stay fresh."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from slowfast_cli.models.architecture import Baseline
from slowfast_cli.models.heads import module_key
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.recipe.files import Source
from slowfast_cli.recipe.load import changed, check, override
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.types import WeightsError
from slowfast_cli.weights.file import Card, Loaded, load_matching, read, read_card
from slowfast_cli.weights.resolve import weight_file

OF_THE_DATA = ("flip", "crops")  # fields of `Frames` that the data decides, not the weights


def with_settings_of_weights(source: Source, overrides: Sequence[str], *, offline: bool = False) -> Source:
    """Apply overrides to a recipe that, with ``adapt``, may take its network from `model.init`.

    A recipe that names no network then takes frames and front end of those weights too, where no override sets them.

    Args:
        source: The recipe as read.
        overrides: As for `slowfast_cli.recipe.load.override`.
        offline: Do not download weights.

    Raises:
        UsageError: The recipe has mistakes.
        WeightsError: The weights of such a recipe cannot be read.
    """
    plain = override(source, overrides)
    recipe = check(plain)
    if not recipe.adapt or recipe.model.variant is not None:
        return plain
    card, fields = read_card(weight_file(recipe.model.init, offline=offline)), dict[str, Any]()
    if recipe.video:
        fields = {f"video.{name}": value for name, value in card.video.items() if name not in OF_THE_DATA}
    if card.front_end:
        fields["frontend"] = dict(card.front_end)
    return override(changed(source, fields), overrides)


def with_protocol_of_weights(source: Source, overrides: Sequence[str], weights: Path) -> Recipe:
    """Give a recipe network, front end, frames and views of weights, except where an override sets them.

    Args:
        source: The recipe as read.
        overrides: As for `slowfast_cli.recipe.load.override`.
        weights: A weight file.

    Raises:
        UsageError: The recipe has mistakes.
        WeightsError: The file is no weight file.
    """
    card = read_card(weights)
    fields: dict[str, Any] = {
        "model.variant": None, "model.init": str(weights), "model.width": None, "model.drop_pathway": 0.0, "sync": None,
        "data.views": card.views, "data.clip_seconds": None if card.video else card.clip_seconds,
        "video": dict(card.video) or None, "published": dict(card.scores),
    }  # fmt: skip
    if card.front_end:
        fields["frontend"] = dict(card.front_end)
    return check(override(changed(source, fields), overrides))


def start_from(model: Recognizer, weights: str, classes: Mapping[str, tuple[str, ...]]) -> Loaded:
    """Copy weights into a model.

    Args:
        model: The recipe's model.
        weights: A file, a run folder or a catalog name.
        classes: Class names by label set: a head is copied only if its classes are the same; empty copies the trunk
            only.

    Raises:
        WeightsError: A tensor of the trunk is missing or has another shape: it is another network.
    """
    path = weight_file(weights)
    card, state = read(path)
    card = reorder_heads(state, card, classes)
    other = {labels for labels, names in card.classes.items() if classes.get(labels) != names}
    skipped = ("heads.",) if not classes else tuple(f"heads.linears.{module_key(labels)}." for labels in other)
    result = load_matching(model, {name: value for name, value in state.items() if not name.startswith(skipped)})
    missing = [name for name in result.fresh if name.startswith("trunk.") and not _may_be_fresh(model, name)]
    if missing:
        raise WeightsError(
            f"{path}: another network: {len(missing)} tensors of the trunk are missing or of another shape there, "
            f"such as {missing[0]}; "
            f"set model.variant to the network of those weights (recipe {card.recipe or 'unknown'})"
        )
    unused = tuple(name for name in state if name not in result.loaded)
    return Loaded(loaded=result.loaded, fresh=result.fresh, unused=unused, trained_on=card.trained_on)


def reorder_heads(state: dict[str, Tensor], card: Card, classes: Mapping[str, tuple[str, ...]]) -> Card:
    """Bring the rows of classifiers into another order of the same classes, in place.

    Args:
        state: Tensors by name.
        card: Their metadata.
        classes: Wanted class names by label set; label sets with other classes stay as they are.

    Returns:
        The metadata, with the classes in the order of the rows.
    """
    ordered = dict(card.classes)
    for labels, names in classes.items():
        theirs = card.classes.get(labels, ())
        if theirs != names and len(theirs) == len(names) and set(theirs) == set(names):
            rows = torch.tensor([theirs.index(name) for name in names])
            for key in [key for key in state if key.startswith(f"heads.linears.{module_key(labels)}.")]:
                state[key] = state[key][rows]
            ordered[labels] = names
    return replace(card, classes=ordered)


def _may_be_fresh(model: Recognizer, name: str) -> bool:
    """Whether a tensor has no effect before training: of non-local blocks, or of AV-sync taps."""
    net = model.trunk.net
    if isinstance(net, Baseline):
        return False
    taps = {f"trunk.laterals.{key}_{stage}." for key, lateral in net.laterals.items() for stage in lateral.taps}
    return ".attend" in name or name.startswith(tuple(taps))
