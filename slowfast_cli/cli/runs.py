"""``slowfast runs``: ls, compare."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slowfast_cli.cli import options
from slowfast_cli.storage.remote import display, local_path
from slowfast_cli.types import finite

if TYPE_CHECKING:
    from slowfast_cli.stages.runs import RunSummary

DAY = 24 * 3600  # seconds
app = typer.Typer(help="List and compare training runs.", no_args_is_help=True)


@app.command(
    "ls",
    epilog=options.examples(
        "slowfast runs ls",
        "slowfast runs ls runs/esc10 --json",
    ),
)
def ls(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="Runs at or below this folder.", parser=local_path)
    ] = Path("runs"),
    as_json: options.Json = False,
) -> None:
    """List runs, newest first: recipe, data, steps, best score, age; unfinished and damaged ones too."""
    from slowfast_cli.cli import show
    from slowfast_cli.stages.runs import list_runs

    runs = list_runs(folder) if folder != Path("runs") or folder.exists() else []
    if as_json:
        typer.echo(json.dumps([_plain(run) for run in runs], allow_nan=False))
    elif runs:
        rows = [[display(run.run), run.recipe, _steps(run), _score(run), _age(run.seconds), run.data] for run in runs]
        show.listing(["run", "recipe", "steps", "best score", "age", "data"], rows)
        _report_damage(runs)
    else:
        show.say(f"{display(folder)}: no runs: `slowfast train RECIPE` makes one")


@app.command(
    "compare",
    epilog=options.examples(
        "slowfast runs compare runs/esc10/default runs/esc10/1",
        "slowfast runs compare runs/esc10/default runs/esc10/1 --json",
    ),
)
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Run folders.", parser=local_path)],
    as_json: options.Json = False,
) -> None:
    """Print validation scores of runs side by side, and the fields of their recipes that differ."""
    from slowfast_cli.cli import show
    from slowfast_cli.metrics.registry import format_metric, metric_title
    from slowfast_cli.stages.runs import changed_fields, find_runs

    found = find_runs(runs)
    metrics = list(dict.fromkeys(metric for run in found for metric in run.scores))
    fields, names = changed_fields(found), [display(run.run) for run in found]
    if as_json:
        scores = {metric: [run.scores.get(metric) for run in found] for metric in metrics}
        plain = {"runs": [_plain(run) for run in found], "scores": scores, "fields": fields}
        typer.echo(json.dumps(finite(plain), allow_nan=False))
        return
    rows = [["steps", *map(_steps, found)]]
    for metric in metrics:
        rows.append([metric_title(metric), *(format_metric(metric, run.scores.get(metric)) or "-" for run in found)])
    show.table("validation scores of the weights to use", ["", *names], rows)
    cells = [[field, *("-" if value is None else str(value) for value in values)] for field, values in fields.items()]
    if cells:
        show.table("fields that differ", ["", *names], cells)
    _report_damage(found)
    if not cells:
        show.say("the recipes do not differ")


def _report_damage(runs: list[RunSummary]) -> None:
    from slowfast_cli.cli import show

    for run in runs:
        if run.problem:
            show.say(f"damaged: {run.problem}")


def _plain(run: RunSummary) -> dict[str, Any]:
    values = {key: value for key, value in asdict(run).items() if key != "settings"}
    return dict(finite({**values, "run": display(run.run)}))


def _steps(run: RunSummary) -> str:
    total = "?" if run.total is None else f"{run.total:,}"
    return "damaged" if run.status == "damaged" else f"{run.steps:,} of {total}"


def _score(run: RunSummary) -> str:
    from slowfast_cli.metrics.registry import format_metric, metric_title

    return "-" if run.score is None else f"{metric_title(run.metric)} {format_metric(run.metric, run.score)}"


def _age(seconds: float) -> str:
    from slowfast_cli.cli.show import duration

    return duration(seconds) if seconds < 2 * DAY else f"{seconds / DAY:.0f} d"
