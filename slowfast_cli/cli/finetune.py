"""``slowfast finetune``."""

from __future__ import annotations

from typing import Annotated

import typer

from slowfast_cli.cli import options
from slowfast_cli.cli import train as training

EPILOG = (
    "Examples:  slowfast finetune epic --weights runs/vggsound/default  |  "
    "slowfast finetune folder data.root=my_sounds --weights asf-vggsound model.freeze_norms=all-but-first"
)


def finetune(
    recipe: options.RecipeName,
    weights: Annotated[
        str, typer.Option("--weights", "-w", help="A weight file, a run folder or a catalogue name to start from.")
    ],
    overrides: options.Overrides = None,
    run: options.RunFolder = None,
    fresh: options.Fresh = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build everything, take one step, say what it costs.")
    ] = False,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="A few steps on a few clips, in a folder that is thrown away.")
    ] = False,
    device: options.Device = "auto",
    gpus: options.Gpus = 1,
    nodes: options.Nodes = 1,
    meet: options.Meet = None,
    max_restarts: options.MaxRestarts = 0,
) -> None:
    """Train a recipe from weights learned elsewhere: the trunk is taken over, a head of other classes made anew."""
    words = [*(overrides or []), f"model.init={weights}"]
    training.train(recipe, words, run, fresh, dry_run, smoke, device, gpus, nodes, meet, max_restarts)
