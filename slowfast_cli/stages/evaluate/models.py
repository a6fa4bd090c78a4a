"""Score several models on one corpus, and compare them on the same segments."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from slowfast_cli.metrics.paired import DRAWS, MARKS, Paired, comparisons
from slowfast_cli.metrics.predictions import Rows
from slowfast_cli.metrics.registry import find_metric, format_metric, metric_title
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages.evaluate.ensemble import common_corpus, finished_run
from slowfast_cli.stages.evaluate.run import Evaluated
from slowfast_cli.storage.atomic import write_atomic, write_text
from slowfast_cli.storage.remote import local_path
from slowfast_cli.types import Corpus, UsageError, finite
from slowfast_cli.weights.resolve import weight_file


@dataclass(frozen=True, kw_only=True)
class Model:
    """Weights, and the recipe by which they are scored."""

    name: str  # as the user wrote it
    recipe: Recipe
    weights: Path


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Scores of several models on the segments that all of them could read."""

    scores: Mapping[str, Mapping[str, Paired]]  # by metric, then by model
    corpus: Corpus
    segments: int
    recordings: int


def find_models(names: Sequence[str], first: Recipe, *, offline: bool) -> list[Model]:
    """Find the weights of each name; a run folder brings its own recipe, with the data of the first.

    Args:
        names: What `--weights` takes.
        first: Recipe of the corpus, also for weights that are not in a run folder.
        offline: Do not use the network.

    Raises:
        UsageError: A name is given twice.
        DataError: A run was trained on another corpus.
        WeightsError: There are no such weights.
    """
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"--weights {twice[0]}: is named twice")
    found = []
    for name in names:
        if (local_path(name) / "recipe.yaml").is_file():
            member = finished_run(name, first, option="--weights")
            found.append(Model(name=name, recipe=member.recipe, weights=member.weights))
        else:
            found.append(Model(name=name, recipe=first, weights=weight_file(name, offline=offline)))
    return found


def compare(models: Sequence[Model], evaluate: Callable[[Model], Evaluated]) -> tuple[Comparison, list[Evaluated]]:
    """Score models one after the other, and compare the others with the first.

    Args:
        models: At least two.
        evaluate: Scores one, see `slowfast_cli.stages.evaluate.run.evaluate`.

    Raises:
        DataError: The corpus has no labels of segments, or as of ``evaluate``.
    """
    results = [evaluate(model) for model in models]
    corpus = common_corpus(results[0].corpus, [result.corpus for result in results[1:]], option="--weights")
    read = set[str].intersection(*(set(result.rows.ids) for result in results))
    kept = [id_ for id_ in results[0].rows.ids if id_ in read]
    rows = {model.name: _rows_of(result.rows, kept) for model, result in zip(models, results, strict=True)}
    recordings = {segment.recording.id for segment in corpus.segments if segment.id in read}
    comparison = Comparison(
        scores=comparisons(rows, corpus), corpus=corpus, segments=len(kept), recordings=len(recordings)
    )
    return comparison, results


def _rows_of(rows: Rows, ids: Sequence[str]) -> Rows:
    """The rows of these segments, in this order."""
    if rows.places is not None:  # boxes, which `comparisons` refuses
        return rows
    row_of = {id_: row for row, id_ in enumerate(rows.ids)}
    order = [row_of[id_] for id_ in ids]
    return replace(
        rows,
        ids=tuple(ids),
        scores={labels: scores[order] for labels, scores in rows.scores.items()},
        targets={labels: targets[order] for labels, targets in rows.targets.items()},
    )


def table(metric: str, by_model: Mapping[str, Paired]) -> tuple[list[str], list[list[str]]]:
    """Header and body of the table of a metric, a row per model."""
    digits = find_metric(metric).digits

    def interval(bounds: tuple[float, float], sign: str = "") -> str:
        return " to ".join(f"{bound:{sign}.{digits}f}" for bound in bounds)

    body = []
    for model, paired in by_model.items():
        row = [model, format_metric(metric, paired.value), interval(paired.interval), "", "", ""]
        if change := paired.difference:
            row[3:] = [f"{change.value:+.{digits}f}", interval(change.interval, "+"), f"{change.p:.2g}{change.mark}"]
        body.append(row)
    return ["weights", metric_title(metric), "95 %", "difference", "95 %", "p"], body


def note(comparison: Comparison) -> str:
    """How intervals and p values were computed."""
    draws = " and ".join(dict.fromkeys(f"{_draws(metric):,}" for metric in comparison.scores))
    marks = ", ".join(f"{mark} p < {bound:g}" for bound, mark in reversed(MARKS.items()))
    others = len(next(iter(comparison.scores.values()))) - 1
    return (
        f"differences from the first weights; 95 % intervals and p by a paired bootstrap of {draws} resamples of "
        f"{comparison.recordings:,} recordings; p adjusted for {others} comparison{'s' * (others > 1)} (Holm); {marks}"
    )


def _draws(metric: str) -> int:
    return DRAWS[metric.rpartition("_")[2]]


HEADER = (
    "metric", "model", "score", "low", "high", "difference", "difference_low", "difference_high", "p", "mark",
)  # fmt: skip


def plain(comparison: Comparison) -> dict[str, object]:
    """As plain values for JSON."""
    return {
        "corpus": comparison.corpus.name,
        "split": comparison.corpus.split,
        "segments": comparison.segments,
        "recordings": comparison.recordings,
        "missing": len(comparison.corpus.missing),
        "draws": {metric: _draws(metric) for metric in comparison.scores},
        "scores": {
            metric: {model: asdict(paired) for model, paired in by_model.items()}
            for metric, by_model in comparison.scores.items()
        },
    }


def write(comparison: Comparison, folder: Path) -> list[Path]:
    """Write ``models.csv`` and ``models.json``; returns their paths."""
    lines = []
    for metric, by_model in comparison.scores.items():
        for model, paired in by_model.items():
            line: list[object] = [metric, model, paired.value, *paired.interval]
            if change := paired.difference:
                line += [change.value, *change.interval, change.p, change.mark]
            lines.append(line + [""] * (len(HEADER) - len(line)))

    def write_csv(part: Path) -> None:
        with part.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([HEADER, *lines])

    write_atomic(folder / "models.csv", write_csv)
    write_text(folder / "models.json", json.dumps(finite(plain(comparison)), allow_nan=False))
    return [folder / "models.csv", folder / "models.json"]
