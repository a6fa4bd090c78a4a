"""``slowfast evaluate``."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slowfast_cli.cli import options
from slowfast_cli.cli.evaluate_options import Scoring
from slowfast_cli.cli.launch import Launch
from slowfast_cli.cli.predict_events import MergeOptions
from slowfast_cli.storage.remote import display, local_path, mirror
from slowfast_cli.storage.run_list import other_runs
from slowfast_cli.types import UsageError, finite

if TYPE_CHECKING:
    from slowfast_cli.recipe.schema import Recipe
    from slowfast_cli.stages.evaluate.ensemble import EnsembleMember, NamedRecipe
    from slowfast_cli.stages.evaluate.relabeled import Relabeled
    from slowfast_cli.stages.evaluate.report import Compared, MinGain
    from slowfast_cli.stages.evaluate.run import Evaluated

EPILOG = options.examples(
    "slowfast evaluate vggsound",
    "slowfast evaluate epic --weights runs/epic/default --split val",
    "slowfast evaluate vggsound --weights runs/slow --compare runs/fast --min-gain 20",
    "slowfast evaluate esc10 --weights runs/esc10/default --weights runs/esc10/1",
    "slowfast evaluate epic-video --weights slowfast-8x8-r50-epic --ensemble asf-epic",
    "slowfast evaluate runs/folder/birds-1 --events --timeline 2.0/0.5",
    "slowfast evaluate epic-sounds data.root=/data/epic --events --detections validation.json",
    "slowfast evaluate recipes/hares.yaml --weights runs/simclr/my_sounds-1 --tasks esc50",
)


@options.takes(Scoring, MergeOptions, Launch)
def evaluate(
    recipe: options.RecipeOrRun,
    overrides: options.Overrides = None,
    weights: Annotated[
        list[str] | None,
        options.optional(
            "A weight file, a run folder, a catalog name, or hf://OWNER/NAME; several are compared with the first.",
            "--weights",
            "-w",
        ),
    ] = None,
    tasks: Annotated[
        str | None, options.optional("Of a suite such as hares: only these tasks, separated by commas.")
    ] = None,
    plots: Annotated[bool, typer.Option(help="Draw confusion matrix, classes and feature maps.")] = True,
    out: Annotated[Path | None, options.folder("Folder for the results.", "evaluation, in the weights' folder")] = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
    offline: options.Offline = False,
    opens: options.Open = False,
    **given: Any,
) -> None:
    """Score trained weights with the recipe's protocol, next to the paper's numbers."""
    scoring, launch = options.pick(Scoring, given), options.pick(Launch, given)
    rules = options.pick(MergeOptions, given)
    names = list(weights or [])
    one = names[0] if names else None
    _check(scoring, rules, launch, names, opens=opens)
    from slowfast_cli.cli import show
    from slowfast_cli.cli.evaluate_detections import score_detections
    from slowfast_cli.cli.evaluate_suite import evaluate_suite, is_suite, refuse

    words, run = list(overrides or []), _run_folder(recipe)
    if run is None and is_suite(recipe):
        refuse([*scoring.changed(), *["several --weights"] * (len(names) > 1)])
        where = {"out": out, "device": device, "as_json": as_json, "offline": offline}
        evaluate_suite(recipe, words, weights=one, tasks=tasks, start=launch.start, **where)  # type: ignore[arg-type]
        return
    from slowfast_cli.recipe.load import read, read_stored
    from slowfast_cli.stages.evaluate.ensemble import NamedRecipe
    from slowfast_cli.storage.atomic import make_folder

    source = read_stored(run / "recipe.yaml") if run else read(recipe)
    named = NamedRecipe(source=source, overrides=words)
    checked = named.recipe
    if tasks:
        raise UsageError(f"--tasks {tasks}: {source.name} has no suite of tasks; recipes/hares.yaml has one")
    show.print_remarks()
    if scoring.detections:
        score_detections(checked, scoring.split, scoring.detections, out, as_json=as_json)
        return
    launch.start()
    if run and one:
        show.say(f"note: {recipe} gives its recipe and data; the weights that are named are scored, not its own")
    if len(names) > 1:
        folder = out or (run / "evaluation" if run else Path("runs") / source.name) / f"models-{scoring.label()}"
        _evaluate_models(named, names, scoring, folder, device, offline=offline, as_json=as_json)
        return
    checked, path = _scored(named, one or (str(run) if run else None), offline=offline)
    if rules.events:
        folder = out or _folder(path, source.name) / f"{scoring.split}-events"
        _evaluate_events(checked, path, scoring, rules, folder, device, as_json=as_json)
        return
    title = str(path) if run else f"{source.name}: {path}"
    folder = make_folder(out or _folder(path, source.name) / scoring.label())
    shown = {"plots": plots, "as_json": as_json, "opens": opens}
    _evaluate_run(named, checked, path, scoring, title, folder, device, offline=offline, **shown)


def _check(scoring: Scoring, rules: MergeOptions, launch: Launch, names: list[str], *, opens: bool) -> None:
    """Raise `UsageError` for options with wrong values, or that do not go together."""
    scoring.check()
    rules.check()
    processes = launch.gpus > 1 or launch.nodes > 1
    scoring.check_events(rules.events, several=processes, opens=opens)
    scoring.check_detections(rules, names)
    if len(names) > 1:
        scoring.check_models({"--events": rules.events, "--gpus and --nodes": processes, "--open": opens})


def _scored(named: NamedRecipe, word: str | None, *, offline: bool) -> tuple[Recipe, Path]:
    """The recipe by which weights are scored, and their file; without a word those of the recipe's own run."""
    from slowfast_cli.stages.evaluate.ensemble import ensemble_member, is_official
    from slowfast_cli.stages.train.default_run import DefaultRun, fitted
    from slowfast_cli.weights.resolve import weight_file

    if word and is_official(word):
        member = ensemble_member(word, named, option="--weights", offline=offline)
        return member.recipe, member.weights
    if word:
        return named.recipe, weight_file(word, offline=offline)
    default = DefaultRun(named.source.name, named.overrides).require(named.recipe)
    return fitted(default, named.recipe), weight_file(str(default), offline=offline)


def _evaluate_events(
    recipe: Recipe, weights: Path, scoring: Scoring, rules: MergeOptions, folder: Path, device: str, *, as_json: bool
) -> None:
    from slowfast_cli.cli.evaluate_detections import write_detections
    from slowfast_cli.cli.evaluate_events import evaluate_events
    from slowfast_cli.stages.predict.predictor import Predictor

    predictor = Predictor(weights, device, engine=scoring.engine)
    common = (recipe, predictor, scoring.split, rules, scoring.timeline, folder)
    if scoring.submission:
        write_detections(*common, scoring.submission, as_json=as_json)
    else:
        evaluate_events(*common, as_json=as_json)


def _evaluate_models(
    recipe: NamedRecipe,
    names: list[str],
    scoring: Scoring,
    folder: Path,
    device: str,
    *,
    offline: bool,
    as_json: bool,
) -> None:
    from slowfast_cli.cli.evaluate_models import evaluate_models

    score = partial(_evaluate, scoring=scoring, device=device, others=[])
    evaluate_models(recipe, names, score, scoring.split, folder, offline=offline, as_json=as_json)  # type: ignore[arg-type]


def _evaluate_run(
    named: NamedRecipe,
    recipe: Recipe,
    weights: Path,
    scoring: Scoring,
    title: str,
    folder: Path,
    device: str,
    *,
    plots: bool,
    as_json: bool,
    opens: bool,
    offline: bool,
) -> None:
    """Score one weight file on the recipe's corpus, and write predictions, tables and plots."""
    from slowfast_cli.cli import show
    from slowfast_cli.stages.evaluate import html, predictions, relabeled, report
    from slowfast_cli.stages.evaluate.ensemble import EnsembleMember, ensemble_member, require_distinct
    from slowfast_cli.stages.evaluate.supervision import provenance
    from slowfast_cli.storage.atomic import require_output

    others = scoring.ensemble or []
    if scoring.submission:
        starts = "PK" if scoring.submission.suffix == ".zip" else '{"version": '
        require_output(scoring.submission, "--submission", starts=starts)
    theirs = predictions.predictions_of(scoring.compare, scoring.split) if scoring.compare else None
    annotations = relabeled.annotations_for(recipe, scoring.split, scoring.labels) if scoring.labels else None
    members = [ensemble_member(other, named, offline=offline) for other in others]
    require_distinct([title, *others], [weights, *(member.weights for member in members)], "--ensemble")
    result = _evaluate(recipe, weights, scoring, device, members)
    if result is None:
        return
    predictions.save_predictions(result, folder / "predictions.npz")
    show.say(f"wrote {display(folder / 'predictions.npz')}")
    if scoring.submission:
        made_by = provenance([EnsembleMember(recipe=recipe, weights=weights), *members])
        show.say(f"submission: {predictions.write_submission(result, scoring.submission, made_by).absolute()}")
    default = {"points": 10.0, "ratio": 1.5}[scoring.gain_unit]
    min_gain = report.MinGain(value=default if scoring.min_gain is None else scoring.min_gain, unit=scoring.gain_unit)  # type: ignore[arg-type]
    other = predictions.load_tables(theirs, result.corpus) if theirs else {}
    gains = report.compare(result, other, min_gain) if theirs else {}
    again = relabeled.relabel(result, annotations) if annotations else None
    _print(result, gains, " + ".join([title, *others]), min_gain, again, as_json=as_json)
    if again:
        show.say(f"wrote {display(relabeled.write(again, folder))}")
    models = report.model_names(weights, theirs, others) if theirs else report.UNNAMED
    for path in report.write(result, folder, other=other, min_gain=min_gain, draw=plots, models=models):
        show.say(f"wrote {display(path)}")
    if plots and (maps := report.feature_maps(recipe, weights, result.corpus, folder / "feature-maps.png", device)):
        show.say(f"wrote {display(maps)}")
    for path in html.write_report(result, recipe, folder, title):
        show.say(f"wrote {display(path)}")
    show.done(folder)
    if opens:
        show.open_page(folder / "report.html")


def _run_folder(recipe: str) -> Path | None:
    """The run folder given in place of a recipe; it has its own recipe."""
    from slowfast_cli.recipe.load import bundled

    folder = local_path(recipe)
    run = folder if (mirror(folder) / "recipe.yaml").is_file() else None
    if run is None and len(Path(recipe).parts) > 1 and not Path(recipe).suffix and recipe not in bundled():
        raise UsageError(
            f"{recipe}: no such run folder (with recipe.yaml and weights): train it first{other_runs(recipe)}"
        )
    return run


def _evaluate(
    recipe: Recipe, weights: Path, scoring: Scoring, device: str, others: list[EnsembleMember]
) -> Evaluated | None:
    """Evaluate under a progress bar; None in all processes but the first."""
    from slowfast_cli.cli import show
    from slowfast_cli.engine import distributed
    from slowfast_cli.inference.network import EngineChoice
    from slowfast_cli.stages.evaluate.run import evaluate as stage

    bar: show.Bar | None = None

    def tick(done: int, total: int) -> None:
        nonlocal bar
        bar = bar or show.Bar(total, "view", "evaluate")
        bar.to(done)

    try:
        choice = EngineChoice(engine=scoring.engine)
        evaluated = stage(
            recipe, weights, split=scoring.split, device=device, tick=tick, ensemble=others, choice=choice,  # type: ignore[arg-type]
            redact=scoring.redact,
        )  # fmt: skip
    finally:
        if bar:
            bar.close()
        rank = distributed.join().rank
        distributed.leave()
    return None if rank else evaluated


def _folder(weights: Path, recipe: str) -> Path:
    """The evaluation folder beside the weights of a run; other weights get one among the runs."""
    run = weights.parent if (weights.parent / "recipe.yaml").is_file() else Path("runs") / recipe / weights.stem
    return run / "evaluation"


def _print(
    result: Evaluated, compared: Compared, title: str, min_gain: MinGain, relabeled: Relabeled | None, *, as_json: bool
) -> None:
    from slowfast_cli.cli import show, show_evaluation
    from slowfast_cli.stages.evaluate import report

    if result.scores is None:
        show.say(f"{show.coverage(result.corpus)}: no labels, so no scores")
    elif as_json:
        scores = result.scores
        plain = {
            "scores": dict(scores.values),
            "published": dict(result.published),
            "found": scores.found,
            "listed": scores.listed,
            "intervals": result.intervals,
            **({"compared": report.plain(compared)} if compared else {}),
            **({"vggsounder": relabeled.plain()} if relabeled else {}),
        }
        typer.echo(json.dumps(finite(plain), allow_nan=False))
    else:
        show.scores(result.scores, result.published, result.corpus.classes, title, result.intervals)
        show_evaluation.gains(compared, min_gain)
        if relabeled:
            show_evaluation.relabeled(relabeled)
    show_evaluation.remarks(result)
    show_evaluation.missing(result.corpus)
