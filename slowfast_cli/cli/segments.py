"""``slowfast segments``: cut, list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from slowfast_cli.cli import options
from slowfast_cli.types import DataError, Failure

app = typer.Typer(help="Cut events into clips for review, and list the sorted clips.", no_args_is_help=True)


@app.command(
    "cut",
    epilog=options.examples(
        "slowfast segments cut found/events.csv --out review",
        "slowfast segments cut found/events.csv --out review --pad 0.5 --min-score 0.8",
    ),
)
def cut(
    events: Annotated[Path, typer.Argument(metavar="EVENTS.csv", help="Table of `slowfast predict --events --out`.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the clips, one folder a class.")],
    pad: Annotated[float, typer.Option(min=0, help="Seconds kept before and after each event.")] = 0.0,
    min_score: Annotated[float, typer.Option(min=0, max=1, help="Skip events with a lower score.")] = 0.0,
    as_json: options.Json = False,
) -> None:
    """Write the sound of each event to FOLDER/<class>/, to listen to and to sort. Re-run to resume."""
    from slowfast_cli.cli import show
    from slowfast_cli.stages import segments as stage

    rows = stage.read_events(events, min_score)
    bar, clips, failures = show.Bar(max(len(rows), 1), "clip", "cut"), 0, list[Failure]()
    for number, result in enumerate(stage.cut(rows, out, pad=pad), 1):
        if isinstance(result, Failure):
            failures.append(result)
        else:
            clips += 1
        bar.to(number)
    bar.close()
    for failure in failures[:3]:
        show.say(f"error: {failure.reason}")
    if as_json:
        typer.echo(json.dumps({"clips": clips, "failed": len(failures), "folder": str(out)}))
    else:
        show.say(f"{clips} clips in {out}: move wrong ones to the right folder or delete them, then: ")
        show.say(f"slowfast segments list {out} --out reviewed.csv")
    if failures:
        raise DataError(f"{len(failures)} of {len(rows)} events could not be cut")


@app.command("list", epilog=options.examples("slowfast segments list review --out reviewed.csv"))
def list_(
    folder: Annotated[Path, typer.Argument(help="Folder that `segments cut` filled, with clips moved or deleted.")],
    out: Annotated[Path, typer.Option(metavar="FILE.csv", help="The csv data set to write.")],
    as_json: options.Json = False,
) -> None:
    """List sorted clips as a data set of the original recordings: the folder of a clip is its label."""
    from slowfast_cli.cli import show
    from slowfast_cli.stages import segments as stage
    from slowfast_cli.storage.atomic import require_output

    require_output(out, "--out", starts=",".join(stage.LIST_COLUMNS) + "\n")
    count, changed = stage.list_sorted(folder, out)
    if as_json:
        typer.echo(json.dumps({"clips": count, "changed": changed, "out": str(out)}))
    else:
        show.say(f"{out}: {count} segments, {changed} with another label than detected")
        show.say(f"next: slowfast train folder data.corpus=csv data.root={out}")
