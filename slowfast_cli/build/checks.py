"""Whether weights go with a recipe: the same classes, sound and frames."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slowfast_cli.build import assemble
from slowfast_cli.corpora.segments import typical
from slowfast_cli.features.logmel import FrontEnd
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.types import Corpus, DataError, UsageError, WeightsError
from slowfast_cli.weights.file import Card

OF_FRAMES = ("frames", "step", "fps", "mean", "std")  # what a network has to be given as it was trained


def require_fit(card: Card, recipe: Recipe, found: Corpus, weights: Path) -> None:
    """Refuse weights that were made for something else.

    Raises:
        WeightsError: They were; the text says for what.
    """
    for labels, names in found.classes.items():
        theirs = card.classes.get(labels, ())
        if theirs != names:
            at = next(
                (i for i, (a, b) in enumerate(zip(theirs, names, strict=False)) if a != b), min(len(theirs), len(names))
            )
            raise WeightsError(
                f"{weights}: made for other classes: label set {labels!r} has {len(theirs)} there, {len(names)} in "
                f"{found.name}, and they part at index {at}: evaluate with the recipe of the weights ({card.recipe})"
            )
    frames = assemble.frame_settings(recipe)
    seconds = frames.seconds if frames else recipe.data.clip_seconds
    if card.clip_seconds != seconds:
        field = "" if frames else f": evaluate with data.clip_seconds={card.clip_seconds:g}"
        raise WeightsError(f"{weights}: trained on clips of {card.clip_seconds:g} s, the recipe has {seconds:g}{field}")
    hears, looks = "logmel" in card.net.signals, "frames" in card.net.signals
    if hears:
        _require_same(weights, "frontend", vars(FrontEnd(**card.front_end)), vars(assemble.front_end(recipe)))  # type: ignore[arg-type]
    if frames is None:
        if looks:
            raise WeightsError(f"{weights}: looks at frames, and the recipe has no `video` section: use its own recipe")
        return
    matter = (*(OF_FRAMES if looks else ()), *(("rows",) if hears else ()))
    wanted = frames.settings()
    _require_same(weights, "video", card.video, {name: wanted[name] for name in matter})


def require_kind(recipe: Recipe, found: Corpus) -> None:
    """Refuse a task that does not go with the labels.

    Raises:
        DataError: There are no classes, and the task needs some.
        UsageError: One class is to be chosen where several hold at once, or the other way round.
    """
    if not found.classes and recipe.task in ("classify", "multilabel", "detect"):
        raise DataError(
            f"{found.name} {found.split}: its {len(found.segments)} files have no classes, and task {recipe.task} "
            "needs some: put the files into one folder a class, or pre-train with a task that needs none"
        )
    targets = [target for segment in typical(found.segments) for target in segment.targets.values()]
    several = any(isinstance(target, tuple) for target in targets)
    if targets and recipe.task in ("classify", "multilabel") and several != (recipe.task == "multilabel"):
        held = "any number of classes a segment" if several else "one class a segment"
        right = "multilabel" if several else "classify"
        raise UsageError(f"task: {recipe.task}: {found.name} has {held}: set task: {right}")


def _require_same(weights: Path, section: str, made: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    names = [name for name in wanted if made.get(name) != wanted[name]]
    if names:
        differs = "; ".join(
            f"{section}.{name} {_told(made.get(name))}, the recipe has {_told(wanted[name])}" for name in names
        )
        raise WeightsError(
            f"{weights}: trained with {differs}: use the weights' own, as "
            + " ".join(f"{section}.{name}={_told(made.get(name))}" for name in names)
        )


def _told(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
