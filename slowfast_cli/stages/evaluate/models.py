"""Score several models on one corpus, and compare them on the same segments."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from slowfast_cli.build.corpus import SplitRole
from slowfast_cli.metrics.paired import MARKS, MIN_RECORDINGS, Interval, Paired, comparisons, draws_of, not_comparable
from slowfast_cli.metrics.predictions import Rows, has_boxes
from slowfast_cli.metrics.registry import find_metric, format_metric, metric_title
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages.evaluate.ensemble import (
    NamedRecipe,
    common_corpus,
    ensemble_member,
    is_official,
    require_distinct,
)
from slowfast_cli.stages.evaluate.run import Evaluated, check_weights
from slowfast_cli.storage.atomic import write_atomic, write_text
from slowfast_cli.storage.remote import local_path
from slowfast_cli.types import Corpus, DataError, finite
from slowfast_cli.weights.resolve import weight_file

OPTION = "--weights"


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
    models: Mapping[str, Evaluated]  # by name
    corpus: Corpus
    segments: int
    recordings: int


def find_models(names: Sequence[str], first: NamedRecipe, *, offline: bool) -> list[Model]:
    """Find the weights of each name; a run folder brings its own recipe, official weights their settings.

    Args:
        names: What `--weights` takes.
        first: Recipe of the corpus, also for weights that are not in a run folder.
        offline: Do not use the network.

    Raises:
        UsageError: Weights are named twice.
        DataError: A run was trained on another corpus.
        WeightsError: There are no such weights.
    """
    found = []
    for name in names:
        if is_official(name) or (local_path(name) / "recipe.yaml").is_file():
            member = ensemble_member(name, first, option=OPTION, offline=offline)
            found.append(Model(name=name, recipe=member.recipe, weights=member.weights))
        else:
            found.append(Model(name=name, recipe=first.recipe, weights=weight_file(name, offline=offline)))
    require_distinct(names, [model.weights for model in found], OPTION)
    return found


def check_models(models: Sequence[Model], split: SplitRole) -> None:
    """Refuse models that cannot be compared, before any of them runs.

    Raises:
        DataError: The corpus has no labels of segments, or differs between models.
        UsageError: A recipe's task is not that of the corpus.
        WeightsError: Weights have other classes or another front end.
    """
    corpora = [check_weights(model.recipe, model.weights, split) for model in models]
    first = corpora[0]
    if (boxes := has_boxes(first)) or not first.classes or not any(segment.targets for segment in first.segments):
        raise not_comparable(first, boxes=boxes)
    for model, corpus in zip(models, corpora, strict=True):
        if corpus.classes.keys() != first.classes.keys():
            raise DataError(
                f"{OPTION} {model.name}: predicts {', '.join(corpus.classes)}, {models[0].name} predicts "
                f"{', '.join(first.classes)}: compare models of the same label sets"
            )
    common_corpus(first, corpora[1:], option=OPTION)


def compare(models: Sequence[Model], evaluate: Callable[[Model], Evaluated]) -> Comparison:
    """Score models one after the other, and compare the others with the first.

    Args:
        models: At least two, see `check_models`.
        evaluate: Scores one, see `slowfast_cli.stages.evaluate.run.evaluate`.

    Raises:
        DataError: The corpus has no labels of segments, or as of ``evaluate``.
    """
    results = {model.name: evaluate(model) for model in models}
    first, *rest = (result.corpus for result in results.values())
    corpus = common_corpus(first, rest, option=OPTION)
    read = set[str].intersection(*(set(result.rows.ids) for result in results.values()))
    kept = [id_ for id_ in results[models[0].name].rows.ids if id_ in read]
    recordings = {segment.recording.id for segment in corpus.segments if segment.id in read}
    return Comparison(
        scores=comparisons({name: _rows_of(result.rows, kept) for name, result in results.items()}, corpus),
        models=results, corpus=corpus, segments=len(kept), recordings=len(recordings),
    )  # fmt: skip


def _rows_of(rows: Rows, ids: Sequence[str]) -> Rows:
    """The rows of these segments, in this order."""
    row_of = {id_: row for row, id_ in enumerate(rows.ids)}
    order = [row_of[id_] for id_ in ids]
    return replace(
        rows,
        ids=tuple(ids),
        scores={labels: scores[order] for labels, scores in rows.scores.items()},
        targets={labels: targets[order] for labels, targets in rows.targets.items()},
    )


COLUMNS = ("weights", "metric", "score", "95 %", "diff.", "95 % diff.", "p")


def table(comparison: Comparison, names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Header and body of the table of all metrics, a row per metric and model; columns without values are left out.

    Args:
        comparison: The scores.
        names: Of the models, short.
    """
    body = []
    for metric, by_model in comparison.scores.items():
        for name, paired in zip(names, by_model.values(), strict=True):
            row = [name, metric_title(metric), format_metric(metric, paired.value), _bounds(metric, paired.interval)]
            if change := paired.difference:
                row += [f"{change.value:+.{find_metric(metric).digits}f}", _bounds(metric, change.interval, "+")]
                row += [f"{change.p:.2g}{change.mark}"]
            body.append(row + [""] * (len(COLUMNS) - len(row)))
    filled = [place for place in range(len(COLUMNS)) if any(row[place] for row in body)]
    return [COLUMNS[place] for place in filled], [[row[place] for place in filled] for row in body]


def _bounds(metric: str, interval: Interval | None, sign: str = "") -> str:
    """An interval; with one decimal in percent."""
    digits = 1 if find_metric(metric).percent else find_metric(metric).digits
    return ", ".join(f"{bound:{sign}.{digits}f}" for bound in interval or ())


def note(comparison: Comparison) -> str:
    """How intervals and p values were computed."""
    draws = " or ".join(dict.fromkeys(f"{draws_of(metric):,}" for metric in comparison.scores))
    marks = ", ".join(f"{mark} p < {bound:g}" for bound, mark in reversed(MARKS.items()))
    recordings = f"{comparison.recordings:,} recording{'s' * (comparison.recordings > 1)}"
    intervals = f"95 % intervals by a bootstrap of {draws} resamples of {recordings}"
    if comparison.recordings < MIN_RECORDINGS:
        intervals = f"no intervals: {recordings}, fewer than {MIN_RECORDINGS}"
    others = len(comparison.models) - 1
    return (
        f"differences from the first weights; {intervals}; p by a paired permutation test over recordings, adjusted "
        f"for {others} comparison{'s' * (others > 1)} (Holm); {marks}"
    )


HEADER = (
    "metric", "model", "score", "low", "high", "difference", "difference_low", "difference_high", "p", "mark",
)  # fmt: skip


def plain(comparison: Comparison) -> dict[str, object]:
    """As plain values for JSON."""
    corpus = comparison.corpus
    return {
        "corpus": corpus.name,
        "split": corpus.split,
        "segments": comparison.segments,
        "listed": corpus.listed,
        "recordings": comparison.recordings,
        "missing": len(corpus.missing),
        "draws": {metric: draws_of(metric) for metric in comparison.scores},
        "models": {
            name: {
                "segments": len(result.rows.ids),
                "missing": len(result.corpus.missing),
                "without_audio": result.without_audio,
                "trained_on": result.trained_on,
            }
            for name, result in comparison.models.items()
        },
        "scores": {
            metric: {model: _plain(paired) for model, paired in by_model.items()}
            for metric, by_model in comparison.scores.items()
        },
    }


def _plain(paired: Paired) -> dict[str, object]:
    change = paired.difference
    return {**asdict(paired), "difference": {**asdict(change), "mark": change.mark} if change else None}


def write(comparison: Comparison, folder: Path) -> list[Path]:
    """Write ``models.csv`` and ``models.json``; returns their paths."""
    lines = []
    for metric, by_model in comparison.scores.items():
        for model, paired in by_model.items():
            line: list[object] = [metric, model, paired.value, *(paired.interval or ("", ""))]
            if change := paired.difference:
                line += [change.value, *(change.interval or ("", "")), change.p, change.mark]
            lines.append(line + [""] * (len(HEADER) - len(line)))

    def write_csv(part: Path) -> None:
        with part.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([HEADER, *lines])

    write_atomic(folder / "models.csv", write_csv)
    write_text(folder / "models.json", json.dumps(finite(plain(comparison)), allow_nan=False))
    return [folder / "models.csv", folder / "models.json"]
