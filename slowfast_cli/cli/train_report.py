"""What a training on own data ends with: the test score with its interval, confusions, and the next commands."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Sequence
from pathlib import Path

from slowfast_cli.build.corpus import validates_on_test
from slowfast_cli.cli import show
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages.evaluate.own_data import Tested, join
from slowfast_cli.stages.train.html import write_report
from slowfast_cli.storage.remote import display

PAIRS = 3  # confused pairs that are printed
FOLDS = 5  # proposed


def report(run: Path, tested: Tested, recipe: Recipe, command: Sequence[str]) -> None:
    """Print the end of a training.

    Args:
        run: The run folder.
        tested: Its test answers.
        recipe: Its recipe.
        command: The words of the training, for the command that is proposed.
    """
    same = not recipe.data.folds and validates_on_test(recipe)
    lines = _score_lines("validation" if same else "test", tested)
    write_report(run, lines)
    for line in lines:
        show.say(line)
    show.say(f"weights, curves, log and report.html: {display(run)}")
    if same:
        folds = shlex.join(["slowfast", *command, "--folds", str(FOLDS)])
        show.say(f"too few files for a test of its own: score each file once by cross-validation: {folds}")
    show.say(f"next: slowfast predict FILE --weights {shlex.quote(display(run))}")


def report_folds(tested: Sequence[Tested]) -> None:
    """Print the scores of a cross-validation: each fold, their mean and standard deviation, and all files together."""
    shares = [100 * fold.right / fold.count for fold in tested]
    rows = [
        [str(number), f"{share:.2f}", str(fold.count)]
        for number, (share, fold) in enumerate(zip(shares, tested, strict=True), 1)
    ]
    spread, whole = f"{statistics.mean(shares):.2f} ({statistics.stdev(shares):.2f})", join(tested)
    rows.append(["mean (standard deviation)", spread, str(whole.count)])
    show.table("cross-validation", ["fold", "Top-1", "segments"], rows)
    for line in _score_lines("all folds", whole):
        show.say(line)


def _score_lines(title: str, tested: Tested) -> list[str]:
    low, high = tested.interval
    share, chance = tested.right / tested.count, 1 / len(tested.names)
    lines = [
        f"{title}: {tested.right} of {tested.count} right, Top-1 {100 * share:.1f} % (95 % interval {100 * low:.0f} to "
        f"{100 * high:.0f}; chance {100 * chance:.0f})"
    ]
    if wrong := tested.confusions[:PAIRS]:
        lines.append("confused most: " + ", ".join(f"{pair.true} as {pair.answer} ({pair.count})" for pair in wrong))
    return lines
