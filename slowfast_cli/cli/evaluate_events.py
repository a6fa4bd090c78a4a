"""``slowfast evaluate --events``: scores of sound event detection."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from slowfast_cli.types import Recording, finite

if TYPE_CHECKING:
    from slowfast_cli.cli.predict_events import MergeOptions
    from slowfast_cli.events.merge import Merging
    from slowfast_cli.recipe.schema import Recipe
    from slowfast_cli.stages.evaluate.events import EventScores, Windows
    from slowfast_cli.stages.predict.predictor import Predictor
    from slowfast_cli.stages.predict.results import Timeline

TITLES = {
    "event_f1": "Event F1, all events", "macro_event_f1": "Event F1, mean of classes", "segment_f1": "Segment F1 (1 s)",
    "psds1": "PSDS 1 (localize)", "psds1_macro": "PSDS 1, mean of classes", "psds2": "PSDS 2 (recognize)",
}  # fmt: skip
COLUMNS = ("name", "events", "detected", "f1", "precision", "recall", "best_f1", "best_threshold")


def evaluate_events(
    recipe: Recipe,
    predictor: Predictor,
    split: str,
    rules: MergeOptions,
    timeline: str | None,
    folder: Path,
    *,
    as_json: bool,
) -> None:
    """Find and score the events of a split; write them, and a table of the classes."""
    from slowfast_cli.cli import show
    from slowfast_cli.events.formats import FORMATS
    from slowfast_cli.stages.evaluate import events as stage
    from slowfast_cli.storage.atomic import make_folder, write_text
    from slowfast_cli.storage.remote import display

    merging = rules.merging(predictor.card, recipe.events)
    windows_of, windows = event_windows(predictor, recipe, timeline)
    say_rules(windows, merging)
    with progress() as tick:
        result = stage.evaluate_events(
            recipe, split, predictor.card.classes, windows_of, windows.hop, merging, tick  # type: ignore[arg-type]
        )  # fmt: skip
    plain = {
        "scores": {labels: scores.values for labels, scores in result.scores.items()},
        "classes": {
            labels: [{column: getattr(row, column) for column in COLUMNS} for row in scores.classes]
            for labels, scores in result.scores.items()
        },
        "recordings": result.recordings,
        "scored": len(result.detected),
        "settings": {"windows": f"{windows.window:g}/{windows.hop:g}", "merging": str(merging)},
    }
    make_folder(folder)
    written = {"events.csv": FORMATS["csv"].encode(result.detected, {}).decode("utf-8", "replace")}
    written["scores.json"] = json.dumps(finite(plain), indent=1)
    for name, text in written.items():
        write_text(folder / name, text)
    if as_json:
        typer.echo(json.dumps(finite(plain), allow_nan=False))
    else:
        for labels, scores in result.scores.items():
            _print(labels, scores)
    show.say(f"scored {len(result.detected):,} of {result.recordings:,} recordings")
    for reason in result.missing[:3]:
        show.say(f"not scored: {reason}")
    for name in written:
        show.say(f"wrote {display(folder / name)}")


@contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """A progress bar over recordings, which appears with the first one."""
    from slowfast_cli.cli import show

    bar: show.Bar | None = None

    def tick(done: int, total: int) -> None:
        nonlocal bar
        bar = bar or show.Bar(total, "rec", "evaluate")
        bar.to(done)

    try:
        yield tick
    finally:
        if bar:
            bar.close()


def say_rules(windows: Timeline, merging: Merging) -> None:
    """Say how windows become events."""
    from slowfast_cli.cli import show

    show.say(
        f"events: windows of {windows.window:g} s, {windows.hop:g} s apart; threshold {merging.threshold:g}"
        + (f", others for {len(merging.thresholds)} classes" if merging.thresholds else "")
        + f", low {merging.low:g}, smooth {merging.smooth:g} s, max gap {merging.max_gap:g} s, min length "
        f"{merging.min_length:g} s, score: {merging.score}"
    )


def event_windows(
    predictor: Predictor, recipe: Recipe, timeline: str | None
) -> tuple[Callable[[Recording], Windows], Timeline]:
    """Function that scores the windows of a recording, and the windows: ``--timeline``, the recipe's or the default."""
    import numpy as np

    from slowfast_cli.stages.predict.events import default_timeline
    from slowfast_cli.stages.predict.results import Timeline, read_timeline

    own = recipe.events
    stated = Timeline(window=own.window, hop=own.hop) if own.window and own.hop else None
    windows = read_timeline(timeline) or stated or default_timeline(predictor.card)

    def windows_of(recording: Recording) -> Windows:
        results = predictor.windows(recording, windows)
        starts, ends = (np.array([getattr(result, side) for result in results]) for side in ("start", "end"))
        return starts, ends, {name: np.stack([r.scores[name] for r in results]) for name in results[0].scores}

    return windows_of, windows


def _print(labels: str, scores: EventScores) -> None:
    from slowfast_cli.cli import show

    show.table(labels, ["", "score"], [[TITLES[name], f"{value:.3f}"] for name, value in scores.values.items()])
    rows = [
        [row.name, str(row.events), str(row.detected), f"{row.f1:.3f}", f"{row.precision:.3f}", f"{row.recall:.3f}",
         f"{row.best_f1:.3f}", f"{row.best_threshold:.3f}"]
        for row in scores.classes
    ]  # fmt: skip
    columns = ["class", "events", "detected", "F1", "precision", "recall", "best F1", "at"]
    show.table(f"{labels}: event-based, collar 0.2 s or 20 % of the length", columns, rows)
