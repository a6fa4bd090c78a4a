"""The files and pictures that an evaluation leaves: per-class tables, confusion, comparison, feature maps."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import torch

from slowfast_cli.data.clips import Key
from slowfast_cli.data.loader import collate, to
from slowfast_cli.engine import distributed
from slowfast_cli.engine.checkpoint import write_whole
from slowfast_cli.metrics.per_class import ClassRow, Gain, confusion, gains
from slowfast_cli.plots.comparison import Side, comparison_plot
from slowfast_cli.plots.confusion import confusion_plot
from slowfast_cli.plots.feature_maps import MapRow, feature_maps_plot, liveliest
from slowfast_cli.plots.per_class import per_class_plot
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages import assemble
from slowfast_cli.stages.evaluate import Evaluated
from slowfast_cli.types import Corpus
from slowfast_cli.weights.file import build

Tables = Mapping[str, tuple[ClassRow, ...]]
Compared = Mapping[str, tuple[tuple[Gain, ...], tuple[Gain, ...]]]  # by label set: done better by one, by the other
STAGES_SHOWN = ("res3", "res5")  # ASF Fig. 3


def write(found: Evaluated, folder: Path, *, other: Tables | None, above: float, draw: bool) -> Iterator[Path]:
    """Write the per-class tables, and draw them.

    Args:
        found: The evaluation.
        folder: Where to.
        other: Tables of the model to compare with.
        above: Points by which a class is done better.
        draw: Whether to draw at all.

    Yields:
        Each file as it is written.
    """
    for labels, rows in found.tables.items():
        path = folder / f"classes-{labels}.csv"
        write_whole(path, lambda part, rows=rows: _table(part, rows))  # type: ignore[misc]
        yield path
        if not draw:
            continue
        names = found.corpus.classes[labels]
        counts = confusion(found.rows.scores[labels], found.rows.targets[labels])
        yield confusion_plot(
            counts,
            names,
            folder / f"confusion-{labels}.png",
            title=f"{found.corpus.name} {found.corpus.split}: {labels}",
        )
        yield per_class_plot(
            rows, folder / f"classes-{labels}.png", title=f"{found.corpus.name} {found.corpus.split}: {labels}"
        )
    for labels, (ours, theirs) in (compared(found, other, above) if other and draw else {}).items():
        sides = Side(model="this model", gains=ours, above=above), Side(model="the other", gains=theirs, above=above)
        yield comparison_plot(*sides, folder / f"comparison-{labels}.png")


def compared(found: Evaluated, other: Tables, above: float) -> Compared:
    """Classes that this model does better than another, and the other way round, by label set (ASF App. A)."""
    return {
        labels: (gains(rows, other[labels], above), gains(other[labels], rows, above))
        for labels, rows in found.tables.items()
    }


def feature_maps(recipe: Recipe, weights: Path, corpus: Corpus, path: Path, device: str, samples: int = 2) -> Path:
    """Draw what res3 and res5 of each pathway answer to a few clips (ASF App. B, Fig. 3)."""
    at = distributed.device(device)
    _, model = build(weights)
    model = model.to(at)
    chosen = _of_different_classes(corpus, samples)
    clips = assemble.clips(recipe, corpus, assemble.store(recipe))
    prepared = assemble.prepare(recipe, {}, at, training=False)
    batch = prepared(to(collate([clips[Key(0, index, 0)] for index in chosen]), at))
    keep = [f"{name}_{stage}" for name in model.trunk.net.pathways for stage in STAGES_SHOWN]
    with torch.inference_mode():
        maps = {name: value.cpu().numpy() for name, value in model.trunk.maps(batch.signals, keep).items()}
    logmel = batch.signals["logmel"].cpu().numpy()
    rows = [
        MapRow(
            title=_title(corpus, index),
            logmel=logmel[row, 0],
            maps={name.replace("_", " "): liveliest(value[row]) for name, value in maps.items()},
            seconds=recipe.data.clip_seconds,
            rate=recipe.frontend.rate,
        )
        for row, index in enumerate(chosen)
    ]
    return feature_maps_plot(rows, path)


def _of_different_classes(corpus: Corpus, samples: int) -> list[int]:
    firsts = {tuple(segment.targets.items()): index for index, segment in reversed(list(enumerate(corpus.segments)))}
    return sorted(firsts.values())[:samples]


def _title(corpus: Corpus, index: int) -> str:
    segment = corpus.segments[index]
    return " ".join(corpus.classes[labels][target] for labels, target in segment.targets.items()) or segment.id


def _table(path: Path, rows: tuple[ClassRow, ...]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(rows[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
