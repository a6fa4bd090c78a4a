"""``slowfast train`` and ``slowfast finetune``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slowfast_cli.cli import options
from slowfast_cli.cli.launch import Launch, is_launched, is_restart, mark_started
from slowfast_cli.cli.run_log import LOG

if TYPE_CHECKING:
    from types import FrameType

    from slowfast_cli.recipe.load import Source
    from slowfast_cli.recipe.schema import Recipe
    from slowfast_cli.stages.train.default_run import Place

EPILOG = options.examples(
    "slowfast train recipes/vggsound.yaml",
    "slowfast train esc10 data.fold=2 optim.lr=0.02",
    "slowfast train epic --dry-run",
    "slowfast train vggsound --gpus 8",
)
FINETUNE_EPILOG = options.examples(
    "slowfast finetune epic --weights runs/vggsound/default",
    "slowfast finetune folder data.root=my_sounds --weights asf-vggsound model.freeze_bn=all-but-first",
)


@options.takes(Launch)
def train(
    recipe: options.RecipeName,
    overrides: options.Overrides = None,
    run: options.RunFolder = None,
    fresh: options.Fresh = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build everything, take one step, print what the training costs.")
    ] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="Train a few steps on a few clips, in a temporary folder.")] = (
        False
    ),
    device: options.Device = "auto",
    offline: options.Offline = False,
    folds: Annotated[
        int | None,
        typer.Option(min=2, max=20, help="Cross-validate own data: train N times, test each file once."),
    ] = None,
    opens: options.Open = False,
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="auto|N", help="Clips per step: the largest that fits in memory, or N.", show_default=False
        ),
    ] = None,
    track: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Trackers: tensorboard, wandb, mlflow, or none.",
            show_default="tensorboard, if it is installed",
        ),
    ] = None,
    **given: Any,
) -> None:
    """Train a recipe. Re-running the command resumes an interrupted run.

    On own data the training ends with the score of the test files.
    """
    from slowfast_cli.recipe.load import check, override, read

    words, launch, trackers = list(overrides or []), Launch(**given), _trackers(track)
    launch.require()
    source = read(recipe)
    written = override(source, words)
    checked = check(written)  # a mistake is reported before torch is imported
    from slowfast_cli.build.checks import refuse_probe
    from slowfast_cli.build.init_weights import with_settings_of_weights

    refuse_probe(written.name, checked)  # reported once, before several processes start
    if not dry_run:
        _refuse_several(batch, launch)
        launch.start()
    source = with_settings_of_weights(source, words, offline=offline)
    from slowfast_cli.cli import show
    from slowfast_cli.stages.train.default_run import DefaultRun
    from slowfast_cli.stages.train.run_folder import Run

    place = Run(run) if run else DefaultRun(source.name, words)
    if batch is not None:
        source = override(source, _batch_words(check(source), batch, place, device, launch))
    checked = check(source)
    if offline and checked.model.init:
        from slowfast_cli.weights.resolve import weight_file

        weight_file(checked.model.init, offline=True)
    if dry_run:
        from slowfast_cli.cli.dry_run import dry_run as describe

        describe(checked, source.name, device, launch.gpus * launch.nodes)
        return
    if smoke:
        with tempfile.TemporaryDirectory() as folder:
            follow(checked, Run(Path(folder) / "run"), source.name, device=device, smoke=True)
        return
    fresh = fresh and not is_restart()
    if folds:
        _cross_validate(source, words, run, folds, fresh=fresh, device=device, track=trackers)
        return
    trained = follow(checked, place, source.name, fresh=fresh, device=device, track=trackers)
    if not is_launched(os.environ):
        _report(trained, device)
    if opens:
        show.open_page(trained / "report.html")


def _refuse_several(batch: str | None, launch: Launch) -> None:
    """Refuse ``--batch auto`` in several processes, which may see different amounts of free memory."""
    from slowfast_cli.types import UsageError

    if batch == "auto" and (launch.gpus * launch.nodes > 1 or is_launched(os.environ)):
        raise UsageError("--batch auto: is for one process: --dry-run prints the batch of several, for optim.batch=N")


def _batch_words(recipe: Recipe, batch: str, run: Place, device: str, launch: Launch) -> list[str]:
    from slowfast_cli.cli import show
    from slowfast_cli.stages.train.auto_batch import batch_words
    from slowfast_cli.types import UsageError

    if batch.isdecimal():
        return [f"optim.batch={batch}"]
    if batch != "auto":
        raise UsageError(f"--batch {batch}: expected auto or a number of clips")
    words = batch_words(recipe, run, device, launch.gpus * launch.nodes)
    show.say(f"note: --batch auto: {' '.join(words)}")
    return words


def _trackers(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    from slowfast_cli.stages.train.trackers import require

    names = () if text == "none" else tuple(dict.fromkeys(text.split(",")))
    require(names)
    return names


def _report(run: Path, device: str) -> None:
    """Test a run on own data, and print the end of its training."""
    from slowfast_cli.cli import train_report
    from slowfast_cli.recipe.load import check, read_stored
    from slowfast_cli.stages.evaluate.own_data import test_run

    if tested := test_run(run, device):
        LOG.open(run)
        train_report.report(run, tested, check(read_stored(run / "recipe.yaml")), sys.argv[1:])
        LOG.close()


def _cross_validate(
    source: Source,
    words: list[str],
    run: Path | None,
    folds: int,
    *,
    fresh: bool,
    device: str,
    track: tuple[str, ...] | None,
) -> None:
    """Train and test each fold in a run folder of its own; a repeated command resumes."""
    from slowfast_cli.cli import show, train_report
    from slowfast_cli.recipe.load import check, override
    from slowfast_cli.stages.evaluate.own_data import test_run
    from slowfast_cli.stages.train.default_run import DefaultRun
    from slowfast_cli.stages.train.run_folder import Run

    tested = []
    for fold in range(1, folds + 1):
        show.say(f"fold {fold} of {folds}")
        parts = [f"data.folds={folds}", f"data.fold={fold}"]
        place = Run(run / f"fold-{fold}") if run else DefaultRun(source.name, [*words, *parts])
        folder = follow(check(override(source, parts)), place, source.name, fresh=fresh, device=device, track=track)
        tested.append(test_run(folder, device))
    train_report.report_folds([fold for fold in tested if fold])


@options.takes(train)
def finetune(
    recipe: options.RecipeName,
    weights: Annotated[
        str, typer.Option("--weights", "-w", help="Weights to start from: a file, a run folder or a catalog name.")
    ],
    overrides: options.Overrides = None,
    **given: Any,
) -> None:
    """Train a recipe from other weights: the trunk is copied, heads for other classes start fresh.

    Recipes for own data (`adapt: true`) take frames and front end of the weights too.
    """
    words = [*(overrides or []), f"model.init={weights}"]
    if not any(word.lstrip("~").startswith(("model.variant", "model.width")) for word in words):
        words += ["model.variant=null", "model.width=null"]  # the network of the weights
    train(recipe, overrides=words, **given)


def follow(
    recipe: Recipe,
    run: Place,
    name: str,
    *,
    fresh: bool = False,
    device: str = "auto",
    smoke: bool = False,
    track: tuple[str, ...] | None = None,
) -> Path:
    """Run and display a training, and return its folder.

    Raises:
        KeyboardInterrupt: After Ctrl-C, which stops it between steps, with all saved.
    """
    from slowfast_cli.cli.show_training import Display
    from slowfast_cli.engine import distributed
    from slowfast_cli.stages.train import loop as stage

    events = stage.train(recipe, run, name=name, fresh=fresh, device=device, smoke=smoke, track=track)
    display, folder = Display(name), Path()
    try:
        with interruptible() as signals, logged_warnings(), contextlib.closing(events):
            for event in events:
                mark_started()
                display.show(event)
                folder = event.run if isinstance(event, stage.Started) else folder
                if signals and not distributed.STATUS_STORE:  # several processes agree on a step to stop after
                    raise KeyboardInterrupt
    except KeyboardInterrupt:
        display.close()
        display.interrupted()
        raise
    finally:
        display.close()
        distributed.leave()
    return folder


@contextlib.contextmanager
def logged_warnings() -> Iterator[None]:
    """Write the warnings of libraries into the log of the training too."""
    show = warnings.showwarning

    def log(*args: Any, **options: Any) -> None:
        show(*args, **options)
        LOG.write(f"warning: {args[0]}")

    with warnings.catch_warnings():
        warnings.showwarning = log
        yield


@contextlib.contextmanager
def interruptible(signals: list[int] | None = None) -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list instead of raising in the middle of a step; a second one raises."""
    from slowfast_cli.engine import stop_signal

    signals = [] if signals is None else signals

    def note(number: int, frame: FrameType | None) -> None:
        if signals:
            raise KeyboardInterrupt
        signals.append(number)
        stop_signal.request()
        if os.environ.get("RANK", "0") == "0":
            sys.stderr.write("\nstopping after this step\n")
            LOG.write("stopping after this step")

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop_signal.clear()
