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
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from slowfast_cli.cli import options
from slowfast_cli.types import SlowFastError, UsageError

if TYPE_CHECKING:
    from types import FrameType

    from slowfast_cli.recipe.schema import Recipe
    from slowfast_cli.stages.run import Run

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
) -> None:
    """Train a recipe. The same command again goes on where it stopped."""
    from slowfast_cli.recipe.load import check, override, read

    words = list(overrides or [])
    source = override(read(recipe), words)
    checked = check(source)
    refuse_probe(source.name, checked)
    if dry_run:
        from slowfast_cli.cli.dry_run import dry_run as describe

        describe(checked, source.name, device, gpus)
        return
    spread(gpus)
    from slowfast_cli.cli import show
    from slowfast_cli.stages.run import Run, folder_for

    plan = checked.schedule
    if not smoke and max(plan.warmup_epochs / (plan.epochs or inf), plan.warmup_steps / (plan.steps or inf)) >= 1:
        show.say(
            "the warm-up is as long as the training, so the rate never reaches optim.lr: set schedule.warmup_epochs=0"
        )

    if smoke:
        with tempfile.TemporaryDirectory() as folder:
            follow(checked, Run(Path(folder) / "run"), source.name, device=device, smoke=True)
    else:
        follow(checked, Run(run or folder_for(source.name, checked, words)), source.name, fresh=fresh, device=device)


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
    from slowfast_cli.stages import train as stage

    events = stage.train(recipe, run, name=name, fresh=fresh, device=device, smoke=smoke)
    display = Display(name)
    try:
        with interruptible() as asked, contextlib.closing(events):
            for event in events:
                display.show(event)
                if asked:
                    break
    finally:
        display.close()
        distributed.leave()
    if asked:
        display.interrupted(run.folder)
        raise KeyboardInterrupt


@contextlib.contextmanager
def interruptible(asked: list[int] | None = None) -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM, in ``asked``, instead of raising in the middle of a step; a second one raises."""
    asked = [] if asked is None else asked

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        sys.stderr.write("\nstopping after this step\n")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def spread(processes: int) -> None:
    """Start over in several processes, where more than one is asked for and this is not one of them."""
    if processes > 1 and "WORLD_SIZE" not in os.environ:
        torchrun(processes)


def torchrun(processes: int) -> NoReturn:
    """Run this very command in several processes under torchrun, and end as they do.

    Raises:
        SlowFastError: There are fewer GPUs than that.
    """
    import logging

    import torch
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    gpus = torch.cuda.device_count()
    if torch.cuda.is_available() and gpus < processes:
        raise SlowFastError(f"--gpus {processes}: this machine has {gpus}")
    words = [
        word for number, word in enumerate(sys.argv[1:], 1) if word != "--gpus" and sys.argv[number - 1] != "--gpus"
    ]
    words = [word for word in words if not word.startswith("--gpus=")]
    # After the dashes nothing is taken for an option of torchrun, as --run would be.
    launch = ["--standalone", f"--nproc-per-node={processes}", "-m", "--", "slowfast_cli", *words]
    if "--debug" not in words:
        logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # each process has told its own error
    try:
        run.run(run.parse_args(launch))
    except ChildFailedError as error:
        _, first = error.get_first_failure()
        sys.exit(max(first.exitcode, 1))
    except SignalException:
        sys.exit(130)
    sys.exit(0)
