"""A table of the paper, row by row: train what is not trained, score what is not scored, show what is known."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slowfast_cli.build.corpus import read_corpus
from slowfast_cli.build.task import metric_name, task_spec
from slowfast_cli.engine import distributed
from slowfast_cli.metrics.registry import find_metric
from slowfast_cli.metrics.table import Table, TableRow, latex, markdown, to_csv, to_dict
from slowfast_cli.recipe.load import Source, changed, check
from slowfast_cli.recipe.schema import Recipe, Row, Suite
from slowfast_cli.stages.evaluate.run import evaluate
from slowfast_cli.stages.hares import benchmark
from slowfast_cli.stages.train import dry_run
from slowfast_cli.stages.train import loop as training
from slowfast_cli.stages.train.run_folder import Run
from slowfast_cli.storage.atomic import make_folder, write_text
from slowfast_cli.types import Corpus, DataError, Share, UsageError, did_you_mean, finite


@dataclass(frozen=True, kw_only=True)
class RowStarted:
    """A row's turn has come."""

    name: str
    run: Path
    finished: bool


@dataclass(frozen=True, kw_only=True)
class RowFinished:
    """A row has its numbers."""

    row: TableRow


Event = RowStarted | RowFinished | benchmark.Event


def rows(source: Source, table: str, only: Sequence[str] = ()) -> dict[str, tuple[Row, Recipe]]:
    """The rows of a recipe's table, each with the recipe that makes it.

    Args:
        source: The recipe.
        table: Which of its tables.
        only: Names of the rows; all by default.

    Raises:
        UsageError: No such table or row, or a row that does not hold together.
    """
    tables = check(source).tables
    if table not in tables:
        named = f"there are {', '.join(tables)}" if tables else "it has none"
        raise UsageError(
            f"{source.path.name}: --table {table}: no such table{did_you_mean(table, tables) or f'; {named}'}"
        )
    if unknown := set(only) - set(tables[table]):
        raise UsageError(f"--row {', '.join(sorted(unknown))}: table {table} has the rows {', '.join(tables[table])}")
    chosen = {name: row for name, row in tables[table].items() if not only or name in only}
    return {name: (row, check(changed(source, row.set))) for name, row in chosen.items()}


def sized(row: Row, recipe: Recipe, name: str) -> TableRow:
    """A row with its parameters and GFLOPs, untrained."""
    size = dry_run.size(recipe)
    return TableRow(name=name, ours={"params_m": size.parameters / 1e6, "gflops": size.gflops}, published=row.published)


def ablate(
    source: Source,
    table: str,
    folder: Path,
    *,
    only: Sequence[str] = (),
    words: Sequence[str] = (),
    device: str = "auto",
) -> Generator[Event]:
    """Train and score the rows of a table; a row whose numbers are there is not touched again.

    A row that is scored by a suite is gone on with until none of its tasks is missing.

    Args:
        source: The recipe.
        table: Which of its tables.
        folder: Each row has a run folder in it; the table's files are written beside them.
        only: Rows to do; all by default.
        words: Overrides of the recipes of a suite's tasks.
        device: As for training.

    Raises:
        SlowFastError: Anything the user can mend; finished rows stay finished.
    """
    chosen, share = rows(source, table, only), distributed.join()
    for name, (row, recipe) in chosen.items():
        for run, each in _runs(row, recipe, folder / slug(name)):
            run.require(each)  # numbers that are there are those of this very row
    for name, (row, recipe) in chosen.items():
        result = folder / slug(name) / "result.json"
        done = _complete(result, recipe)
        yield RowStarted(name=name, run=result.parent, finished=done)
        if not done:
            distributed.barrier(share)  # all have seen that it is not done, before one writes that it is
            scores = yield from _trained(_runs(row, recipe, result.parent), source.name, words, device)
            common = [key for key in scores[0] if all(key in each for each in scores)]
            means = {key: sum(each[key] for each in scores) / len(scores) for key in common}
            _written(result, means, share)
        yield RowFinished(row=_scored(row, recipe, name, result))
        if share.rank == 0:
            write(Table(title=f"{source.name}, table {table}", rows=finished(source, table, folder)), folder)


def _complete(result: Path, recipe: Recipe) -> bool:
    """Whether a run has its numbers; of a suite all of them."""
    if not result.is_file():
        return False
    return recipe.suite is None or "hares" in json.loads(result.read_text(encoding="utf-8"))


def _runs(row: Row, recipe: Recipe, folder: Path) -> list[tuple[Run, Recipe]]:
    """A row's run, or one for each of its folds in a folder of its own."""
    if not row.folds:
        return [(Run(folder), recipe)]
    return [
        (
            Run(folder / f"fold-{fold}"),
            recipe.model_copy(update={"data": recipe.data.model_copy(update={"fold": fold})}),
        )
        for fold in row.folds
    ]


def _trained(
    runs: Sequence[tuple[Run, Recipe]], name: str, words: Sequence[str], device: str
) -> Generator[benchmark.Event, None, list[dict[str, float]]]:
    """Train and score runs one after the other; those with numbers are not touched again."""
    scores, share = [], distributed.join()
    for run, recipe in runs:
        result = run.folder / ("result.json" if len(runs) == 1 else "scores.json")
        if not _complete(result, recipe):
            spec = task_spec(recipe)
            if spec.label_sets is None and not spec.boxes:
                _require_labels(read_corpus(recipe, "test"))
            yield from training.train(recipe, run, name=name, device=device)
            weights = run.best if run.best.is_file() else run.last
            values = {}
            if not spec.pretext:
                found = evaluate(recipe, weights, device=device)
                values = dict(found.scores.values) if found.scores else {}
            if recipe.suite:
                values = yield from _by_suite(recipe, recipe.suite, weights, values, words, device)
            if len(runs) > 1:
                _written(result, values, share)
        else:
            values = json.loads(result.read_text(encoding="utf-8"))
        scores.append({key: value for key, value in values.items() if value is not None})
    return scores


def _written(path: Path, values: Mapping[str, float], share: Share) -> None:
    """Write numbers by one process, before any goes on to read them."""
    if share.rank == 0:
        write_text(path, _json(values))
    distributed.barrier(share)


def _by_suite(
    recipe: Recipe, asked: Suite, weights: Path, own: Mapping[str, float], words: Sequence[str], device: str
) -> Generator[benchmark.Event, None, dict[str, float]]:
    """The scores of a trunk by a suite, in percent, and the averages of the domains that are complete.

    The data set that a classifier was trained on is not probed once more: its own score stands there (HARES App. A).
    """
    tasks = benchmark.chosen(asked, ())
    metric = metric_name(recipe)
    trained = [task for task in tasks if task == recipe.data.corpus and metric in own]
    scores = {task: find_metric(metric).in_percent(own[metric]) for task in trained}
    rest = [task for task in tasks if task not in trained]
    scored, faults = benchmark.trunk(str(weights)), list[str]()
    for event in benchmark.evaluate(recipe, scored, weights.parent / "suite", tasks=rest, words=words, device=device):
        if isinstance(event, benchmark.TaskScored):
            scores[event.task] = event.score
        if isinstance(event, benchmark.TaskMissing) and not event.absent:
            faults.append(f"{event.task}: {event.reason}")
        yield event
    if faults or not scores:
        raise DataError("\n".join(faults) or f"suite: no data of {', '.join(tasks)} is there: see above")
    return scores | {name: value for name, value in benchmark.averages(asked, scores).items() if value is not None}


def finished(source: Source, table: str, folder: Path) -> tuple[TableRow, ...]:
    """The rows whose numbers are there, in the paper's order."""
    results = {name: folder / slug(name) / "result.json" for name in rows(source, table)}
    return tuple(
        _scored(row, recipe, name, results[name])
        for name, (row, recipe) in rows(source, table).items()
        if results[name].is_file()
    )


def _scored(row: Row, recipe: Recipe, name: str, result: Path) -> TableRow:
    scores = json.loads(result.read_text(encoding="utf-8"))
    known = {key: value for key, value in scores.items() if value is not None}
    return TableRow(name=name, ours={**sized(row, recipe, name).ours, **known}, published=row.published)


def _require_labels(found: Corpus) -> None:
    """Find out before the row is trained, not after."""
    if not all(segment.targets for segment in found.segments):
        raise DataError(f"{found.name} {found.split}: has no labels: set data.test to a split that has")


def slug(name: str) -> str:
    """A row's name as a folder's: ``Slow-Fast (late fusion)`` is slow-fast-late-fusion."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")


def write(table: Table, folder: Path) -> None:
    """Write the table's files: table.md, table.csv, table.tex, table.json."""
    make_folder(folder)
    texts = {
        "md": markdown(table),
        "csv": to_csv(table),
        "tex": latex(table),
        "json": json.dumps(finite(to_dict(table)), indent=1),
    }
    for suffix, content in texts.items():
        write_text(folder / f"table.{suffix}", content)


def _json(values: object) -> str:
    return json.dumps(finite(values), indent=1, allow_nan=False)
