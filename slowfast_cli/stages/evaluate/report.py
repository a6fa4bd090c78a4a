"""Write tables and plots of an evaluation: per-class scores, confusion, comparison of two models, feature maps."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from slowfast_cli.build.clips import media_clips, open_store
from slowfast_cli.build.transforms import eval_transform
from slowfast_cli.corpora.lists import label_file
from slowfast_cli.data.clips import Key
from slowfast_cli.data.loader import collate, to
from slowfast_cli.engine import distributed
from slowfast_cli.metrics.calibration import calibration
from slowfast_cli.metrics.interval import Confusion, confusions
from slowfast_cli.metrics.per_class import ClassRow, Gain, GainUnit, confusion_matrices, gains, measure
from slowfast_cli.models.baseline import BaselineTrunk
from slowfast_cli.plots.class_bars import class_bars_plot
from slowfast_cli.plots.comparison import Side, comparison_plot
from slowfast_cli.plots.confused_pairs import confused_pairs_plot
from slowfast_cli.plots.confusion import confusion_plot
from slowfast_cli.plots.feature_maps import MapRow, feature_maps_plot, most_varied_channel
from slowfast_cli.plots.per_class import per_class_plot
from slowfast_cli.plots.reliability import calibration_plot, precision_recall_plot
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages.evaluate.run import Evaluated
from slowfast_cli.storage.atomic import write_atomic
from slowfast_cli.types import Corpus
from slowfast_cli.weights.file import build

Tables = Mapping[str, tuple[ClassRow, ...]]
Compared = Mapping[str, tuple[tuple[Gain, ...], tuple[Gain, ...]]]  # by label set: gains of one model, of the other
UNNAMED = ("this model", "the other")
PAIRS_SHOWN = 20  # confused pairs in the picture; the table has all
STAGES_SHOWN = ("res3", "res5")  # ASF Fig. 3


@dataclass(frozen=True, kw_only=True)
class MinGain:
    """Smallest gain of a listed class: percentage points of accuracy or AP, or a ratio."""

    value: float
    unit: GainUnit = "points"

    def __str__(self) -> str:
        if self.value == 1 and self.unit == "points":
            return "1 point"
        return f"{self.value:g} {'points' if self.unit == 'points' else 'times'}"


def write(
    evaluated: Evaluated,
    folder: Path,
    *,
    other: Tables | None,
    min_gain: MinGain,
    draw: bool,
    models: tuple[str, str] = UNNAMED,
) -> Iterator[Path]:
    """Write per-class tables and plots.

    Args:
        evaluated: The evaluation.
        folder: Of the files.
        other: Tables of the model to compare with.
        min_gain: Smallest gain of a class in the comparison.
        draw: Whether to draw plots.
        models: Names of this model and of the other in the plots, see `model_names`.

    Yields:
        The path of each file after it is written.
    """
    for labels, rows in evaluated.tables.items():
        name = label_file(labels)
        path = folder / f"classes-{name}.csv"
        write_atomic(path, lambda part, rows=rows: _write_table(part, rows))  # type: ignore[misc]
        yield path
        if draw:
            title = _heading(evaluated, labels)
            yield per_class_plot(rows, folder / f"classes-{name}.png", title=title)
            if other:
                yield class_bars_plot(rows, other[labels], folder / f"bars-{name}.png", models=models, title=title)
    yield from _confusions(evaluated, folder, draw=draw)
    if draw:
        yield from _reliability(evaluated, folder)
    for labels, (ours, theirs) in (compare(evaluated, other, min_gain) if other and draw else {}).items():
        measured = measure(evaluated.tables[labels])
        sides = (
            Side(model=models[0], gains=ours, min_gain=min_gain.value, unit=min_gain.unit, measure=measured),
            Side(model=models[1], gains=theirs, min_gain=min_gain.value, unit=min_gain.unit, measure=measured),
        )
        yield comparison_plot(*sides, folder / f"comparison-{label_file(labels)}.png")


def model_names(weights: Path, predictions: Path, ensemble: Sequence[str] = ()) -> tuple[str, str]:
    """Names of two compared models: the ends of the paths of their runs, as long as it takes to tell them apart.

    Args:
        weights: Weight file of the evaluated model.
        predictions: Predictions of the other model.
        ensemble: Other runs that are averaged with the first model.

    >>> model_names(Path("runs/slow/last.safetensors"), Path("runs/fast/evaluation/test/predictions.npz"))
    ('slow', 'fast')
    >>> model_names(Path("runs/a/default/last.safetensors"), Path("runs/b/default/predictions.npz"), ["runs/c"])
    ('a/default + c', 'b/default')
    >>> model_names(Path("runs/a/last.safetensors"), Path("runs/a/predictions.npz"))
    ('this model', 'the other')
    """
    names = short_names([weights, predictions])
    if names is None:  # the same run, such as with other views
        return UNNAMED
    return " + ".join([names[0], *(Path(run).name for run in ensemble)]), names[1]


def short_names(files: Sequence[Path]) -> list[str] | None:
    """Ends of the paths of the runs of weights or predictions, as long as it takes to tell them apart; None if equal.

    >>> short_names([Path("runs/a/1/last.safetensors"), Path("runs/a/2/last.safetensors"), Path("b.safetensors")])
    ['1', '2', 'b']
    """
    runs = [_run_of(path.absolute()).parts for path in files]
    longest = max(map(len, runs))
    length = next((n for n in range(1, longest) if len({run[-n:] for run in runs}) == len(runs)), 0)
    return ["/".join(run[-length:]) for run in runs] if length else None


def _run_of(path: Path) -> Path:
    """The run folder of a weight file or of predictions; official weights are named by their file."""
    folder = path.parent
    if folder.parent.name == "evaluation":
        return folder.parent.parent
    return folder if path.suffix == ".npz" or path.stem in ("best", "last") else path.with_suffix("")


def _confusions(evaluated: Evaluated, folder: Path, *, draw: bool) -> Iterator[Path]:
    """The confused pairs as a table, the most frequent as a picture, and the confusion matrix."""
    matrices = confusion_matrices(evaluated.rows, evaluated.corpus) if evaluated.tables else {}
    for labels, (counts, names) in matrices.items():
        name, title = label_file(labels), _heading(evaluated, labels)
        if pairs := confusions(counts, names):
            path = folder / f"confused-{name}.csv"
            write_atomic(path, lambda part, pairs=pairs: _write_table(part, pairs))  # type: ignore[misc]
            yield path
        if draw:
            yield confusion_plot(counts, names, folder / f"confusion-{name}.png", title=title)
            yield confused_pairs_plot(pairs[:PAIRS_SHOWN], folder / f"confused-{name}.png", title=title)


def _reliability(evaluated: Evaluated, folder: Path) -> Iterator[Path]:
    """The calibration curve of exclusive classes, precision and recall of independent ones."""
    rows = evaluated.rows
    for labels, targets in rows.targets.items() if evaluated.tables else ():
        name, title, scores = label_file(labels), _heading(evaluated, labels), rows.scores[labels]
        if targets.ndim == 1:
            yield calibration_plot(calibration(scores, targets), folder / f"calibration-{name}.png", title=title)
        elif targets.any():
            names = evaluated.corpus.classes[labels]
            yield precision_recall_plot(scores, targets, names, folder / f"precision-recall-{name}.png", title=title)


def _heading(evaluated: Evaluated, labels: str) -> str:
    return f"{evaluated.corpus.name} {evaluated.corpus.split}: {labels}"


def compare(evaluated: Evaluated, other: Tables, min_gain: MinGain) -> Compared:
    """Classes on which one of two models is better, for both directions, by label set (ASF App. A, AV A.3)."""
    return {
        labels: (
            gains(rows, other[labels], min_gain.value, unit=min_gain.unit),
            gains(other[labels], rows, min_gain.value, unit=min_gain.unit),
        )
        for labels, rows in evaluated.tables.items()
    }


def plain(compared: Compared) -> dict[str, object]:
    """Values of a comparison for JSON."""
    return {
        labels: {
            side: [{**asdict(gain), "points": gain.points, "ratio": gain.ratio} for gain in gains]
            for side, gains in (("better", ours), ("worse", theirs))
        }
        for labels, (ours, theirs) in compared.items()
    }


def feature_maps(
    recipe: Recipe, weights: Path, corpus: Corpus, path: Path, device: str, samples: int = 2
) -> Path | None:
    """Plot the res3 and res5 feature maps of each log-mel pathway for a few clips (ASF App. B, Fig. 3).

    Returns:
        The plot; None for a network that reads no log-mel, or a baseline, whose stages have no names.
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
    classes = {tuple(segment.targets.items()): index for index, segment in reversed(list(enumerate(corpus.segments)))}
    chosen = sorted(classes.values())[:samples]  # the first segment of each class
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


def _title(corpus: Corpus, index: int) -> str:
    segment = corpus.segments[index]
    names = [
        corpus.classes[labels][index]
        for labels, target in segment.targets.items()
        for index in (target if isinstance(target, tuple) else (target,))
    ]
    return " ".join(names) or segment.id


def _write_table(path: Path, rows: Sequence[ClassRow] | Sequence[Confusion]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(rows[0])), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
