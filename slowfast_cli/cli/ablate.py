"""``slowfast ablate``."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slowfast_cli.cli import options
from slowfast_cli.cli.launch import Launch
from slowfast_cli.storage.remote import display as display_path
from slowfast_cli.storage.remote import upload
from slowfast_cli.types import finite

if TYPE_CHECKING:
    from slowfast_cli.metrics.table import TableRow
    from slowfast_cli.recipe.load import Source

EPILOG = options.examples(
    "slowfast ablate vggsound --table 3",
    "slowfast ablate vggsound --table 3 --dry-run",
    "slowfast ablate recipes/epic.yaml --table 2 --row Slow --row Fast",
)


@options.takes(Launch)
def ablate(
    recipe: options.RecipeName,
    overrides: options.Overrides = None,
    table: Annotated[str | None, options.optional("A table of the recipe; optional if it has only one.")] = None,
    row: Annotated[list[str] | None, options.optional("Only this row; may be given more than once.")] = None,
    out: Annotated[Path | None, options.folder("Folder of runs and tables.", "runs/<recipe>/table-<table>")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print parameters and GFLOPs; needs no data.")] = False,
    device: options.Device = "auto",
    as_json: options.Json = False,
    opens: options.Open = False,
    **given: Any,
) -> None:
    """Train and score the unfinished rows of a paper's table, and print them next to the published numbers."""
    from slowfast_cli.cli import show
    from slowfast_cli.metrics.table import Table, TableRow, to_dict
    from slowfast_cli.recipe.load import check, override, read
    from slowfast_cli.stages import ablate as stage
    from slowfast_cli.stages.hares.benchmark import about_tasks, domains
    from slowfast_cli.stages.train.run_folder import folder_for
    from slowfast_cli.types import UsageError

    words, written = list(overrides or []), read(recipe)
    suite = check(written).suite
    tasks = [word for word in words if suite and about_tasks(word, domains(suite)["hares"])]
    source = override(written, [word for word in words if word not in tasks])
    checked = check(source)
    tables = checked.tables
    if table is None:
        if len(tables) != 1:
            raise UsageError(
                f"{source.path.name}: --table: expected one of {', '.join(tables)}"
                if tables
                else f"{source.path.name}: has no tables"
            )
        table = next(iter(tables))
    chosen = stage.rows(source, table, row or ())
    if dry_run:
        rows = []
        for title, (published, built) in chosen.items():
            try:
                rows.append(stage.sized(published, built, title))
            except UsageError as error:  # of an extra that is not installed; the other rows are printed
                show.say(f"{title}: {error}")
                rows.append(TableRow(name=title, ours={}, published={}))
    else:
        Launch(**given).start()
        folder = out or folder_for(source.name, checked, [*words, f"table-{table}"])
        rows = _run(source, table, folder, row or [], tasks, device)
        if os.environ.get("RANK", "0") != "0":
            return
    result = Table(title=f"{source.name}, table {table}", rows=tuple(rows))
    if as_json:
        typer.echo(json.dumps(finite(to_dict(result)), allow_nan=False))
    else:
        header, body = result.cells()
        show.table(result.title, header, body)
    if opens and not dry_run:
        show.open_page(folder / "report.html")


def _run(source: Source, table: str, folder: Path, only: list[str], words: list[str], device: str) -> list[TableRow]:
    from slowfast_cli.cli import show
    from slowfast_cli.cli.show_suite import SuiteDisplay
    from slowfast_cli.cli.train import interruptible
    from slowfast_cli.engine import distributed
    from slowfast_cli.stages import ablate as stage

    rows: list[TableRow] = []
    display = SuiteDisplay(source.name)
    events = stage.ablate(source, table, folder, only=only, words=words, device=device)
    try:
        with interruptible() as signals, contextlib.closing(events):
            for event in events:
                if isinstance(event, stage.RowStarted):
                    display = SuiteDisplay(event.name)
                    show.say(f"{event.name}: {'already finished' if event.finished else 'training'}: {event.run}")
                elif isinstance(event, stage.RowFinished):
                    rows.append(event.row)
                else:
                    display.show(event)
                if signals and not distributed.STATUS_STORE:  # with several processes the training stops itself
                    display.interrupted(folder)
                    raise KeyboardInterrupt
    finally:
        distributed.leave()
    upload(folder)
    show.say(f"done: {display_path(folder.absolute())} (report.html, table.md, table.csv, table.tex, table.json)")
    return rows
