"""``slowfast evaluate``."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slowfast_cli.cli import launch, options
from slowfast_cli.storage.remote import display, local_path, mirror
from slowfast_cli.types import UsageError, finite

if TYPE_CHECKING:
    from slowfast_cli.recipe.schema import Recipe
    from slowfast_cli.stages.evaluate.report import Compared, Least
    from slowfast_cli.stages.evaluate.run import Beside, Evaluated

EPILOG = (
    "Examples:  slowfast evaluate vggsound  |  slowfast evaluate epic --weights runs/epic/default --split val  |  "
    "slowfast evaluate vggsound --weights runs/slow --compare runs/fast --above 20  |  "
    "slowfast evaluate runs/kinetics-audio/default --with runs/kinetics/default  |  "
    "slowfast evaluate recipes/hares.yaml --weights runs/simclr/default --tasks esc50"
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
    beside: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            help="The run folder of another finished run: probabilities of both are averaged (late ensembling).",
            show_default=False,
        ),
    ] = None,
    above: Annotated[
        float | None,
        typer.Option(help="By how much a class is done better, for --compare.", show_default="10 points, 1.5 times"),
    ] = None,
    by: Annotated[str, typer.Option(help="What --above counts in: points or ratio.")] = "points",
    submission: Annotated[
        Path | None, typer.Option(help="Write the EPIC-KITCHENS-100 challenge's JSON here.", show_default=False)
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(help="Of a suite, as hares: only these tasks, with commas between.", show_default=False),
    ] = None,
    plots: Annotated[bool, typer.Option(help="Draw confusion matrix, classes and feature maps.")] = True,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=local_path, metavar="PATH", help="Where files go.", show_default="evaluation, in the weights' folder"
        ),
    ] = None,
    device: options.Device = "auto",
    gpus: options.Gpus = 1,
    nodes: options.Nodes = 1,
    meet: options.Meet = None,
    max_restarts: options.MaxRestarts = 0,
    as_json: options.Json = False,
    offline: options.Offline = False,
) -> None:
    """Score trained weights by the recipe's protocol, beside the paper's numbers."""
    for option, value, allowed in (("--split", split, ("train", "val", "test")), ("--by", by, ("points", "ratio"))):
        if value not in allowed:
            raise UsageError(f"{option} {value}: {', '.join(allowed[:-1])} or {allowed[-1]}")
    from slowfast_cli.cli.evaluate_suite import evaluate_suite, is_suite, refuse

    words = list(overrides or [])
    run = _run_folder(recipe)
    start = partial(launch.launch_processes, gpus, nodes, meet, max_restarts)
    if run is None and is_suite(recipe):
        unfit = {"--split": split != "test", "--compare": compare, "--with": beside, "--above": above}
        unfit |= {"--by": by != "points", "--submission": submission}
        refuse(option for option, given in unfit.items() if given)
        where = {"out": out, "device": device, "as_json": as_json, "offline": offline}
        evaluate_suite(recipe, words, weights=weights, tasks=tasks, start=start, **where)  # type: ignore[arg-type]
        return
    from slowfast_cli.cli import show
    from slowfast_cli.engine.checkpoint import make_folder
    from slowfast_cli.recipe.load import check, override, read
    from slowfast_cli.stages.evaluate import predictions as stored
    from slowfast_cli.stages.evaluate import run as stage
    from slowfast_cli.stages.evaluate.report import Least
    from slowfast_cli.stages.train.run_folder import folder_for
    from slowfast_cli.weights.resolve import weight_file

    source = override(read(str(run / "recipe.yaml") if run else recipe), words)
    checked = check(source)
    if tasks:
        raise UsageError(f"--tasks {tasks}: {source.name} has no suite of tasks; recipes/hares.yaml has one")
    start()
    path = weight_file(weights or str(run or folder_for(source.name, checked, words)), offline=offline)
    joined = "".join(f"-with-{Path(each).parent.name}-{Path(each).name}" for each in beside or ())
    folder = make_folder(out or _folder(path, source.name) / f"{split}{joined}")
    theirs = stored.predictions_of(compare, split) if compare else None
    others = [stage.finished(each, checked) for each in beside or ()]
    found = _evaluated(checked, path, split, device, others)
    if found is None:
        return
    stored.save_predictions(found, folder / "predictions.npz")
    if submission:
        show.say(f"submission: {stored.write_submission(found, submission).absolute()}")
    title = " + ".join([str(path) if run else f"{source.name}: {path}", *(beside or ())])
    least = Least(above=above if above is not None else {"points": 10.0, "ratio": 1.5}[by], by=by)  # type: ignore[arg-type]
    _tell(found, title, folder, theirs, least, plots, as_json)
    _finish(checked, path, found, folder, device, plots)


def _run_folder(recipe: str) -> Path | None:
    """The run folder that stands in the place of a recipe, which has its own."""
    from slowfast_cli.recipe.load import bundled

    where = local_path(recipe)
    run = where if (mirror(where) / "recipe.yaml").is_file() else None
    if run is None and len(Path(recipe).parts) > 1 and not Path(recipe).suffix and recipe not in bundled():
        raise UsageError(f"{recipe}: no such run folder: it holds recipe.yaml and weights; train it first")
    return run


def _evaluated(recipe: Recipe, weights: Path, split: str, device: str, others: list[Beside]) -> Evaluated | None:
    """Evaluate under a progress bar; None in all processes but the first."""
    from slowfast_cli.cli import show
    from slowfast_cli.engine import distributed
    from slowfast_cli.stages.evaluate.run import evaluate as stage

    bar: show.Bar | None = None

    def tick(done: int, total: int) -> None:
        nonlocal bar
        bar = bar or show.Bar(total, "view", "evaluate")
        bar.to(done)

    try:
        found = stage(recipe, weights, part=split, device=device, tick=tick, beside=others)  # type: ignore[arg-type]
    finally:
        if bar:
            bar.close()
        rank = distributed.join().rank
        distributed.leave()
    return None if rank else found


def _folder(weights: Path, recipe: str) -> Path:
    """Beside the weights of a run; weights from elsewhere, such as the cache, get a place among the runs."""
    run = weights.parent if (weights.parent / "recipe.yaml").is_file() else Path("runs") / recipe / weights.stem
    return run / "evaluation"


def _tell(
    found: Evaluated, title: str, folder: Path, theirs: Path | None, least: Least, plots: bool, as_json: bool
) -> None:
    from slowfast_cli.cli import show
    from slowfast_cli.stages.evaluate import report
    from slowfast_cli.stages.evaluate.predictions import load_tables

    other = load_tables(theirs, found.corpus) if theirs else {}
    _print(found, report.compared(found, other, least) if theirs else {}, title, least, as_json)
    for written in report.write(found, folder, other=other, least=least, draw=plots):
        show.say(f"wrote {display(written)}")


def _finish(recipe: Recipe, weights: Path, found: Evaluated, folder: Path, device: str, plots: bool) -> None:
    from slowfast_cli.cli import show
    from slowfast_cli.stages.evaluate import report

    if plots and (maps := report.feature_maps(recipe, weights, found.corpus, folder / "feature-maps.png", device)):
        show.say(f"wrote {display(maps)}")
    show.done(folder)


def _print(found: Evaluated, compared: Compared, title: str, least: Least, as_json: bool) -> None:
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
                [gain.name, f"{gain.better:.1f}", f"{gain.worse:.1f}", f"{sign}{gain.points:.1f}", f"{gain.ratio:.2f}x"]
                for sign, gains in (("+", ours), ("-", theirs))
                for gain in gains
            ]
            show.table(
                f"{labels}: classes that one does better by more than {least}",
                ["class", "better", "worse", "points", "times"],
                rows,
            )
    if found.without_audio:
        show.say(f"without sound: {found.without_audio:,} segments, scored by their pictures alone")
    for failure in found.corpus.missing[:3]:
        show.say(f"not scored: {failure.id}: {failure.reason}")
    if len(found.corpus.missing) > 3:
        show.say(f"not scored: {len(found.corpus.missing) - 3} more")


def _plain(compared: Compared) -> dict[str, object]:
    return {
        labels: {
            side: [{**asdict(gain), "points": gain.points, "ratio": gain.ratio} for gain in gains]
            for side, gains in (("better", ours), ("worse", theirs))
        }
        for labels, (ours, theirs) in compared.items()
    }
