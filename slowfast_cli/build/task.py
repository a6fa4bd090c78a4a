"""The task of a recipe: its specification, and the losses that are learned."""

from collections.abc import Collection

from slowfast_cli.build.schedule import DTYPES, micro_batches
from slowfast_cli.engine.fit import StepConfig
from slowfast_cli.models.spec import Stage
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.tasks.avsync import Sync
from slowfast_cli.tasks.registry import TASKS
from slowfast_cli.tasks.task import Part, Task, TaskSpec
from slowfast_cli.types import Share, UsageError


def task_spec(recipe: Recipe) -> TaskSpec:
    """Look up the task of a recipe.

    Raises:
        UsageError: The task does not go with other fields of the recipe.
    """
    spec = TASKS[recipe.task]
    if recipe.optim.batch < spec.min_batch:
        raise UsageError(
            f"optim.batch: task {recipe.task} compares recordings with each other: use at least {spec.min_batch}"
        )
    if spec.has_objective and (recipe.video or recipe.probe):
        raise UsageError(f"task: {recipe.task} pretrains an audio network: remove `video` and `probe`")
    if spec.part is None and recipe.sync is None:
        raise UsageError(f"task: {recipe.task} needs a section `sync` with the stages at which audio and video meet")
    if recipe.video is None and (recipe.sync or spec.needs == "frames"):
        with_sync = " with sync" if recipe.sync else ""
        raise UsageError(f"task: {recipe.task}{with_sync} reads video: add a `video` section")
    return spec


def build_task(recipe: Recipe, labels: Collection[str]) -> Task:
    """Build the losses over some label sets, with AV-sync's where the recipe has it."""
    make = task_spec(recipe).part
    parts: list[Part] = [] if make is None else [make(tuple(labels), recipe.optim.label_smoothing, recipe.pretext)]
    if recipe.sync:
        parts.append(Sync(stages=recipe.sync.stages, weight=recipe.sync.weight))
    return Task(tuple(parts), recipe.optim.loss_weights)


def sync_stages(recipe: Recipe) -> tuple[Stage, ...]:
    """Stages at which audio and video features are compared."""
    return recipe.sync.stages if recipe.sync else ()


def metric_name(recipe: Recipe) -> str:
    """The score by which the best weights are kept."""
    return recipe.metric or task_spec(recipe).metric


def step_config(recipe: Recipe, task: Task, share: Share) -> StepConfig:
    """Build the options of the training step."""
    count = micro_batches(recipe, share.world)
    return StepConfig(
        micro_batches=count,
        clip_norm=recipe.optim.clip_norm,
        dtype=DTYPES[recipe.optim.precision],
        seed=recipe.seed,
        rank=share.rank,
        contrast=task.losses if task_spec(recipe).whole_batch_loss and count > 1 else None,
        cuda_graphs=recipe.optim.cuda_graphs,
    )
