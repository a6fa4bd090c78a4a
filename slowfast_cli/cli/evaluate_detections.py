"""``slowfast evaluate --events`` with ``--submission`` or ``--detections``: the EPIC-SOUNDS detection challenge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from slowfast_cli.types import finite

if TYPE_CHECKING:
    from slowfast_cli.cli.predict_events import MergeOptions
    from slowfast_cli.recipe.schema import Recipe
    from slowfast_cli.stages.evaluate.detection import DetectionEvaluation
    from slowfast_cli.stages.predict.predictor import Predictor

NAMED = 3  # videos named in a message


def write_detections(
    recipe: Recipe,
    predictor: Predictor,
    split: str,
    rules: MergeOptions,
    timeline: str | None,
    folder: Path,
    submission: Path,
    *,
    as_json: bool,
) -> None:
    """Find the events of every video of a split, write the challenge's file, and score it if the split has labels."""
    from slowfast_cli.cli import show
    from slowfast_cli.cli.evaluate_events import event_windows, progress, say_rules
    from slowfast_cli.events.formats import FORMATS
    from slowfast_cli.stages.evaluate import detection as stage
    from slowfast_cli.stages.evaluate.ensemble import EnsembleMember
    from slowfast_cli.stages.evaluate.events import common_label_sets, find_events
    from slowfast_cli.stages.evaluate.predictions import write_document
    from slowfast_cli.stages.evaluate.supervision import of_cards
    from slowfast_cli.storage.atomic import make_folder, require_output, write_text
    from slowfast_cli.storage.remote import display

    require_output(submission, "--submission", starts="PK" if submission.suffix == ".zip" else stage.STARTS)
    truth = stage.read_truth(recipe, split, "--events --submission")  # type: ignore[arg-type]
    corpus = stage.read_complete(recipe, split, truth)  # type: ignore[arg-type]
    label_sets = common_label_sets(corpus, predictor.card.classes)
    merging = rules.merging(predictor.card, recipe.events)
    windows_of, windows = event_windows(predictor, recipe, timeline)
    say_rules(windows, merging)
    with progress() as tick:
        split_events = find_events(corpus, label_sets, windows_of, windows.hop, merging, tick)
    path = make_folder(folder) / "events.csv"
    write_text(path, FORMATS["csv"].encode(split_events.files, {}).decode("utf-8", "replace"))
    show.say(f"wrote {display(path)}")
    for reason in split_events.missing[:NAMED]:
        show.say(f"not in the submission: {reason}")
    made_by = of_cards([(EnsembleMember(recipe=recipe, weights=predictor.weights), predictor.card)])
    text = stage.submission(split_events.files, truth, made_by)
    write_document(text, submission)
    result = stage.score_results(json.loads(text), truth, str(submission))
    settings = {"windows": f"{windows.window:g}/{windows.hop:g}", "merging": str(merging)}
    write_text(folder / "scores.json", json.dumps(finite({**result.plain(), "settings": settings}), indent=1))
    show.say(f"wrote {display(folder / 'scores.json')}")
    _print(result, as_json=as_json)
    show.say(f"submission: {submission.absolute()}")


def score_detections(recipe: Recipe, split: str, path: Path, out: Path | None, *, as_json: bool) -> None:
    """Check a result file, and score it if the split has labels."""
    from slowfast_cli.cli import show
    from slowfast_cli.stages.evaluate import detection as stage
    from slowfast_cli.storage.atomic import make_folder, write_text
    from slowfast_cli.storage.remote import display

    truth = stage.read_truth(recipe, split, "--detections")  # type: ignore[arg-type]
    result = stage.score_results(stage.read_results(path), truth, str(path))
    _print(result, as_json=as_json)
    if out:
        write_text(make_folder(out) / "scores.json", json.dumps(finite(result.plain()), indent=1))
        show.say(f"wrote {display(out / 'scores.json')}")


def _print(result: DetectionEvaluation, *, as_json: bool) -> None:
    from slowfast_cli.cli import show

    plain = result.plain()
    if as_json:
        typer.echo(json.dumps(finite(plain), allow_nan=False))
    elif result.scores:
        rows = [[name, f"{value:.2f}"] for name, value in plain["scores"].items()]
        show.table("mAP (%); at_01 is tIoU 0.1", ["", "score"], rows)
        columns = ["class", "events", "detected", *(f"AP@{tiou:g}" for tiou in result.scores.tious)]
        classes = [
            [row.name, str(row.events), str(row.detected), *(f"{100 * ap:.2f}" for ap in row.ap)]
            for row in result.classes
        ]
        show.table("average precision of each class (%)", columns, classes)
    answered = result.videos - len(result.without_result)
    show.say(f"{result.split}: {result.detections:,} detections, results for {answered:,} of {result.videos:,} videos")
    if not result.detections:
        show.say("warning: 0 detections: a lower --threshold, or events.threshold of the recipe, finds more")
    if result.without_length:
        show.say(f"no length, so that they count as wrong: {result.without_length:,} detections with start >= end")
    if result.ignored:
        show.say(f"not counted: {result.ignored:,} detections of classes without events, background among them")
    for videos, meaning in (
        (result.without_result, "no result, so that their events count as missed"),
        (result.not_in_split, "not in the split, so that their detections count as wrong"),
    ):
        if videos:
            show.say(f"{meaning}: {len(videos):,} videos, such as {', '.join(videos[:NAMED])}")
    if result.unusable:
        show.say(f"not scored: {result.unusable:,} listed events that stop before they start")
    if result.scores is None:
        show.say("no labels, so no scores")
