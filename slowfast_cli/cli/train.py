"""``slowfast train``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slowfast_cli.cli import launch, options
from slowfast_cli.types import UsageError

if TYPE_CHECKING:
    from types import FrameType

    from slowfast_cli.recipe.schema import Recipe
    from slowfast_cli.stages.train.run_folder import Run

EPILOG = (
    "Examples:  slowfast train recipes/vggsound.yaml  |  slowfast train esc10 data.fold=2 optim.lr=0.02  |  "
    "slowfast train epic --dry-run  |  slowfast train vggsound --gpus 8"
)


def train(
    recipe: options.RecipeName,
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
    """Train a recipe. The same command again goes on where it stopped."""
    from slowfast_cli.recipe.load import check, override, read

    words = list(overrides or [])
    source = override(read(recipe), words)
    checked = check(source)
    refuse_probe(source.name, checked)
    if dry_run:
        from slowfast_cli.cli.dry_run import dry_run as describe

        launch.require(nodes, meet)
        describe(checked, source.name, device, gpus * nodes)
        return
    launch.launch_processes(gpus, nodes, meet, max_restarts)
    from slowfast_cli.cli import show
    from slowfast_cli.stages.train.run_folder import Run, folder_for

    plan = checked.schedule
    if not smoke and max(plan.warmup_epochs / (plan.epochs or inf), plan.warmup_steps / (plan.steps or inf)) >= 1:
        show.say("the warm-up is as long as the training, so next to nothing is learned: set schedule.warmup_epochs=0")

    fresh = fresh and not launch.is_restart()
    if smoke:
        with tempfile.TemporaryDirectory() as folder:
            follow(checked, Run(Path(folder) / "run"), source.name, device=device, smoke=True)
    else:
        follow(
            checked,
            Run(run or folder_for(source.name, checked, words)),
            source.name,
            fresh=fresh,
            device=device,
        )


def refuse_probe(name: str, recipe: Recipe) -> None:
    """A task of a suite is not trained by itself: its network is the trunk that the suite scores.

    Raises:
        UsageError: The recipe is one.
    """
    if recipe.probe:
        command = f"slowfast evaluate recipes/hares.yaml --weights WEIGHTS --tasks {name.rpartition('/')[2]}"
        raise UsageError(f"{name}: is a probe of a trained trunk: run `{command}`")


def follow(
    recipe: Recipe, run: Run, name: str, *, fresh: bool = False, device: str = "auto", smoke: bool = False
) -> None:
    """Run a training and show it; Ctrl-C ends it between two steps, with everything saved.

    Raises:
        KeyboardInterrupt: It was interrupted.
    """
    from slowfast_cli.cli.show_training import Display
    from slowfast_cli.engine import distributed
    from slowfast_cli.stages.train import loop as stage

    events = stage.train(recipe, run, name=name, fresh=fresh, device=device, smoke=smoke)
    display = Display(name)
    try:
        with interruptible() as asked, contextlib.closing(events):
            for event in events:
                launch.mark_started()
                display.show(event)
                if asked and not distributed.BOARD:  # several processes stop together, by themselves
                    raise KeyboardInterrupt
    except KeyboardInterrupt:
        display.close()
        display.interrupted(run.folder)
        raise
    finally:
        display.close()
        distributed.leave()


@contextlib.contextmanager
def interruptible(asked: list[int] | None = None) -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM, in ``asked``, instead of raising in the middle of a step; a second one raises."""
    from slowfast_cli.engine import stop_signal

    asked = [] if asked is None else asked

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        stop_signal.ask()
        if os.environ.get("RANK", "0") == "0":
            sys.stderr.write("\nstopping after this step\n")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop_signal.forget()
