"""What a submission says of the networks that made it: supervision levels and modality."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from slowfast_cli.metrics.epic_challenge import Supervision, highest, modality
from slowfast_cli.recipe.load import check, read_stored
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages.evaluate.ensemble import EnsembleMember
from slowfast_cli.weights.file import Card, read_card

TRAIN, TRAIN_AND_VALIDATION = 3, 4
LEVELS = {"trainval": TRAIN_AND_VALIDATION}
"""Level of training data by split, of those that are not train."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a result file says of the networks."""

    supervision: Supervision
    t_mod: int
    """What they read: 0 sound, 1 frames, 2 both."""


def provenance(models: Sequence[EnsembleMember]) -> Provenance:
    """The highest levels of the models of an ensemble, and what they read together."""
    return of_cards([(model, read_card(model.weights)) for model in models])


def of_cards(models: Sequence[tuple[EnsembleMember, Card]]) -> Provenance:
    """As `provenance`, of weights whose cards are known: exported files have them elsewhere."""
    return Provenance(
        supervision=highest([supervision(model.recipe, card, model.weights) for model, card in models]),
        t_mod=modality({signal for _, card in models for signal in card.net.signals}),
    )


def supervision(recipe: Recipe, card: Card, weights: Path) -> Supervision:
    """The levels of a model: those of the recipe, and by default the split that the weights were trained on.

    Args:
        recipe: States the levels.
        card: Of the weights; says the split.
        weights: The file; if it does not say the split, the recipe in its folder does.
    """
    stated = recipe.challenge
    data = LEVELS.get(_train_split(card, weights), TRAIN) if stated.data is None else stated.data
    return Supervision(pt=stated.pretraining, tl=stated.labels, td=data)


def _train_split(card: Card, weights: Path) -> str:
    """The split that weights were trained on; empty if neither they nor a run folder say."""
    stored = weights.parent / "recipe.yaml"
    if card.train_split or not stored.is_file():
        return card.train_split
    return check(read_stored(stored)).split("train")
