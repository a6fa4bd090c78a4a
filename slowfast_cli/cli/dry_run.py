"""What a training would be, shown without one."""

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
from slowfast_cli.types import DataError


def dry_run(recipe: Recipe, name: str, device: str, processes: int = 1) -> None:
    """Build everything, take one step, and show its cost; missing data raises `DataError` after that."""
    size = dry_run_module.size(recipe)
    if not size.heads:
        require_kind(recipe, read_corpus(recipe, "train"))
    tried = dry_run_module.trial(recipe, device, processes)
    rows = [
        ["parameters", f"{size.parameters:,}"],
        ["GFLOPs a view", f"{size.gflops:.3f}"],
        ["views a segment", str(recipe.data.views)],
        *([f"{name} of a view", " x ".join(map(str, shape))] for name, shape in size.shapes.items()),
        ["classes", ", ".join(f"{labels} {classes}" for labels, classes in size.heads.items())],
        [f"one step of {tried.clips} clips on {tried.device}", f"{tried.seconds:.2f} s"],
        ["loss before training", ", ".join(f"{labels} {value:.3f}" for labels, value in tried.loss.items())],
        *([["peak memory", f"{tried.memory_bytes / 2**30:.2f} GiB"]] if tried.memory_bytes else []),
    ]
    problem: DataError | None = None
    try:
        store = open_store(recipe)
        train, val = (usable(recipe, read_corpus(recipe, part), store) for part in ("train", "val"))
        metric = require_trainable(recipe, train, val)
        if recipe.model.init:
            start_from(build_recognizer(recipe, class_counts(val)), recipe.model.init, val.classes)
        clips = build_clips(recipe, train, store)
        steps = len(clips) // recipe.optim.batch
        total = total_steps(recipe, steps)
        rows += [
            ["training", show.coverage(train)],
            ["validation", show.coverage(val)],
            ["steps", f"{total:,} ({steps:,} an epoch)"],
            ["metric", metric],
            ["time", f"about {show.duration(tried.seconds * micro_batches(recipe, processes) * total)}"],
        ]
        require_batch(recipe, clips, train.split)
    except DataError as error:
        problem = error
    show.table(f"{name}: {recipe.model.variant}", ["", ""], rows)
    if problem:
        raise problem
    for remark in training_remarks(recipe, train, val, store):
        show.say(f"note: {remark}")
