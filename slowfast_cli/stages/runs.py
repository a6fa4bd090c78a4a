"""Run folders as they are: how far each is, its best score, and in what two of them differ."""

import json
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from slowfast_cli.build.task import metric_name
from slowfast_cli.metrics.registry import find_metric
from slowfast_cli.recipe.load import check, flat, read_stored
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages.train.run_folder import Run, lines
from slowfast_cli.storage import remote
from slowfast_cli.storage.run_list import changed_at, other_runs, run_folders
from slowfast_cli.types import SlowFastError, UsageError
from slowfast_cli.weights.file import read_card

Status = Literal["finished", "unfinished", "damaged"]
NOT_COMPARED = (
    "published",
    "measured",
    "tables",
    "suite",
    "events",
    "challenge",
)  # fields that do not change what is trained


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A run folder."""

    run: Path
    recipe: str  # name of the recipe
    data: str  # data set, and its folder if the recipe names one
    steps: int  # done
    total: int | None  # steps of the whole training; None if that is not known yet
    metric: str  # the score by which the best weights are kept
    score: float | None  # its best value
    seconds: float  # since the run was last written to
    status: Status
    problem: str = ""  # of a damaged run
    settings: Recipe | None = field(default=None, repr=False)  # None if they cannot be read
    scores: dict[str, float] = field(default_factory=dict)  # of the weights to use, by metric


def list_runs(root: Path) -> list[RunSummary]:
    """Summarize the runs at or below a folder, newest first.

    Raises:
        UsageError: There is no such folder.
    """
    if not remote.mirror(root).is_dir():
        raise UsageError(f"{remote.display(root)}: no such folder{other_runs(str(root))}")
    return [summarize(folder) for folder in run_folders(root)]


def find_runs(names: Sequence[Path]) -> list[RunSummary]:
    """Summarize the runs that are named.

    Raises:
        UsageError: One is no run folder; the message lists those that are there.
    """
    for path in names:
        if run_folders(remote.mirror(path), depth=0) != [path]:
            shown = remote.display(path)
            raise UsageError(f"{shown}: no such run folder (with recipe.yaml){other_runs(shown)}")
    return [summarize(path) for path in names]


def summarize(folder: Path) -> RunSummary:
    """Read a run folder; what is wrong with a damaged one is part of the summary."""
    run, problem, recipe, records = Run(folder), "", None, list[dict[str, Any]]()
    try:
        if run.metrics.is_file():
            records = lines(remote.ensure_local(run.metrics), scores=True)
        recipe = check(read_stored(remote.ensure_local(folder / "recipe.yaml")))
    except (SlowFastError, OSError) as error:
        problem = str(error).splitlines()[0]
    metric = "" if recipe is None else metric_name(recipe)
    scored = [record for record in records if any(key.startswith("val_") for key in record)]
    patience = 0 if recipe is None else recipe.schedule.patience
    best = _best(scored, metric, by_loss=patience > 0)
    used = best if recipe is not None and recipe.keep == "best" else scored[-1] if scored else None
    steps = max((record["step"] for record in records), default=0)
    total = _total(recipe, records)
    stale = len(scored) - 1 - scored.index(best) if best else 0
    early = 0 < patience <= stale  # the score has not improved for so long
    finished = bool(scored) and (early or (total is not None and steps >= total <= scored[-1]["step"]))
    return RunSummary(
        run=folder,
        recipe=_recipe_name(folder),
        data="" if recipe is None else _data(recipe),
        steps=steps,
        total=total,
        metric=metric,
        score=best[f"val_{metric}"] if best else None,
        seconds=max(0.0, time.time() - changed_at(folder)),
        status="damaged" if problem else "finished" if finished else "unfinished",
        problem=problem,
        settings=recipe,
        scores={key.removeprefix("val_"): value for key, value in (used or {}).items() if key.startswith("val_")},
    )


def changed_fields(runs: Sequence[RunSummary]) -> dict[str, list[Any]]:
    """The fields of the recipes that are not equal in all runs, with their values; None where there is none."""
    plain = [dict(flat(run.settings.model_dump(mode="json"))) if run.settings else {} for run in runs]
    keys = dict.fromkeys(key for values in plain for key in values if not key.startswith(NOT_COMPARED))
    table = {key: [values.get(key) for values in plain] for key in keys}
    known = [number for number, run in enumerate(runs) if run.settings]
    return {
        key: values
        for key, values in table.items()
        if len({json.dumps(values[number], sort_keys=True) for number in known}) > 1
    }


def _best(scored: Sequence[dict[str, Any]], metric: str, *, by_loss: bool) -> dict[str, Any] | None:
    """The best validation; with ``by_loss``, the lower loss decides between equal scores, as in training."""
    best: dict[str, Any] = {}
    key = f"val_{metric}"
    for record in scored:
        value, loss = record.get(key), record.get("val_loss")
        if value is None:
            continue
        tied = by_loss and value == best.get(key) and loss is not None
        if loss < best.get("val_loss", math.inf) if tied else find_metric(metric).better(value, best.get(key)):
            best = record
    return best or None


def _total(recipe: Recipe | None, records: Sequence[dict[str, Any]]) -> int | None:
    """Steps of the whole training: those of the recipe, or its epochs times the steps of an epoch so far."""
    if recipe is None or recipe.schedule.epochs is None:
        return None if recipe is None else recipe.schedule.steps
    timed = [record for record in records if record.get("epoch")]
    return round(recipe.schedule.epochs * timed[-1]["step"] / timed[-1]["epoch"]) if timed else None


def _recipe_name(folder: Path) -> str:
    """Name in the weights, or that of the folder around the run."""
    for weights in (Run(folder).best, Run(folder).last):
        with suppress(SlowFastError, OSError):
            if weights.is_file() and (name := read_card(weights).recipe):
                return name
    return folder.absolute().parent.name


def _data(recipe: Recipe) -> str:
    root = recipe.data.root
    return f"{recipe.data.corpus} ({remote.display(root)})" if root else recipe.data.corpus
