"""Write a run's weights for publication."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from slowfast_cli.storage.atomic import make_folder, require_new, write_atomic
from slowfast_cli.weights.file import Card, read, save


def export(
    source: Path,
    out: Path,
    *,
    half: bool = False,
    licence: str = "",
    notes: Sequence[str] = (),
    scores: Mapping[str, float] | None = None,
) -> Card:
    """Copy a weight file, optionally in half precision, with license, notes and scores in its card.

    Args:
        source: A weight file.
        out: Output file; must not exist.
        half: Store float16, half the size; it is loaded as float32.
        licence: License of the weights; empty keeps the one in the card.
        notes: Remarks for users, appended to those in the card.
        scores: Scores by metric; None keeps those in the card.

    Returns:
        The card of the new file.

    Raises:
        UsageError: ``out`` exists.
        WeightsError: ``source`` is not a weight file.
    """
    require_new(out)
    card, state = read(source)
    scores = card.scores if scores is None else scores
    card = replace(card, licence=licence or card.licence, notes=(*card.notes, *notes), scores=scores)
    make_folder(out.parent)
    write_atomic(out, lambda part: save(part, state, card, dtype=torch.float16 if half else torch.float32))
    return card
