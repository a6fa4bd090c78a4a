"""``slowfast evaluate`` of several weights: one table, with intervals and paired tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from slowfast_cli.types import UsageError, finite

if TYPE_CHECKING:
    from slowfast_cli.build.corpus import SplitRole
    from slowfast_cli.recipe.schema import Recipe
    from slowfast_cli.stages.evaluate.ensemble import NamedRecipe
    from slowfast_cli.stages.evaluate.models import Comparison, Model
    from slowfast_cli.stages.evaluate.run import Evaluated


def evaluate_models(
    recipe: NamedRecipe,
    names: Sequence[str],
    evaluate: Callable[[Recipe, Path], Evaluated | None],
    split: SplitRole,
    folder: Path,
    *,
    offline: bool,
    as_json: bool,
) -> None:
    """Score weights on the recipe's corpus and print what each differs from the first.

    Args:
        recipe: Of the corpus.
        names: What `--weights` was given.
        evaluate: Scores weights by a recipe; None in all processes but the first.
        split: Role of the split.
        folder: Of the results.
        offline: Do not use the network.
        as_json: Print JSON.

    Raises:
        UsageError: There are several processes.
    """
    from slowfast_cli.cli import show
    from slowfast_cli.stages.evaluate import models, predictions
    from slowfast_cli.storage.atomic import make_folder
    from slowfast_cli.storage.remote import display

    found = models.find_models(names, recipe, offline=offline)
    models.check_models(found, split)

    def run(model: Model) -> Evaluated:
        show.say(f"{model.name}: {display(model.weights)}")
        if (result := evaluate(model.recipe, model.weights)) is None:
            raise UsageError("several --weights: are compared in one process: start the command without a launcher")
        return result

    comparison = models.compare(found, run)
    make_folder(folder)
    for number, result in enumerate(comparison.models.values(), 1):
        show.say(f"wrote {display(predictions.save_predictions(result, folder / f'predictions-{number}.npz'))}")
    if as_json:
        typer.echo(json.dumps(finite(models.plain(comparison)), allow_nan=False))
    else:
        _print(comparison, [model.weights for model in found])
    _print_remarks(comparison)
    for path in models.write(comparison, folder):
        show.say(f"wrote {display(path)}")
    show.done(folder)


def _print(comparison: Comparison, weights: Sequence[Path]) -> None:
    from slowfast_cli.cli import show
    from slowfast_cli.stages.evaluate import models, report

    corpus = comparison.corpus
    names = report.short_names(weights) or list(comparison.models)
    show.table(f"{corpus.name} {corpus.split}", *models.table(comparison, names))
    show.scored(comparison.segments, corpus.listed)
    show.out.print(models.note(comparison))


def _print_remarks(comparison: Comparison) -> None:
    from slowfast_cli.cli import show, show_evaluation

    for name, result in comparison.models.items():
        if len(result.corpus.missing) < len(comparison.corpus.missing):
            show.say(f"{name}: can score {len(result.corpus.segments):,} of {result.corpus.listed:,} listed segments")
        show_evaluation.remarks(result, f"{name}: ")
    show_evaluation.missing(comparison.corpus)
