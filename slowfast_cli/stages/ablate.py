"""Reproduce a table of a paper: train and score each row that is not finished yet."""

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
from slowfast_cli.report.page import Section
from slowfast_cli.report.page import Table as Columns
from slowfast_cli.report.parts import write_page
from slowfast_cli.stages.evaluate.run import evaluate
from slowfast_cli.stages.hares import benchmark
from slowfast_cli.stages.train import dry_run
from slowfast_cli.stages.train import loop as training
from slowfast_cli.stages.train.run_folder import Run
from slowfast_cli.storage.atomic import make_folder, write_text
from slowfast_cli.types import Corpus, DataError, Share, UsageError, did_you_mean, finite
from slowfast_cli.weights.file import run_weights


@dataclass(frozen=True, kw_only=True)
class RowStarted:
    """Work on a row starts."""

    name: str
    run: Path  # folder
    finished: bool  # an earlier run has scored it


@dataclass(frozen=True, kw_only=True)
class RowFinished:
    """A row is scored."""

    row: TableRow


Event = RowStarted | RowFinished | benchmark.Event


def rows(source: Source, table: str, only: Sequence[str] = ()) -> dict[str, tuple[Row, Recipe]]:
    """The rows of a table, each with its recipe.

    Args:
        source: The recipe.
        table: Name of the table.
        only: Names of the rows; all by default.

    Raises:
        UsageError: The table or a row does not exist, or the recipe of a row is inconsistent.
    """
    tables = check(source).tables
    if table not in tables:
        known = f"expected one of {', '.join(tables)}" if tables else "the recipe has none"
        raise UsageError(
            f"{source.path.name}: --table {table}: no such table{did_you_mean(table, tables) or f'; {known}'}"
        )
    if unknown := set(only) - set(tables[table]):
        raise UsageError(f"--row {', '.join(sorted(unknown))}: table {table} has the rows {', '.join(tables[table])}")
    chosen = {name: row for name, row in tables[table].items() if not only or name in only}
    return {name: (row, check(changed(source, row.set))) for name, row in chosen.items()}


def sized(row: Row, recipe: Recipe, name: str) -> TableRow:
    """A row with parameters and GFLOPs only, ours and published."""
    size = dry_run.size(recipe)
    ours = {"params_m": size.parameters / 1e6, "gflops": size.gflops}
    published = {key: value for key, value in row.published.items() if key in ours}
    return TableRow(name=name, ours=ours, published=published)


def ablate(
    source: Source,
    table: str,
    folder: Path,
    *,
    only: Sequence[str] = (),
    words: Sequence[str] = (),
    device: str = "auto",
) -> Generator[Event]:
    """Train and score the rows of a table; finished rows are skipped.

    A row that is scored by a suite is finished when none of its tasks is missing.

    Args:
        source: The recipe.
        table: Name of the table.
        folder: Of the table's files, with a run folder for each row.
        only: Names of the rows; all by default.
        words: Overrides of the recipes of a suite's tasks.
        device: As for training.

    Raises:
        SlowFastError: A row cannot be trained or scored; finished rows are kept.
    """
    chosen, share = rows(source, table, only), distributed.join()
    for name, (row, recipe) in chosen.items():
        for run, own in _runs(row, recipe, folder / slug(name)):
            run.require(own)  # scores of earlier runs must belong to this recipe
    for name, (row, recipe) in chosen.items():
        result = folder / slug(name) / "result.json"
        done = _complete(result, recipe)
        yield RowStarted(name=name, run=result.parent, finished=done)
        if not done:
            distributed.barrier(share)  # all ranks have read `result` before rank 0 writes it
            scores = yield from _train_and_score(_runs(row, recipe, result.parent), source.name, words, device)
            common = [key for key in scores[0] if all(key in fold for fold in scores)]
            means = {key: sum(fold[key] for fold in scores) / len(scores) for key in common}
            _write_scores(result, means, share)
        yield RowFinished(row=_table_row(row, recipe, name, result))
        if share.rank == 0:
            write(Table(title=f"{source.name}, table {table}", rows=finished(source, table, folder)), folder)


def _complete(result: Path, recipe: Recipe) -> bool:
    """Whether a run has all its scores."""
    if not result.is_file():
        return False
    return recipe.suite is None or "hares" in json.loads(result.read_text(encoding="utf-8"))


def _runs(row: Row, recipe: Recipe, folder: Path) -> list[tuple[Run, Recipe]]:
    """The run of a row, or one run per fold."""
    if not row.folds:
        return [(Run(folder), recipe)]
    runs = []
    for fold in row.folds:
        data = recipe.data.model_copy(update={"fold": fold})
        runs.append((Run(folder / f"fold-{fold}"), recipe.model_copy(update={"data": data})))
    return runs


def _train_and_score(
    runs: Sequence[tuple[Run, Recipe]], name: str, words: Sequence[str], device: str
) -> Generator[benchmark.Event, None, list[dict[str, float]]]:
    """Train and score runs one after the other, except those with scores; return the scores of each run."""
    scores, share = [], distributed.join()
    for run, recipe in runs:
        result = run.folder / ("result.json" if len(runs) == 1 else "scores.json")
        if not _complete(result, recipe):
            spec = task_spec(recipe)
            if spec.label_sets is None and not spec.boxes:
                _require_labels(read_corpus(recipe, "test"))
            yield from training.train(recipe, run, name=name, device=device)
            weights = run_weights(run.folder)
            values = {}
            if not spec.has_objective:
                scored = evaluate(recipe, weights, device=device).scores
                values = dict(scored.values) if scored else {}
            if recipe.suite:
                values = yield from _score_by_suite(recipe, recipe.suite, weights, values, words, device)
            if len(runs) > 1:
                _write_scores(result, values, share)
        else:
            values = json.loads(result.read_text(encoding="utf-8"))
        scores.append({key: value for key, value in values.items() if value is not None})
    return scores


def _write_scores(path: Path, values: Mapping[str, float], share: Share) -> None:
    """Write scores on rank 0; the other ranks wait for the file."""
    if share.rank == 0:
        write_text(path, json.dumps(finite(values), indent=1, allow_nan=False))
    distributed.barrier(share)


def _score_by_suite(
    recipe: Recipe, suite: Suite, weights: Path, own: Mapping[str, float], words: Sequence[str], device: str
) -> Generator[benchmark.Event, None, dict[str, float]]:
    """Scores of a trunk on the tasks of a suite, in percent, and the averages of the complete domains.

    The data set that a classifier was trained on is not probed; the classifier's own score is used (HARES App. A).
    """
    tasks = benchmark.chosen(suite, ())
    metric = metric_name(recipe)
    trained = [task for task in tasks if task == recipe.data.corpus and metric in own]
    scores = {task: find_metric(metric).in_percent(own[metric]) for task in trained}
    rest = [task for task in tasks if task not in trained]
    trunk, faults = benchmark.trunk(str(weights)), list[str]()
    for event in benchmark.evaluate(recipe, trunk, weights.parent / "suite", tasks=rest, words=words, device=device):
        if isinstance(event, benchmark.TaskScored):
            scores[event.task] = event.score
        if isinstance(event, benchmark.TaskMissing) and not event.data_absent:
            faults.append(f"{event.task}: {event.reason}")
        yield event
    if faults or not scores:
        raise DataError("\n".join(faults) or f"suite: no data found for {', '.join(tasks)}: see above")
    return scores | {name: value for name, value in benchmark.averages(suite, scores).items() if value is not None}


def finished(source: Source, table: str, folder: Path) -> tuple[TableRow, ...]:
    """The scored rows, in the order of the paper."""
    results = {name: folder / slug(name) / "result.json" for name in rows(source, table)}
    return tuple(
        _table_row(row, recipe, name, results[name])
        for name, (row, recipe) in rows(source, table).items()
        if results[name].is_file()
    )


def _table_row(row: Row, recipe: Recipe, name: str, result: Path) -> TableRow:
    scores = json.loads(result.read_text(encoding="utf-8"))
    known = {key: value for key, value in scores.items() if value is not None}
    return TableRow(name=name, ours={**sized(row, recipe, name).ours, **known}, published=row.published)


def _require_labels(corpus: Corpus) -> None:
    """Raise `DataError` for a test split without labels, before the row is trained."""
    if not all(segment.targets for segment in corpus.segments):
        raise DataError(f"{corpus.name} {corpus.split}: has no labels: set data.test to a labeled split")


def slug(name: str) -> str:
    """Folder name of a row: ``Slow-Fast (late fusion)`` becomes slow-fast-late-fusion."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")


def write(table: Table, folder: Path) -> None:
    """Write a table as table.md, table.csv, table.tex, table.json and report.html."""
    make_folder(folder)
    texts = {
        "md": markdown(table),
        "csv": to_csv(table),
        "tex": latex(table),
        "json": json.dumps(finite(to_dict(table)), indent=1),
    }
    for suffix, content in texts.items():
        write_text(folder / f"table.{suffix}", content)
    columns, rows = table.cells()
    section = Section(title="Table", tables=[Columns(columns=columns, rows=rows)])
    write_page(folder, table.title, [("Folder", str(folder))], [section])
