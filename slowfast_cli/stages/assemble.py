"""Where a recipe meets the classes it names: the registries, and one function for each part of an experiment."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch

from slowfast_cli.data import epic, esc10, esc50, folder, listing, vggsound
from slowfast_cli.data.clips import Clips, DecodedSamples, Store, StoredRows
from slowfast_cli.data.sources import Origin
from slowfast_cli.engine import schedule
from slowfast_cli.features.augment import Augment, mix
from slowfast_cli.features.logmel import FrontEnd, LogMel, repeat_last
from slowfast_cli.media.shards import Shards
from slowfast_cli.models.spec import Net, narrowed
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.recipe.load import did_you_mean
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.tasks.classify import Classify
from slowfast_cli.types import Batch, Corpus, DataError, Failure, Reader, Segment, UsageError


@dataclass(frozen=True, kw_only=True)
class Known:
    """A data set that the toolkit reads.

    Attributes:
        read: Its reader.
        origin: What it is, and where to get it.
        recipe: The recipe that goes with it.
        everything: Splits that together hold every recording.
        heads: Number of classes by label set; empty where the data decides.
    """

    read: Reader
    origin: Origin
    recipe: str
    everything: tuple[str, ...] = ("train", "val", "test")
    heads: Mapping[str, int] = field(default_factory=dict)


CORPORA: dict[str, Known] = {
    "vggsound": Known(
        read=vggsound.read,
        origin=vggsound.ORIGIN,
        recipe="vggsound",
        everything=("train", "test"),
        heads={"label": 309},
    ),
    "epic": Known(
        read=epic.read,
        origin=epic.ORIGIN,
        recipe="epic",
        everything=("train", "validation", "test"),
        heads={"verb": 97, "noun": 300},
    ),
    "esc50": Known(read=esc50.read, origin=esc50.ORIGIN, recipe="esc50", everything=("all",), heads={"label": 50}),
    "esc10": Known(read=esc10.read, origin=esc10.ORIGIN, recipe="esc10", everything=("all",), heads={"label": 10}),
    "folder": Known(read=folder.read, origin=folder.ORIGIN, recipe="folder"),
    "csv": Known(read=listing.read, origin=listing.ORIGIN, recipe="folder"),
}
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
        f"-{name}{getattr(made, name):g}" for name in ("fft", "floor") if getattr(made, name) != getattr(FrontEnd, name)
    )
    where = root(recipe).absolute()
    # Named after the root: two folders of sounds beside each other are two data sets.
    named = where.name if where.name == recipe.data.corpus else f"{where.name}-{recipe.data.corpus}"
    return where.parent / "shards" / named / settings


@functools.lru_cache(maxsize=8)
def _read(corpus: str, where: Path, split: str) -> Corpus:
    return known(corpus).read(where, split)


def corpus(recipe: Recipe, part: Part) -> Corpus:
    """A split of the recipe's corpus.

    Raises:
        DataError: It is not there.
    """
    return _read(recipe.data.corpus, root(recipe), recipe.split(part))


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


def net(recipe: Recipe) -> Net:
    """The recipe's network.

    Raises:
        UsageError: There is no variant of that name.
    """
    if recipe.model.variant not in VARIANTS:
        near = did_you_mean(recipe.model.variant, list(VARIANTS))
        raise UsageError(
            f"model.variant: {recipe.model.variant!r}: no such network{near or '; there are ' + ', '.join(VARIANTS)}"
        )
    variant = VARIANTS[recipe.model.variant]
    return narrowed(variant, recipe.model.width) if recipe.model.width else variant


def task(recipe: Recipe) -> Classify:
    """What is learned."""
    return Classify(recipe.optim.label_smoothing)


def learning_rate(recipe: Recipe) -> schedule.Schedule:
    """Factor of the learning rate by epochs done."""
    plan = recipe.schedule
    shape = schedule.cosine(plan.epochs) if plan.shape == "cosine" else schedule.steps(plan.drop_at, plan.drop_by)
    return schedule.warmed_up(shape, plan.warmup_epochs)


def store(recipe: Recipe) -> Store:
    """Where clips come from.

    Raises:
        UsageError: There is no such data set.
        DataError: There are no shards, or shards of another front end.
    """
    known(recipe.data.corpus)  # a wrong name before the data that is not there
    made = front_end(recipe)
    if recipe.data.source == "media":
        return DecodedSamples(made)
    where = shards_folder(recipe)
    if not where.is_dir():
        others = sorted(path.name for path in where.parent.glob("*") if path.is_dir())
        raise DataError(
            f"{where}: no log-mels here{'; made with other settings: ' + ', '.join(others) if others else ''}: "
            f"run `slowfast extract --dataset {recipe.data.corpus}` first, or read the media with data.source=media"
        )
    return StoredRows(Shards(where, made.settings()), made)


def usable(found: Corpus, source: Store) -> Corpus:
    """The corpus without what the store cannot give; that counts as missing, with the reason.

    Raises:
        DataError: Nothing is left.
    """
    reasons = {segment.id: _why_not(segment, source) for segment in found.segments}
    kept = tuple(segment for segment in found.segments if not reasons[segment.id])
    if not kept:
        where = source.shards.folder if isinstance(source, StoredRows) else found.name
        raise DataError(
            f"{where}: holds none of the {len(found.segments)} segments of {found.name} {found.split}: "
            f"run `slowfast extract --dataset {found.name}`"
        )
    missing = tuple(
        Failure(id=segment.id, path=segment.recording.path, reason=reasons[segment.id])
        for segment in found.segments
        if reasons[segment.id]
    )
    return replace(found, segments=kept, missing=found.missing + missing)


def _why_not(segment: Segment, source: Store) -> str:
    """Why a segment has no sound; empty when it has."""
    if isinstance(source, StoredRows) and segment.recording.id not in source.shards:
        failed = source.failures.get(segment.recording.id)
        return failed or "not in the shards: run `slowfast extract` again"
    if not segment.start:  # nothing to look up: a clip of its own, which has a first sample
        return ""
    try:
        ends = source.samples(segment.recording) / source.front_end.rate
    except DataError as error:
        return str(error)
    return "" if segment.start < ends else f"starts at {segment.start:g} s, and its recording ends at {ends:.2f} s"


def clips(recipe: Recipe, found: Corpus, source: Store) -> Clips:
    """The clips of a split."""
    return Clips(
        found.segments,
        source,
        rate=recipe.frontend.rate,
        seconds=recipe.data.clip_seconds,
        views=recipe.data.views,
        seed=recipe.seed,
    )


def workers(recipe: Recipe) -> int:
    """Processes that read clips."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes that share this machine's cores
    return min((os.cpu_count() or 1) // here, 8) if recipe.data.workers is None else recipe.data.workers


def prepare(
    recipe: Recipe, classes: dict[str, int], device: torch.device, *, training: bool
) -> Callable[[Batch], Batch]:
    """What happens to a batch on the device: log-mel of samples, and augmentation while training."""
    log_mel = LogMel(front_end(recipe)).to(device)
    settings = recipe.augment
    augment = Augment(**settings.model_dump(exclude={"mix"}))

    def prepared(batch: Batch) -> Batch:
        signals, targets = dict(batch.signals), dict(batch.targets)
        if "samples" in signals:
            signals["logmel"] = repeat_last(log_mel(signals.pop("samples")), signals.pop("frames"))
        if training:
            signals["logmel"] = augment(signals["logmel"])
            if settings.mix:
                signals["logmel"], targets = mix(signals["logmel"], targets, classes, settings.mix)
        return Batch(signals=signals, targets=targets, ids=batch.ids)

    return prepared


def sizes(found: Corpus) -> dict[str, int]:
    """Number of classes by label set."""
    return {labels: len(names) for labels, names in found.classes.items()}
