"""``slowfast data``: ls, check, events."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from slowfast_cli.cli import options
from slowfast_cli.types import DataError, UsageError

app = typer.Typer(help="List the known data sets, check those on disk, and export their events.", no_args_is_help=True)


@app.command(
    "ls",
    epilog=options.examples(
        "slowfast data ls",
        "slowfast data ls --json",
    ),
)
def ls(
    task: Annotated[str | None, options.optional("Only tasks that contain this text, such as video.")] = None,
    as_json: options.Json = False,
) -> None:
    """List the data sets: task, classes, splits, license."""
    from slowfast_cli.build.corpus import datasets
    from slowfast_cli.cli import show

    infos = [entry.info for entry in datasets().values() if task is None or task.lower() in entry.info.task.lower()]
    if as_json:
        for info in infos:
            typer.echo(json.dumps(asdict(info)))
        return
    rows = [[info.name, info.task, info.classes, ", ".join(info.splits), info.license] for info in infos]
    show.listing(["data set", "task", "classes", "splits", "license"], rows)


@app.command(
    "check",
    epilog=(
        options.examples(
            "slowfast data check vggsound --root /data/vggsound",
            "slowfast data check kinetics400 --limit 200 --out wrong.csv",
            "slowfast data check folder --root my_sounds --drop flagged",
        )
    ),
)
def check(
    name: Annotated[str, typer.Argument(help="A data set.")],
    root: Annotated[
        Path | None, options.folder("Folder of the data set.", "$SLOWFAST_DATA/<name>, or data/<name>")
    ] = None,
    min_seconds: Annotated[float, typer.Option(help="Report shorter recordings.")] = 0.1,
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=1, help="Worker processes.", show_default="one per core")
    ] = os.cpu_count() or 1,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Check only the first N recordings of each split.", show_default=False)
    ] = None,
    out: Annotated[Path | None, options.optional("Write problems, and videos without audio, to a CSV file.")] = None,
    drop: Annotated[
        str | None, options.optional("'flagged': list what is neither wrong nor flagged in a CSV file to train on.")
    ] = None,
    rest: Annotated[Path | None, typer.Option(help="That CSV file.", show_default="rest.csv")] = None,
) -> None:
    """Decode all audio and video of a data set: count listed, found, unreadable, too short and silent recordings.

    Videos without audio are usable and counted separately. Clipped sound, channels of opposite phase and videos of
    constant frames are flagged.
    """
    from slowfast_cli.cli import data_check

    if drop not in (None, "flagged"):
        raise UsageError(f"--drop {drop}: expected flagged")
    if drop is None and rest is not None:
        raise UsageError(f"--rest {rest}: needs --drop flagged")
    if drop is not None and limit is not None:
        raise UsageError(f"--drop {drop}: --limit {limit} leaves recordings unchecked: remove one of them")
    rest = (rest or Path("rest.csv")) if drop else None
    problems = data_check.run(name, root, min_seconds=min_seconds, jobs=jobs, limit=limit, out=out, rest=rest)
    if problems:
        raise DataError(f"{name}: {problems:,} recording{'s have' if problems != 1 else ' has'} problems")


@app.command(
    "events",
    epilog=options.examples(
        "slowfast data events epic-sounds --root /data/epic --split train,validation --out events.json",
    ),
)
def events(
    name: Annotated[str, typer.Argument(help="A data set whose segments are events with start and end.")],
    out: Annotated[Path, typer.Option(metavar="FILE.json", help="The file to write.")],
    root: Annotated[
        Path | None, options.folder("Folder of the data set.", "$SLOWFAST_DATA/<name>, or data/<name>")
    ] = None,
    split: Annotated[str, typer.Option(help="Splits by the data set's own names, separated by commas.")] = "train",
    redact: Annotated[str | None, options.optional("Leave out this class, such as background of EPIC-SOUNDS.")] = None,
) -> None:
    """Write the events of a data set as the JSON that ActionFormer and similar detectors train on.

    A recording has its subset (training, validation or test), duration in seconds, and annotations.
    """
    from slowfast_cli.cli import show
    from slowfast_cli.stages.data import event_database as stage
    from slowfast_cli.storage.atomic import require_output

    require_output(out, "--out", starts=stage.STARTS)
    database = stage.build(stage.read_splits(name, root, split.split(",")), redact)
    stage.write(database, out)
    for reason in database.left_out[:3]:
        show.say(f"left out: {reason}")
    if len(database.left_out) > 3:
        show.say(f"left out: {len(database.left_out) - 3:,} more")
    show.say(f"{out}: {database.events:,} events of {len(database.entries):,} recordings")
