"""What a training on own data ends with: the test score with its interval, confusions, and the next commands."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slowfast_cli.build.corpus import dataset_entry, read_corpus, segments_hash
from slowfast_cli.build.task import task_spec
from slowfast_cli.cli import show
from slowfast_cli.metrics.interval import confusions, wilson
from slowfast_cli.recipe.load import check, read_stored
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages.evaluate.run import evaluate
from slowfast_cli.storage.remote import display
from slowfast_cli.weights.file import run_weights

PAIRS = 3  # confused pairs that are printed
FOLDS = 5  # proposed


@dataclass(frozen=True, kw_only=True)
class Tested:
    """Test answers of a run, in its first label set."""

    labels: str
    scores: np.ndarray  # (N, C)
    targets: np.ndarray  # (N,)
    names: Sequence[str]

    @property
    def right(self) -> int:
        """Number of right answers."""
        return int((self.scores.argmax(axis=1) == self.targets).sum())


def test(run: Path, device: str) -> Tested | None:
    """Score a run on the test split of own data; None for official data sets and for tasks without one class each."""
    recipe = check(read_stored(run / "recipe.yaml"))
    spec = task_spec(recipe)
    if dataset_entry(recipe.data.corpus).info.heads or spec.has_objective or spec.multi_label or spec.boxes:
        return None
    result = evaluate(recipe, run_weights(run), device=device)
    labels = next(iter(result.rows.targets), None)
    if labels is None:
        return None
    return Tested(
        labels=labels,
        scores=result.rows.scores[labels],
        targets=result.rows.targets[labels],
        names=result.corpus.classes[labels],
    )


def report(run: Path, tested: Tested, recipe: Recipe, command: Sequence[str]) -> None:
    """Print the end of a training.

    Args:
        run: The run folder.
        tested: Its test answers.
        recipe: Its recipe.
        command: The words of the training, for the command that is proposed.
    """
    same = not recipe.data.folds and segments_hash(read_corpus(recipe, "val")) == segments_hash(
        read_corpus(recipe, "test")
    )
    _print_score("validation" if same else "test", [tested])
    show.say(f"weights, curves and log: {display(run)}")
    if same:
        folds = shlex.join(["slowfast", *command, "--folds", str(FOLDS)])
        show.say(f"too few files for a test of its own: score each file once by cross-validation: {folds}")
    show.say(f"next: slowfast predict FILE --weights {shlex.quote(display(run))}")


def report_folds(tested: Sequence[Tested]) -> None:
    """Print the scores of a cross-validation: each fold, their mean and standard deviation, and all files together."""
    shares = [100 * fold.right / len(fold.targets) for fold in tested]
    rows = [
        [str(number), f"{share:.2f}", str(len(fold.targets))]
        for number, (share, fold) in enumerate(zip(shares, tested, strict=True), 1)
    ]
    spread = f"{statistics.mean(shares):.2f} ({statistics.stdev(shares):.2f})"
    total = str(sum(len(fold.targets) for fold in tested))
    show.table("cross-validation", ["fold", "Top-1", "segments"], [*rows, ["mean (standard deviation)", spread, total]])
    _print_score("all folds", tested)


def _print_score(title: str, tested: Sequence[Tested]) -> None:
    right, count = sum(part.right for part in tested), sum(len(part.targets) for part in tested)
    low, high = wilson(right, count)
    show.say(
        f"{title}: {right} of {count} right, Top-1 {100 * right / count:.1f} % (95 % interval {100 * low:.0f} to "
        f"{100 * high:.0f}; chance {100 / len(tested[0].names):.0f})"
    )
    scores, targets = (np.concatenate([getattr(part, name) for part in tested]) for name in ("scores", "targets"))
    if wrong := confusions(scores, targets, tested[0].names)[:PAIRS]:
        show.say("confused most: " + ", ".join(f"{true} as {answer} ({n})" for true, answer, n in wrong))
