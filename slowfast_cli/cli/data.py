"""``slowfast data``: ls, check."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Optional

import typer

from slowfast_cli.cli import options
from slowfast_cli.types import DataError

app = typer.Typer(help="List the data sets that can be read, and check those on disk.", no_args_is_help=True)


@app.command("ls", epilog="Examples:  slowfast data ls  |  slowfast data ls --json")
def ls(as_json: options.Json = False) -> None:
    """List the data sets: task, classes, splits, licence."""
    from slowfast_cli.cli import show
    from slowfast_cli.stages.assemble import CORPORA

    if as_json:
        for name, each in CORPORA.items():
            plain = {"name": name, "task": each.task, "heads": dict(each.heads), "splits": each.splits, "licence": each.licence}
            typer.echo(json.dumps(plain))
        return
    rows = []
    for name, each in CORPORA.items():
        heads = ", ".join(f"{size} {labels if labels != 'label' else 'classes'}{'s' if labels != 'label' else ''}" for labels, size in each.heads.items())
        rows.append([name, each.task, heads or "as found", ", ".join(each.splits), each.licence])
    show.table("", ["data set", "task", "classes", "splits", "licence"], rows, left=5)


@app.command("check", epilog="Examples:  slowfast data check vggsound --root /data/vggsound  |  slowfast data check esc50 -j 8 --limit 200")
def check(  # noqa: PLR0913
    name: Annotated[str, typer.Argument(help="A data set.")],
    root: Annotated[Optional[Path], typer.Option(help="Where it lies.", show_default="$SLOWFAST_DATA/<name>, or data/<name>")] = None,  # noqa: UP045
    min_seconds: Annotated[float, typer.Option(help="Shorter recordings are reported.")] = 0.1,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, help="Worker processes.", show_default="one a core")] = os.cpu_count() or 1,
    limit: Annotated[Optional[int], typer.Option(min=1, help="Only the first so many recordings of each split.", show_default=False)] = None,  # noqa: UP045
    out: Annotated[Optional[Path], typer.Option(help="Write what is wrong to a CSV file.", show_default=False)] = None,  # noqa: UP045
) -> None:
    """Decode every recording of a data set: listed, found, unreadable, too short, silent, without sound."""
    from slowfast_cli.cli import data_check

    found = data_check.run(name, root, min_seconds=min_seconds, jobs=jobs, limit=limit, out=out)
    if found:
        raise DataError(f"{name}: {found:,} recordings have something wrong with them")
