"""``slowfast doctor``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from slowfast_cli.cli import options

EPILOG = options.examples(
    "slowfast doctor",
    "slowfast doctor --json",
)


def doctor(
    folder: Annotated[Path, typer.Option(help="Folder for the write test.")] = Path(), as_json: options.Json = False
) -> None:
    """Print versions, decoders, GPU, disk and a verdict, ready to paste into a bug report."""
    from slowfast_cli.stages.doctor import as_dict, as_text, examine

    report = examine(folder)
    typer.echo(json.dumps(as_dict(report)) if as_json else as_text(report))
    if not report.ok:
        raise typer.Exit(1)
