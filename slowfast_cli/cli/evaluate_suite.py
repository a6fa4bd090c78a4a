"""``slowfast evaluate`` of a recipe with a suite: score a pretrained trunk on many tasks."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from slowfast_cli.types import DataError, UsageError, finite

if TYPE_CHECKING:
    from slowfast_cli.stages.hares.benchmark import TaskMissing, Trunk


def is_suite(recipe: str) -> bool:
    """Whether a recipe defines a suite of tasks."""
    from slowfast_cli.recipe.load import read

    return "suite" in read(recipe).values


def refuse(options: Iterable[str]) -> None:
    """Raise `UsageError` for options that do not apply to a suite."""
    if given := ", ".join(options):
        raise UsageError(f"{given}: not for a suite of tasks: remove it")


def evaluate_suite(
    name: str,
    words: Sequence[str],
    *,
    weights: str | None,
    tasks: str | None,
    out: Path | None,
    device: str,
    as_json: bool,
    offline: bool,
    start: Callable[[], None],
) -> None:
    """Score a trunk and print the paper's table.

    Args:
        name: The suite's recipe.
        words: Overrides of the tasks' recipes.
        weights: The trunk.
        tasks: Comma-separated names; None for all.
        out: Folder of the results.
        device: As for training.
        as_json: Print JSON.
        offline: Do not use the network.
        start: Called after the arguments are checked; it may re-run the command in several processes.

    Raises:
        UsageError: No weights are given, or a task is unknown.
        DataError: A task whose data is available could not be scored, or no task could.
    """
    from slowfast_cli.cli.show_suite import SuiteDisplay, cells, summary
    from slowfast_cli.cli.train import interruptible
    from slowfast_cli.engine import distributed
    from slowfast_cli.recipe.load import check, read
    from slowfast_cli.stages.hares import benchmark
    from slowfast_cli.stages.hares.html import write_report
    from slowfast_cli.storage.atomic import make_folder, write_text

    source = read(name)
    recipe = check(source)
    if weights is None:
        raise UsageError("--weights: name a weight file, run folder, random:sf-nfnet-f0 or package.module:callable")
    suite = benchmark.suite_of(recipe)
    benchmark.chosen(suite, names := [name for name in (tasks or "").split(",") if name])
    start()
    trunk = benchmark.trunk(weights, offline=offline)
    folder = make_folder(out or _folder(trunk, source.name))
    stop: list[int] = []
    display = SuiteDisplay(stop=stop)
    events = benchmark.evaluate(recipe, trunk, folder, tasks=names, words=words, device=device, tick=display.tick)
    try:
        with interruptible(stop), contextlib.closing(events):
            for event in events:
                display.show(event)
                if stop and not distributed.STATUS_STORE:  # with several processes the training stops itself
                    raise KeyboardInterrupt
    finally:
        display.close()
        distributed.leave()
    if os.environ.get("RANK", "0") != "0":
        return
    scores = {task: event.score for task, event in display.scored.items()}
    plain = {
        "weights": weights,
        "tasks": {task: asdict(event) for task, event in display.scored.items()},
        "averages": benchmark.averages(suite, scores),
        "missing": {task: event.reason for task, event in display.missing.items()},
        "published": suite.columns,
    }
    write_text(folder / "suite.json", text := json.dumps(finite(plain), allow_nan=False))
    missing = [f"{task}: {reason}" for task, reason in plain["missing"].items()]  # type: ignore[attr-defined]
    write_report(folder, f"{source.name}: {weights}", *cells(suite, scores), missing)
    if as_json:
        typer.echo(text)
    elif scores:
        summary(suite, scores, f"{source.name}: {weights}")
    _finish(folder, display.missing.values(), names, any_scored=bool(scores))


def _finish(folder: Path, missing: Iterable[TaskMissing], names: Sequence[str], *, any_scored: bool) -> None:
    """Upload the results, and print where they are.

    Raises:
        DataError: The data of a task is unusable, that of a named task is absent, or no task was scored.
    """
    from slowfast_cli.cli import show
    from slowfast_cli.storage.remote import upload

    upload(folder)
    faults = [event for event in missing if not event.data_absent or event.task in names]
    if faults:
        count = f"{len(faults)} task{'s' * (len(faults) > 1)} not scored"
        raise DataError(f"{count}, for the reasons above: {', '.join(event.task for event in faults)}")
    if not any_scored:
        raise DataError(
            "no data of any task found: put data sets below $SLOWFAST_DATA, or name their folders as "
            "esc50.data.root=ESC-50-master; `slowfast data check NAME` says what belongs there and where to get it"
        )
    show.done(folder)


def _folder(trunk: Trunk, name: str) -> Path:
    """Default folder of the results: in the run folder of the weights, else below ``runs``."""
    init = trunk.model["init"]
    if init and (Path(init).parent / "recipe.yaml").is_file():
        return Path(init).parent / name
    return Path("runs") / name / re.sub(r"[^\w.-]+", "-", Path(init).stem if init else trunk.word)
