"""``slowfast evaluate``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slowfast_cli.cli import options
from slowfast_cli.types import UsageError, finite

if TYPE_CHECKING:
    from slowfast_cli.recipe.schema import Recipe
    from slowfast_cli.stages.evaluate import Evaluated
    from slowfast_cli.stages.figures import Compared

EPILOG = (
    "Examples:  slowfast evaluate vggsound  |  slowfast evaluate epic --weights runs/epic/default --split val  |  "
    "slowfast evaluate vggsound --weights runs/slow --compare runs/fast --above 20"
)


def evaluate(
    recipe: options.RecipeName,
    overrides: options.Overrides = None,
    weights: options.Weights = None,
    split: Annotated[
        str, typer.Option(help="train, val or test: the recipe says which split of the corpus that is.")
    ] = "test",
    compare: Annotated[
        Path | None,
        typer.Option(help="A folder of predictions of another run, from its own evaluate.", show_default=False),
    ] = None,
    above: Annotated[float, typer.Option(help="Points by which a class is done better, for --compare.")] = 10.0,
    submission: Annotated[
        Path | None, typer.Option(help="Write the EPIC-KITCHENS-100 challenge's JSON here.", show_default=False)
    ] = None,
    plots: Annotated[bool, typer.Option(help="Draw confusion matrix, classes and feature maps.")] = True,
    out: Annotated[
        Path | None, typer.Option(help="Where files go.", show_default="evaluation, in the weights' folder")
    ] = None,
    device: options.Device = "auto",
    gpus: options.Gpus = 1,
    as_json: options.Json = False,
    offline: options.Offline = False,
) -> None:
    """Score trained weights by the recipe's protocol, beside the paper's numbers."""
    import os

    if split not in ("train", "val", "test"):
        raise UsageError(f"--split {split}: train, val or test")
    if gpus > 1 and "WORLD_SIZE" not in os.environ:
        from slowfast_cli.cli.train import torchrun

        torchrun(gpus)
    from slowfast_cli.cli import show
    from slowfast_cli.engine import distributed
    from slowfast_cli.engine.checkpoint import make_folder
    from slowfast_cli.recipe.load import check, override, read
    from slowfast_cli.stages import evaluate as stage
    from slowfast_cli.stages.obtain import weight_file
    from slowfast_cli.stages.run import folder_for

    words = list(overrides or [])
    source = override(read(recipe), words)
    checked = check(source)
    path = weight_file(weights or str(folder_for(source.name, checked, words)), offline=offline)
    folder = make_folder(out or _folder(path, source.name) / split)
    theirs = stage.predictions_of(compare, split) if compare else None
    bar: show.Bar | None = None

    def tick(done: int, total: int) -> None:
        nonlocal bar
        bar = bar or show.Bar(total, "view", "evaluate")
        bar.to(done)

    try:
        found = stage.evaluate(checked, path, part=split, device=device, tick=tick)  # type: ignore[arg-type]
    finally:
        if bar:
            bar.close()
        rank = distributed.join().rank
        distributed.leave()
    if rank:
        return
    stage.save_predictions(found, folder / "predictions.npz")
    if submission:
        show.say(f"submission: {stage.write_submission(found, submission).absolute()}")
    _tell(found, f"{source.name}: {path}", folder, theirs, above, plots, as_json)
    _finish(checked, path, found, folder, device, plots)


def _folder(weights: Path, recipe: str) -> Path:
    """Beside the weights of a run; weights from elsewhere, such as the cache, get a place among the runs."""
    run = weights.parent if (weights.parent / "recipe.yaml").is_file() else Path("runs") / recipe / weights.stem
    return run / "evaluation"


def _tell(
    found: Evaluated, title: str, folder: Path, theirs: Path | None, above: float, plots: bool, as_json: bool
) -> None:
    from slowfast_cli.cli import show
    from slowfast_cli.stages import figures
    from slowfast_cli.stages.evaluate import load_tables

    other = load_tables(theirs, found.corpus) if theirs else {}
    _print(found, figures.compared(found, other, above) if theirs else {}, title, above, as_json)
    for written in figures.write(found, folder, other=other, above=above, draw=plots):
        show.say(f"wrote {written}")


def _finish(recipe: Recipe, weights: Path, found: Evaluated, folder: Path, device: str, plots: bool) -> None:
    from slowfast_cli.cli import show
    from slowfast_cli.stages import figures

    if plots:
        maps = figures.feature_maps(recipe, weights, found.corpus, folder / "feature-maps.png", device)
        show.say(f"wrote {maps}")
    show.say(f"done: {folder.absolute()}")


def _print(found: Evaluated, compared: Compared, title: str, above: float, as_json: bool) -> None:
    from slowfast_cli.cli import show

    if found.scores is None:
        show.say(f"{show.coverage(found.corpus)}: no labels, so no scores")
    elif as_json:
        scores = found.scores
        plain = {
            "scores": dict(scores.values),
            "published": dict(found.published),
            "found": scores.found,
            "listed": scores.listed,
            **({"compared": _plain(compared)} if compared else {}),
        }
        typer.echo(json.dumps(finite(plain), allow_nan=False))
    else:
        show.scores(found.scores, found.published, title)
        for labels, (ours, theirs) in compared.items():
            rows = [
                [gain.name, f"{gain.better:.1f}", f"{gain.worse:.1f}", f"{sign}{gain.points:.1f}"]
                for sign, gains in (("+", ours), ("-", theirs))
                for gain in gains
            ]
            show.table(
                f"{labels}: classes that one does better by more than {above:g} points",
                ["class", "better", "worse", "points"],
                rows,
            )
    for failure in found.corpus.missing[:3]:
        show.say(f"not scored: {failure.id}: {failure.reason}")
    if len(found.corpus.missing) > 3:
        show.say(f"not scored: {len(found.corpus.missing) - 3} more")


def _plain(compared: Compared) -> dict[str, object]:
    return {
        labels: {"better": [asdict(gain) for gain in ours], "worse": [asdict(gain) for gain in theirs]}
        for labels, (ours, theirs) in compared.items()
    }
