"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from slowfast_cli.storage.remote import local_path

RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A bundled recipe's name, or a YAML file.", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Fields to change, as optim.lr=0.02; ~KEY takes one back to its default.",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Gpus = Annotated[int, typer.Option(min=1, help="Processes on this machine, one a GPU; more than one starts torchrun.")]
Nodes = Annotated[int, typer.Option(min=1, help="Machines; the same command is typed on each.")]
Meet = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Where several machines meet: one of them.", show_default=False),
]
MaxRestarts = Annotated[
    int, typer.Option(min=0, help="How often all processes start again, from the last checkpoint, after one has died.")
]
RunFolder = Annotated[
    Path | None,
    typer.Option(
        "--run",
        parser=local_path,
        metavar="PATH",
        help="The run folder; by default runs/<recipe>/<overrides>.",
        show_default=False,
    ),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Move what is there aside and start over.")]
Offline = Annotated[bool, typer.Option("--offline", help="Do not use the network.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
Weights = Annotated[
    str | None,
    typer.Option("--weights", "-w", help="A weight file, a run folder or a catalogue name.", show_default=False),
]
