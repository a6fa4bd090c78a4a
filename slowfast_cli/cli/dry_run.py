"""What a training would be, shown without one."""

from __future__ import annotations

from typing import NamedTuple

from rich.markup import escape

from slowfast_cli.build.adapt import adapted, changes
from slowfast_cli.build.checks import require_kind, require_trainable
from slowfast_cli.build.clips import build_clips, open_store, require_batch, usable
from slowfast_cli.build.corpus import class_counts, read_corpus
from slowfast_cli.build.init_weights import start_from
from slowfast_cli.build.network import build_recognizer
from slowfast_cli.build.remarks import training_remarks
from slowfast_cli.build.schedule import micro_batches, total_steps
from slowfast_cli.cli import show
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages.train import dry_run as dry_run_module
from slowfast_cli.stages.train.memory import training_bytes
from slowfast_cli.types import DataError

WIDTH = 28  # characters of the names of the values


class Plan(NamedTuple):
    """A training that fits its data."""

    recipe: Recipe
    steps: int
    remarks: tuple[str, ...]


def dry_run(recipe: Recipe, name: str, device: str, processes: int = 1) -> None:
    """Read the data, build everything, measure a step, and print each line as soon as it is known.

    Raises:
        DataError: The data is missing, and everything else is printed; or it does not go with the recipe, and nothing
            is measured.
    """
    show.out.print(f"[bold]{escape(show.printable(f'{name}: {recipe.model.variant or recipe.model.init}'))}[/bold]")
    plan: Plan | None = None
    missing: DataError | None = None
    try:
        read_corpus(recipe, "train"), read_corpus(recipe, "val")
        open_store(recipe)
    except DataError as error:
        missing = error
    if missing is None:
        plan = _data(recipe)
        recipe = plan.recipe
    _network(recipe)
    _line("peak memory", f"about {training_bytes(recipe, device, processes) / 2**30:.2f} GiB (estimated)")
    tried = dry_run_module.trial(recipe, device, processes)
    how = f" ({tried.measured})" if tried.measured else ""
    _line(f"one step of {tried.clips} clips on {tried.device}", f"{tried.seconds:.2f} s{how}")
    _line("loss before training", ", ".join(f"{labels} {value:.3f}" for labels, value in tried.loss.items()))
    if missing is not None or plan is None:
        raise missing or DataError(f"{name}: no data")
    _line("time", f"about {show.duration(tried.seconds * micro_batches(recipe, processes) * plan.steps)}")
    for remark in plan.remarks:
        show.say(f"note: {remark}")


def _line(name: str, value: str) -> None:
    show.out.print(f"{name:<{WIDTH}} {escape(show.printable(value))}", soft_wrap=True)


def _data(recipe: Recipe) -> Plan:
    """Show the data, and the recipe that is fitted to it."""
    store = open_store(recipe)
    train, val = (usable(recipe, read_corpus(recipe, part), store) for part in ("train", "val"))
    _line("training", show.coverage(train))
    _line("validation", show.coverage(val))
    metric = require_trainable(recipe, train, val)
    given, recipe = recipe, adapted(recipe, train, store)
    clips = build_clips(recipe, train, store)
    require_batch(recipe, clips, train.split)
    epoch = len(clips) // recipe.optim.batch
    total = total_steps(recipe, epoch)
    _line("steps", f"{total:,} ({epoch:,} an epoch)")
    _line("metric", metric)
    init = recipe.model.init and start_from(build_recognizer(recipe, class_counts(val)), recipe.model.init, val.classes)
    remarks = training_remarks(recipe, train, val, store, init or None)
    return Plan(recipe, total, (*changes(given, recipe), *remarks))


def _network(recipe: Recipe) -> None:
    size = dry_run_module.size(recipe)
    if not size.heads:
        require_kind(recipe, read_corpus(recipe, "train"))
    _line("parameters", f"{size.parameters:,}")
    _line("GFLOPs a view", f"{size.gflops:.3f}")
    _line("views a segment", str(recipe.data.views))
    for name, shape in size.shapes.items():
        _line(f"{name} of a view", " x ".join(map(str, shape)))
    _line("classes", ", ".join(f"{labels} {classes}" for labels, classes in size.heads.items()))
