"""``slowfast evaluate`` of a recipe with a suite: a pretrained trunk scored by many tasks."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from slowfast_cli.types import DataError, UsageError, finite

if TYPE_CHECKING:
    from slowfast_cli.cli.show_suite import SuiteDisplay
    from slowfast_cli.recipe.schema import Suite
    from slowfast_cli.stages.hares.benchmark import TaskMissing, Trunk


def is_suite(recipe: str) -> bool:
    """Whether a recipe scores trunks by a suite of tasks."""
    from slowfast_cli.recipe.load import read

    return "suite" in read(recipe).values


def refuse(options: Iterable[str]) -> None:
    """Refuse options that say nothing about a suite.

    Raises:
        UsageError: There are some.
    """
    if given := ", ".join(options):
        raise UsageError(f"{given}: not for a suite of tasks: take it out")


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
        weights: What to score.
        tasks: Names with commas between; None: all.
        out: Where files go.
        device: As for training.
        as_json: JSON on stdout.
        offline: Do not use the network.
        start: Called when the words are known to be right; it may start the command over in many processes.

    Raises:
        UsageError: No weights are named, or a task that there is not.
        DataError: A task could not be scored, other than because its data is not there; or none could.
    """
    from slowfast_cli.cli import show
    from slowfast_cli.cli.show_suite import SuiteDisplay, summary
    from slowfast_cli.cli.train import interruptible
    from slowfast_cli.engine import distributed
    from slowfast_cli.recipe.load import check, read
    from slowfast_cli.stages.hares import benchmark
    from slowfast_cli.storage.atomic import make_folder, write_text

    source = read(name)
    recipe = check(source)
    if weights is None:
        raise UsageError(
            "--weights: name the trunk to score: a weight file, a run folder, random:sf-nfnet-f0, or "
            "package.module:callable for a module of your own"
        )
    asked = benchmark.suite_of(recipe)
    names = [name for name in (tasks or "").split(",") if name]
    benchmark.chosen(asked, names)
    start()
    scored = benchmark.trunk(weights, offline=offline)
    folder = make_folder(out or _folder(scored, source.name))
    stop: list[int] = []
    display = SuiteDisplay(stop=stop)
    events = benchmark.evaluate(recipe, scored, folder, tasks=names, words=words, device=device, tick=display.tick)
    try:
        with interruptible(stop), contextlib.closing(events):
            for event in events:
                display.show(event)
                if stop and not distributed.STATUS_STORE:  # of several processes a training stops itself
                    raise KeyboardInterrupt
    finally:
        display.close()
        distributed.leave()
    if os.environ.get("RANK", "0") != "0":
        return
    scores = {task: each.score for task, each in display.scored.items()}
    text = json.dumps(finite({"weights": weights, **_plain(asked, display, scores)}), allow_nan=False)
    write_text(folder / "suite.json", text)
    if as_json:
        typer.echo(text)
    elif scores:
        summary(asked, scores, f"{source.name}: {weights}")
    show.done(folder)
    _require_scores(display.missing.values(), names, bool(scores))


def _plain(asked: Suite, display: SuiteDisplay, scores: Mapping[str, float]) -> dict[str, object]:
    from slowfast_cli.stages.hares import benchmark

    return {
        "tasks": {task: asdict(each) for task, each in display.scored.items()},
        "averages": benchmark.averages(asked, scores),
        "missing": {task: each.reason for task, each in display.missing.items()},
        "published": asked.columns,
    }


def _require_scores(missing: Iterable[TaskMissing], names: Sequence[str], any_scored: bool) -> None:
    """Say by the exit code that something is wrong with the data of a task, or that there is none."""
    faults = [each for each in missing if not each.absent or each.task in names]
    if faults:
        raise DataError("\n".join(f"{each.task}: {each.reason}" for each in faults))
    if not any_scored:
        raise DataError(
            "none of the tasks' data is there: put data sets below $SLOWFAST_DATA, or name their folders as "
            "esc50.data.root=ESC-50-master; `slowfast data check NAME` says what belongs there and where to get it"
        )


def _folder(scored: Trunk, name: str) -> Path:
    """Beside the weights of a run; of others a place among the runs."""
    init = scored.model["init"]
    if init and (Path(init).parent / "recipe.yaml").is_file():
        return Path(init).parent / name
    return Path("runs") / name / re.sub(r"[^\w.-]+", "-", Path(init).stem if init else scored.word)
