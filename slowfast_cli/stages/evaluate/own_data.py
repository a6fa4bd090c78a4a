"""Score a run on the test files of own data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slowfast_cli.build.corpus import dataset_entry
from slowfast_cli.build.task import task_spec
from slowfast_cli.metrics.interval import Confusion, confusions, wilson
from slowfast_cli.metrics.per_class import confusion_matrix
from slowfast_cli.recipe.load import check, read_stored
from slowfast_cli.stages.evaluate.run import evaluate
from slowfast_cli.weights.file import run_weights


@dataclass(frozen=True, kw_only=True)
class Tested:
    """Test answers of a run, in its first label set."""

    scores: np.ndarray  # (N, C)
    targets: np.ndarray  # class indices, (N,)
    names: Sequence[str]  # of the C classes

    @property
    def count(self) -> int:
        """Number of segments."""
        return len(self.targets)

    @property
    def right(self) -> int:
        """Number of right answers."""
        return int((self.scores.argmax(axis=1) == self.targets).sum())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share of right answers, from 0 to 1."""
        return wilson(self.right, self.count)

    @property
    def confusions(self) -> list[Confusion]:
        """Confused pairs, the most frequent first."""
        return confusions(confusion_matrix(self.scores, self.targets), self.names)


def test_run(run: Path, device: str) -> Tested | None:
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
        scores=result.rows.scores[labels],
        targets=result.rows.targets[labels],
        names=result.corpus.classes[labels],
    )


def join(tested: Sequence[Tested]) -> Tested:
    """The answers of several runs with the same classes as one."""
    scores, targets = (np.concatenate([getattr(part, name) for part in tested]) for name in ("scores", "targets"))
    return Tested(scores=scores, targets=targets, names=tested[0].names)
