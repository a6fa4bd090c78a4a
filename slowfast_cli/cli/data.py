"""``slowfast data``: ls, check."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from slowfast_cli.cli import options
from slowfast_cli.storage.remote import local_path
from slowfast_cli.types import DataError

app = typer.Typer(help="List the data sets that can be read, and check those on disk.", no_args_is_help=True)


@app.command("ls", epilog="Examples:  slowfast data ls  |  slowfast data ls --json")
def ls(as_json: options.Json = False) -> None:
    """List the data sets: task, classes, splits, licence."""
    from slowfast_cli.build.corpus import datasets
    from slowfast_cli.cli import show

    if as_json:
        for each in datasets().values():
            typer.echo(json.dumps({**asdict(each.info), "heads": dict(each.heads), "recipe": each.recipe}))
        return
    rows = [
        [name, each.info.task, each.info.classes, ", ".join(each.info.splits), each.info.license]
        for name, each in datasets().items()
    ]
    show.table("", ["data set", "task", "classes", "splits", "licence"], rows, left=5)


@app.command(
    "check",
    epilog=(
        "Examples:  slowfast data check vggsound --root /data/vggsound  |  "
        "slowfast data check kinetics400 --limit 200 --out wrong.csv"
    ),
)
def check(
    name: Annotated[str, typer.Argument(help="A data set.")],
    root: Annotated[
        Path | None,
        typer.Option(
            parser=local_path,
            metavar="PATH",
            help="Where it lies.",
            show_default="$SLOWFAST_DATA/<name>, or data/<name>",
        ),
    ] = None,
    min_seconds: Annotated[float, typer.Option(help="Shorter recordings are reported.")] = 0.1,
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=1, help="Worker processes.", show_default="one a core")
    ] = os.cpu_count() or 1,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many recordings of each split.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write what is wrong, and videos with nothing to hear, to a CSV file.", show_default=False),
    ] = None,
) -> None:
    """Decode every recording of a data set, sound and pictures: listed, found, unreadable, too short, silent.

    A video with no sound can be used, and is counted apart.
    """
    from slowfast_cli.cli import data_check

    found = data_check.run(name, root, min_seconds=min_seconds, jobs=jobs, limit=limit, out=out)
    if found:
        raise DataError(f"{name}: {found:,} recordings have something wrong with them")
