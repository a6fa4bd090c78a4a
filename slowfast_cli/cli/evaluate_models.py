"""``slowfast evaluate`` of several weights: one table, with paired bootstrap intervals."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from slowfast_cli.types import UsageError, finite

if TYPE_CHECKING:
    from slowfast_cli.recipe.schema import Recipe
    from slowfast_cli.stages.evaluate.models import Model
    from slowfast_cli.stages.evaluate.run import Evaluated


def evaluate_models(
    recipe: Recipe,
    names: Sequence[str],
    evaluate: Callable[[Recipe, Path], Evaluated | None],
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

    def run(model: Model) -> Evaluated:
        show.say(f"{model.name}: {display(model.weights)}")
        if (result := evaluate(model.recipe, model.weights)) is None:
            raise UsageError("several --weights: are compared in one process: start the command without a launcher")
        return result

    comparison, results = models.compare(found, run)
    make_folder(folder)
    for number, result in enumerate(results, 1):
        show.say(f"wrote {display(predictions.save_predictions(result, folder / f'predictions-{number}.npz'))}")
    if as_json:
        typer.echo(json.dumps(finite(models.plain(comparison)), allow_nan=False))
    else:
        corpus = comparison.corpus
        show.say(f"{corpus.name} {corpus.split}: {comparison.segments:,} segments that all weights were scored on")
        for metric, by_model in comparison.scores.items():
            show.table("", *models.table(metric, by_model))
        show.out.print(models.note(comparison))
    for path in models.write(comparison, folder):
        show.say(f"wrote {display(path)}")
    show.done(folder)
