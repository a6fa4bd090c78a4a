"""The batch of ``--batch auto``: the largest that fits, or the one with which the run has begun."""

from collections.abc import Iterator
from contextlib import suppress

from slowfast_cli.build.adapt import BATCHES
from slowfast_cli.build.corpus import read_corpus
from slowfast_cli.engine import distributed
from slowfast_cli.recipe.load import check, read_stored
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages.train.default_run import GIVEN, DefaultRun, Place
from slowfast_cli.stages.train.memory import largest_batch
from slowfast_cli.stages.train.run_folder import differences
from slowfast_cli.types import SlowFastError, UsageError


def batch_words(recipe: Recipe, run: Place, device: str, processes: int = 1) -> list[str]:
    """Return the overrides that set the largest batch that fits, with the learning rate in proportion.

    It is at most that of the recipe, or a `BATCHES`th of the training split if that is more. A run that was started
    with ``--batch auto`` keeps its batch.

    Raises:
        UsageError: Not even the smallest batch fits, or the recipe fixes the micro-batch.
        DataError: The training split cannot be read.
    """
    optim = recipe.optim
    if optim.bn_batch_size:
        raise UsageError(
            f"--batch auto: optim.bn_batch_size={optim.bn_batch_size} fixes the clips in memory: set it to null, or "
            "leave out --batch"
        )
    reference = optim.lr_batch or optim.batch
    batch = next((size for stored in _runs(run) if (size := _same_but_batch(stored, recipe, reference))), None)
    if batch is None:
        most = max(optim.batch, len(read_corpus(recipe, "train").segments) // BATCHES)
        batch = largest_batch(recipe, distributed.device(device), most=most, processes=processes)
    return [f"optim.batch={batch}", f"optim.lr_batch={reference}", "optim.grad_accum_steps=1"]


def _runs(run: Place) -> Iterator[Recipe]:
    """The recipes of the runs that this one may be."""
    for folder in run.folders() if isinstance(run, DefaultRun) else [run.folder]:
        with suppress(SlowFastError):  # not a run, or of another version
            given = folder / GIVEN
            yield check(read_stored(given if given.is_file() else folder / "recipe.yaml"))


def _same_but_batch(stored: Recipe, recipe: Recipe, reference: int) -> int | None:
    """The batch of a stored recipe that is this one with another batch; None for any other recipe."""
    fields = {"batch": stored.optim.batch, "lr_batch": reference, "grad_accum_steps": 1}
    resized = recipe.model_copy(update={"optim": recipe.optim.model_copy(update=fields)})
    return None if differences(stored, resized) else stored.optim.batch
