"""What a training would be, shown without one."""

from __future__ import annotations

from slowfast_cli.cli import show
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages import assemble, inspect
from slowfast_cli.types import DataError


def dry_run(recipe: Recipe, name: str, device: str, processes: int = 1) -> None:
    """Build everything, take one step, and say what it costs.

    Raises:
        DataError: The data is not there; all that needs none was shown before.
    """
    size = inspect.size(recipe)
    tried = inspect.trial(recipe, device, processes)
    rows = [
        ["parameters", f"{size.parameters:,}"],
        ["GFLOPs a view", f"{size.gflops:.3f}"],
        ["views a segment", str(recipe.data.views)],
        ["log-mel of a view", f"{size.shape[0]} frames x {size.shape[1]} mels"],
        ["classes", ", ".join(f"{labels} {classes}" for labels, classes in size.heads.items())],
        [
            f"one step of {tried.clips} clips on {tried.device}",
            f"{tried.seconds:.2f} s",
        ],
        ["loss before training", ", ".join(f"{labels} {value:.3f}" for labels, value in tried.loss.items())],
        ["peak memory", f"{tried.memory_bytes / 2**30:.2f} GiB"],
    ]
    problem: DataError | None = None
    try:
        store = assemble.store(recipe)
        train, val = (assemble.usable(assemble.corpus(recipe, part), store) for part in ("train", "val"))
        steps = len(train.segments) // recipe.optim.batch
        rows += [
            ["training", show.coverage(train)],
            ["validation", show.coverage(val)],
            ["steps", f"{steps * recipe.schedule.epochs:,} ({steps:,} an epoch)"],
            [
                "time",
                f"about {tried.seconds * recipe.optim.accumulate * steps * recipe.schedule.epochs / 3600:.1f} h",
            ],
        ]
    except DataError as error:
        problem = error
    show.table(f"{name}: {recipe.model.variant}", ["", ""], rows)
    if problem:
        raise problem
