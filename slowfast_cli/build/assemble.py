"""Where a recipe meets the classes it names: the registries, and one function for each part of an experiment."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from slowfast_cli.build.relabel import chosen, nothing, relabelled, turned
from slowfast_cli.build.variant import require_baseline, require_variant, require_waveform
from slowfast_cli.corpora.registry import CORPORA, DatasetEntry
from slowfast_cli.data.stored_features import StoredFeatures
from slowfast_cli.features.frames import FrameSettings
from slowfast_cli.features.logmel import FrontEnd
from slowfast_cli.models import external, objectives
from slowfast_cli.models.architecture import Architecture, Baseline
from slowfast_cli.models.baselines.zoo import BASELINES
from slowfast_cli.models.objectives.simclr import Projector
from slowfast_cli.models.spec import Stage, keep_taps, with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.recipe.load import did_you_mean
from slowfast_cli.recipe.schema import PRETEXTS, Model, Recipe
from slowfast_cli.storage import remote
from slowfast_cli.tasks import rotation
from slowfast_cli.tasks.avsync import Sync
from slowfast_cli.tasks.byol import Byol
from slowfast_cli.tasks.classify import Classify
from slowfast_cli.tasks.cpc import Cpc
from slowfast_cli.tasks.masked import Masked
from slowfast_cli.tasks.multilabel import MultiLabel
from slowfast_cli.tasks.simclr import SimCLR
from slowfast_cli.tasks.task import Part as TaskPart
from slowfast_cli.tasks.task import Task
from slowfast_cli.types import Corpus, DataError, UsageError
from slowfast_cli.weights.file import read_card, require_own
from slowfast_cli.weights.resolve import weight_file

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

Part = Literal["train", "val", "test"]


def known(name: str) -> DatasetEntry:
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
    return listed(recipe.data.root or remote.local_path(os.environ.get("SLOWFAST_DATA", "data")) / recipe.data.corpus)


@functools.lru_cache(maxsize=32)
def listed(folder: Path) -> Path:
    """The folder; of one elsewhere it is looked up once what is in it, see `slowfast_cli.storage.remote`."""
    return remote.mirror(folder)


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
def _read(corpus: str, where: Path, split: str, labelled: bool = True) -> Corpus:
    found = known(corpus)
    read = found.read if labelled or found.read_unlabeled is None else found.read_unlabeled
    return read(where, split)


def corpus(recipe: Recipe, part: Part) -> Corpus:
    """A split of the recipe's corpus, with the labels that are asked for.

    Raises:
        DataError: It is not there.
        UsageError: There is no such label set.
    """
    labelled = recipe.task not in PRETEXTS
    found = _read(recipe.data.corpus, root(recipe), recipe.split(part), labelled)
    if recipe.task == "sync" or recipe.task in PRETEXTS:
        return relabelled(found, {}, nothing)
    if recipe.task == "rotation":
        return relabelled(found, {rotation.LABELS: rotation.TURNS}, turned)
    if not recipe.data.labels:
        return found
    if unknown := set(recipe.data.labels) - set(found.classes):
        raise UsageError(
            f"data.labels: {', '.join(sorted(unknown))}: {found.name} has the label sets {', '.join(found.classes)}"
        )
    return chosen(found, frozenset(recipe.data.labels))


def everything(recipe: Recipe) -> tuple[list[Corpus], list[str]]:
    """Every split of the recipe's corpus whose lists are there, and the reasons for those that are not.

    Raises:
        DataError: None is.
    """
    found, reasons = list[Corpus](), list[DataError]()
    for split in known(recipe.data.corpus).all_splits:
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


NETWORKS: Mapping[str, Architecture] = {**VARIANTS, **BASELINES}


def net(recipe: Recipe) -> Architecture:
    """The recipe's network.

    Raises:
        UsageError: There is no variant of that name, or it does not go with the task or the front end.
    """
    if recipe.data.source == "features":
        made = StoredFeatures(shards_folder(recipe) / recipe.split("test")).made
        return Baseline(kind="features", reads="features", length=made["length"])
    found = _named(recipe.model)
    if isinstance(found, Baseline):
        require_baseline(recipe, found)
        return found
    found = with_width(found, recipe.model.width) if recipe.model.width else found
    if recipe.video and "frames" in found.signals and found.window:
        found = replace(found, window=max(recipe.video.crop // 32, 1))
    require_variant(recipe, found)
    return keep_taps(found, sync_stages(recipe))


def _named(model: Model) -> Architecture:
    """The network of a name, of a module of the user's, or of weights."""
    if model.variant is None:
        return _of_weights(model.init or "")
    if ":" in model.variant:
        return net_of(model.variant)
    if model.variant not in NETWORKS:
        near = did_you_mean(model.variant, list(NETWORKS))
        raise UsageError(
            f"model.variant: {model.variant!r}: no such network{near or '; `slowfast recipes variants` lists them'}"
        )
    return NETWORKS[model.variant]


@functools.lru_cache(maxsize=8)
def _of_weights(name: str) -> Architecture:
    path = weight_file(name)
    card = read_card(path)
    require_own(path, card)
    return card.net


@functools.lru_cache(maxsize=8)
def net_of(factory: str) -> Baseline:
    """The description of a module of the user's."""
    return external.describe(factory)


def task(recipe: Recipe, labels: Collection[str]) -> Task:
    """What is learned of some label sets."""
    parts: list[TaskPart] = []
    if recipe.task in ("classify", "rotation"):
        parts.append(Classify(labels=tuple(labels), label_smoothing=recipe.optim.label_smoothing))
    elif recipe.task in PRETEXTS:
        parts.append(_pretext(recipe))
    elif recipe.task != "sync":
        parts.append(MultiLabel(labels=tuple(labels)))
    if recipe.sync:
        parts.append(Sync(stages=recipe.sync.stages, weight=recipe.sync.weight))
    return Task(tuple(parts))


def _pretext(recipe: Recipe) -> TaskPart:
    """The loss of a task without labels."""
    if recipe.task == "simclr":
        return SimCLR(temperature=recipe.pretext.temperature)
    kinds: dict[str, type[Byol] | type[Cpc] | type[Masked]] = {"byol": Byol, "cpc": Cpc, "masked": Masked}
    return kinds[recipe.task]()


def objective(recipe: Recipe) -> Callable[[nn.Module], nn.Module] | None:
    """What a task without labels adds to the trunk; None of a task with labels.

    Raises:
        UsageError: It does not go with the network.
    """
    sizes = recipe.pretext
    if recipe.task == "simclr":
        length = sum(net(recipe).features().values())
        return lambda trunk: Projector(length, hidden=sizes.hidden, layers=sizes.layers, out=sizes.out)
    if recipe.task == "byol":
        return lambda trunk: objectives.Byol(trunk, hidden=sizes.hidden, size=sizes.out)
    if recipe.task in ("cpc", "masked"):
        require_waveform(recipe, net(recipe))
        return objectives.Cpc if recipe.task == "cpc" else objectives.Masked
    return None


def crops(recipe: Recipe) -> int:
    """Random clips of a recording that are read for a training batch."""
    return 2 if recipe.task == "simclr" else 1


def compared(recipe: Recipe) -> int:
    """Clips of a recording that have to be in one batch, as they are compared with each other."""
    return 2 if recipe.task in ("simclr", "byol") else 1


def views(recipe: Recipe) -> int:
    """Views that weights say they were scored with; of those that cover a segment, however many, one."""
    return recipe.data.views or 1


def sizes(found: Corpus) -> dict[str, int]:
    """Number of classes by label set."""
    return {labels: len(names) for labels, names in found.classes.items()}


def heads(recipe: Recipe) -> dict[str, int]:
    """Number of classes by label set: known beforehand, or read from the corpus."""
    if recipe.task == "sync" or recipe.task in PRETEXTS:
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
