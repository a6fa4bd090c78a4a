"""Where a recipe meets the classes it names: the registries, and one function for each part of an experiment."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal, TypeVar

import torch

from slowfast_cli.data import (
    ava,
    charades,
    epic,
    epic55,
    esc10,
    esc50,
    folder,
    hmdb51,
    kinetics,
    listing,
    ucf101,
    vggsound,
)
from slowfast_cli.data.sources import Origin
from slowfast_cli.features.frames import FrameSettings
from slowfast_cli.features.logmel import FrontEnd
from slowfast_cli.models.spec import Net, Stage, compared_at, narrowed
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.recipe.load import did_you_mean
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages.variant import require_variant
from slowfast_cli.tasks import rotation
from slowfast_cli.tasks.avsync import Sync
from slowfast_cli.tasks.classify import Classify
from slowfast_cli.tasks.multilabel import MultiLabel
from slowfast_cli.tasks.task import Part as TaskPart
from slowfast_cli.tasks.task import Task
from slowfast_cli.types import Corpus, DataError, Reader, Target, UsageError


@dataclass(frozen=True, kw_only=True)
class Known:
    """A data set that the toolkit reads.

    Attributes:
        read: Its reader.
        origin: What it is, and where to get it.
        recipe: The recipe that goes with it.
        everything: Splits that together hold every recording.
        heads: Number of classes by label set; empty where the data decides.
        mixed: Each of its files is sound or video, as it happens.
    """

    read: Reader
    origin: Origin
    recipe: str
    everything: tuple[str, ...] = ("train", "val", "test")
    heads: Mapping[str, int] = field(default_factory=dict)
    mixed: bool = False


TWO, ALL = ("train", "val"), ("all",)
# fmt: off
CORPORA: dict[str, Known] = {
    "vggsound": Known(read=vggsound.read, origin=vggsound.ORIGIN, recipe="vggsound", everything=("train", "test"),
                      heads={"label": 309}),
    "epic": Known(read=epic.read, origin=epic.ORIGIN, recipe="epic", everything=("train", "validation", "test"),
                  heads={"verb": 97, "noun": 300}),
    "esc50": Known(read=esc50.read, origin=esc50.ORIGIN, recipe="esc50", everything=ALL, heads={"label": 50}),
    "esc10": Known(read=esc10.read, origin=esc10.ORIGIN, recipe="esc10", everything=ALL, heads={"label": 10}),
    "kinetics400": Known(read=kinetics.read, origin=kinetics.ORIGIN, recipe="kinetics-av", everything=TWO,
                         heads={"label": 400}),
    "kinetics600": Known(read=kinetics.read600, origin=kinetics.ORIGIN600, recipe="kinetics-audio", everything=TWO,
                         heads={"label": 600}),
    "kinetics-sounds": Known(read=kinetics.read_sounds, origin=kinetics.ORIGIN_SOUNDS, recipe="kinetics-sounds",
                             everything=TWO, heads={"label": 32}),
    "epic55": Known(read=epic55.read, origin=epic55.ORIGIN, recipe="epic55-av", heads={"verb": 125, "noun": 352},
                    everything=("all", "test_s1", "test_s2")),
    "charades": Known(read=charades.read, origin=charades.ORIGIN, recipe="charades-av", everything=("train", "test"),
                      heads={"label": 157}),
    "ava": Known(read=ava.read, origin=ava.ORIGIN, recipe="ava-av", everything=TWO, heads={"label": 80}),
    "ucf101": Known(read=ucf101.read, origin=ucf101.ORIGIN, recipe="ucf101", everything=ALL, heads={"label": 101}),
    "hmdb51": Known(read=hmdb51.read, origin=hmdb51.ORIGIN, recipe="hmdb51", everything=ALL, heads={"label": 51}),
    "folder": Known(read=folder.read, origin=folder.ORIGIN, recipe="folder", mixed=True),
    "csv": Known(read=listing.read, origin=listing.ORIGIN, recipe="folder", mixed=True),
}
# fmt: on
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

Part = Literal["train", "val", "test"]


def known(name: str) -> Known:
    """A data set by name.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in CORPORA:
        raise UsageError(
            f"{name}: no such data set{did_you_mean(name, list(CORPORA))}; `slowfast data ls` lists them all"
        )
    return CORPORA[name]


def root(recipe: Recipe) -> Path:
    """Where the corpus lies: as the recipe says, or below $SLOWFAST_DATA, or below ``data``."""
    return recipe.data.root or Path(os.environ.get("SLOWFAST_DATA", "data")) / recipe.data.corpus


def shards_folder(recipe: Recipe) -> Path:
    """Where the log-mels of this corpus and this front end are kept, beside the corpus."""
    if recipe.data.shards:
        return recipe.data.shards
    made = front_end(recipe)
    settings = f"{made.rate}hz-{made.window_ms:g}ms-{made.hop_ms:g}ms-{made.mels}mel"
    settings += "".join(
        f"-{each.name}{getattr(made, each.name):g}"
        for each in fields(FrontEnd)[4:]
        if getattr(made, each.name) != each.default
    )
    where = root(recipe).absolute()
    # Named after the root: two folders of sounds beside each other are two data sets.
    named = where.name if where.name == recipe.data.corpus else f"{where.name}-{recipe.data.corpus}"
    return where.parent / "shards" / named / settings


@functools.lru_cache(maxsize=8)
def _read(corpus: str, where: Path, split: str) -> Corpus:
    return known(corpus).read(where, split)


def corpus(recipe: Recipe, part: Part) -> Corpus:
    """A split of the recipe's corpus, with the labels that are asked for.

    Raises:
        DataError: It is not there.
        UsageError: There is no such label set.
    """
    found = _read(recipe.data.corpus, root(recipe), recipe.split(part))
    if recipe.task == "sync":
        return _relabelled(found, {}, lambda id_: {})
    if recipe.task == "rotation":
        return _relabelled(
            found, {rotation.LABELS: rotation.TURNS}, lambda id_: {rotation.LABELS: rotation.quarters_of(id_)}
        )
    if not recipe.data.labels:
        return found
    if unknown := set(recipe.data.labels) - set(found.classes):
        raise UsageError(
            f"data.labels: {', '.join(sorted(unknown))}: {found.name} has the label sets {', '.join(found.classes)}"
        )
    return _chosen(found, frozenset(recipe.data.labels))


T = TypeVar("T")


def _chosen(found: Corpus, wanted: frozenset[str]) -> Corpus:
    """The corpus with some of its label sets; what is scored, and when labels hold, stays."""

    def some(values: Mapping[str, T]) -> dict[str, T]:
        return {labels: value for labels, value in values.items() if labels in wanted}

    segments = tuple(
        replace(
            segment,
            targets=some(segment.targets),
            spans=tuple(span for span in segment.spans if span.labels in wanted),
        )
        for segment in found.segments
    )
    return replace(
        found, segments=segments, classes=some(found.classes), tail=some(found.tail), scored=some(found.scored)
    )


def _relabelled(
    found: Corpus, classes: Mapping[str, tuple[str, ...]], targets: Callable[[str], Mapping[str, Target]]
) -> Corpus:
    segments = tuple(replace(segment, targets=targets(segment.id), spans=()) for segment in found.segments)
    return replace(found, segments=segments, classes=classes, tail={}, scored={}, subsets={})


def everything(recipe: Recipe) -> tuple[list[Corpus], list[str]]:
    """Every split of the recipe's corpus whose lists are there, and the reasons for those that are not.

    Raises:
        DataError: None is.
    """
    found, reasons = list[Corpus](), list[DataError]()
    for split in known(recipe.data.corpus).everything:
        try:
            found.append(_read(recipe.data.corpus, root(recipe), split))
        except DataError as error:
            reasons.append(error)
    if not found:
        raise reasons[0]
    return found, [str(reason).splitlines()[0] for reason in reasons]


def front_end(recipe: Recipe) -> FrontEnd:
    """The recipe's log-mel settings.

    Raises:
        UsageError: They do not hold together.
    """
    try:
        return FrontEnd(**recipe.frontend.model_dump())
    except ValueError as error:
        raise UsageError(str(error)) from error


def frame_settings(recipe: Recipe) -> FrameSettings | None:
    """The recipe's frames of a clip, if it is about video."""
    return FrameSettings(**recipe.video.model_dump()) if recipe.video else None


def net(recipe: Recipe) -> Net:
    """The recipe's network.

    Raises:
        UsageError: There is no variant of that name, or it does not go with the task.
    """
    model = recipe.model
    if model.variant not in VARIANTS:
        near = did_you_mean(model.variant, list(VARIANTS))
        raise UsageError(
            f"model.variant: {model.variant!r}: no such network{near or '; `slowfast recipes variants` lists them'}"
        )
    found = VARIANTS[model.variant]
    found = narrowed(found, model.width) if model.width else found
    if recipe.video and "frames" in found.signals and found.window:
        found = replace(found, window=max(recipe.video.crop // 32, 1))
    require_variant(recipe, found)
    return compared_at(found, sync_stages(recipe))


def task(recipe: Recipe, labels: Collection[str]) -> Task:
    """What is learned of some label sets."""
    parts: list[TaskPart] = []
    if recipe.task in ("classify", "rotation"):
        parts.append(Classify(labels=tuple(labels), label_smoothing=recipe.optim.label_smoothing))
    elif recipe.task != "sync":
        parts.append(MultiLabel(labels=tuple(labels)))
    if recipe.sync:
        parts.append(Sync(stages=recipe.sync.stages, weight=recipe.sync.weight))
    return Task(tuple(parts))


def sizes(found: Corpus) -> dict[str, int]:
    """Number of classes by label set."""
    return {labels: len(names) for labels, names in found.classes.items()}


def heads(recipe: Recipe) -> dict[str, int]:
    """Number of classes by label set: known beforehand, or read from the corpus."""
    if recipe.task == "sync":
        return {}
    if recipe.task == "rotation":
        return {rotation.LABELS: len(rotation.TURNS)}
    known_heads = dict(known(recipe.data.corpus).heads) or sizes(corpus(recipe, "train"))
    return {name: size for name, size in known_heads.items() if not recipe.data.labels or name in recipe.data.labels}


def sync_stages(recipe: Recipe) -> tuple[Stage, ...]:
    """Where sound and pictures are compared."""
    return recipe.sync.stages if recipe.sync else ()


def parts(recipe: Recipe, processes: int = 1) -> int:
    """Parts a batch is worked off in, by each process."""
    plan = recipe.optim
    return plan.batch // (processes * plan.norm_clips) if plan.norm_clips else plan.accumulate
