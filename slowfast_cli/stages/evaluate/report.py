"""The files and pictures that an evaluation leaves: per-class tables, confusion, comparison, feature maps."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from slowfast_cli.build.clips import media_clips, open_store
from slowfast_cli.build.transforms import eval_transform
from slowfast_cli.data.clips import Key
from slowfast_cli.data.loader import collate, to
from slowfast_cli.engine import distributed
from slowfast_cli.metrics.per_class import ClassRow, Gain, GainUnit, confusion_matrices, gains, measure
from slowfast_cli.models.baseline import BaselineTrunk
from slowfast_cli.plots.class_bars import class_bars_plot
from slowfast_cli.plots.comparison import Side, comparison_plot
from slowfast_cli.plots.confusion import confusion_plot
from slowfast_cli.plots.feature_maps import MapRow, feature_maps_plot, most_varied_channel
from slowfast_cli.plots.per_class import per_class_plot
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages.evaluate.run import Evaluated
from slowfast_cli.storage.atomic import write_atomic
from slowfast_cli.types import Corpus
from slowfast_cli.weights.file import build

Tables = Mapping[str, tuple[ClassRow, ...]]
Compared = Mapping[str, tuple[tuple[Gain, ...], tuple[Gain, ...]]]  # by label set: done better by one, by the other
STAGES_SHOWN = ("res3", "res5")  # ASF Fig. 3


@dataclass(frozen=True, kw_only=True)
class MinGain:
    """Smallest gain of a class that is listed: points of accuracy or AP in percent, or a ratio."""

    value: float
    unit: GainUnit = "points"

    def __str__(self) -> str:
        if self.value == 1 and self.unit == "points":
            return "1 point"
        return f"{self.value:g} {'points' if self.unit == 'points' else 'times'}"


def write(found: Evaluated, folder: Path, *, other: Tables | None, least: MinGain, draw: bool) -> Iterator[Path]:
    """Write the per-class tables, and draw them.

    Args:
        found: The evaluation.
        folder: Where to.
        other: Tables of the model to compare with.
        least: By how much a class is done better to be drawn.
        draw: Whether to draw at all.

    Yields:
        Each file as it is written.
    """
    for labels, rows in found.tables.items():
        path = folder / f"classes-{labels}.csv"
        write_atomic(path, lambda part, rows=rows: _table(part, rows))  # type: ignore[misc]
        yield path
        if draw:
            title = f"{found.corpus.name} {found.corpus.split}: {labels}"
            yield per_class_plot(rows, folder / f"classes-{labels}.png", title=title)
            if other:
                models = "this model", "the other"
                yield class_bars_plot(rows, other[labels], folder / f"bars-{labels}.png", models=models, title=title)
    for labels, (counts, names) in (
        confusion_matrices(found.rows, found.corpus) if draw and found.tables else {}
    ).items():
        title = f"{found.corpus.name} {found.corpus.split}: {labels}"
        yield confusion_plot(counts, names, folder / f"confusion-{labels}.png", title=title)
    for labels, (ours, theirs) in (compared(found, other, least) if other and draw else {}).items():
        measured = measure(found.tables[labels])
        sides = (
            Side(model="this model", gains=ours, min_gain=least.value, unit=least.unit, measure=measured),
            Side(model="the other", gains=theirs, min_gain=least.value, unit=least.unit, measure=measured),
        )
        yield comparison_plot(*sides, folder / f"comparison-{labels}.png")


def compared(found: Evaluated, other: Tables, least: MinGain) -> Compared:
    """Classes that this model does better than another, and the other way round, by label set (ASF App. A, AV A.3)."""
    return {
        labels: (
            gains(rows, other[labels], least.value, unit=least.unit),
            gains(other[labels], rows, least.value, unit=least.unit),
        )
        for labels, rows in found.tables.items()
    }


def feature_maps(
    recipe: Recipe, weights: Path, corpus: Corpus, path: Path, device: str, samples: int = 2
) -> Path | None:
    """Draw what res3 and res5 of each pathway answer to the sound of a few clips (ASF App. B, Fig. 3).

    Returns:
        The picture; None for a network that hears nothing, or whose stages have no names.
    """
    at = distributed.device(device)
    _, model = build(weights)
    model = model.to(at)
    trunk = model.trunk
    if isinstance(trunk, BaselineTrunk):
        return None
    paths = [name for name, path in trunk.net.pathways.items() if path.reads == "logmel"]
    if not paths:
        return None
    chosen = _of_different_classes(corpus, samples)
    clips = media_clips(recipe, corpus, open_store(recipe))
    batch = next(eval_transform(recipe, at)(to(collate([clips[Key(0, index, 0)] for index in chosen]), at)))
    keep = [f"{name}_{stage}" for name in paths for stage in STAGES_SHOWN]
    with torch.inference_mode():
        maps = {name: value.cpu().numpy() for name, value in trunk.maps(batch.inputs.signals, keep).items()}
    logmel = batch.inputs.signals["logmel"].cpu().numpy()
    rows = [
        MapRow(
            title=_title(corpus, index),
            logmel=logmel[row, 0],
            maps={name.replace("_", " "): most_varied_channel(value[row]) for name, value in maps.items()},
            seconds=recipe.data.clip_seconds or recipe.frontend.hop_ms / 1000 * logmel.shape[2],
            mel_bounds=(recipe.frontend.fmin, recipe.frontend.top),
            htk=recipe.frontend.mel_scale == "htk",
        )
        for row, index in enumerate(chosen)
    ]
    return feature_maps_plot(rows, path)


def _of_different_classes(corpus: Corpus, samples: int) -> list[int]:
    firsts = {tuple(segment.targets.items()): index for index, segment in reversed(list(enumerate(corpus.segments)))}
    return sorted(firsts.values())[:samples]


def _title(corpus: Corpus, index: int) -> str:
    segment = corpus.segments[index]
    named = [
        corpus.classes[labels][index]
        for labels, target in segment.targets.items()
        for index in (target if isinstance(target, tuple) else (target,))
    ]
    return " ".join(named) or segment.id


def _table(path: Path, rows: tuple[ClassRow, ...]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(rows[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
