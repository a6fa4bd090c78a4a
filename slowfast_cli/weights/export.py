"""A run's weights as a file to give away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from slowfast_cli.storage.atomic import make_folder, write_atomic
from slowfast_cli.types import UsageError
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
    """Copy a weight file, smaller and with what its receiver should know.

    Args:
        source: A weight file.
        out: The file to write; one that is there is not overwritten.
        half: Store float16: half the size; loaded as float32.
        licence: Of the weights.
        notes: What a user should know.
        scores: What they score; by default what the run scored last.

    Returns:
        The new file's card.

    Raises:
        UsageError: ``out`` is there already.
        WeightsError: ``source`` is not a weight file.
    """
    if out.exists():
        raise UsageError(f"{out}: is there already; choose another name or remove it first")
    card, state = read(source)
    card = replace(
        card,
        licence=licence or card.licence,
        notes=(*card.notes, *notes),
        scores=card.scores if scores is None else scores,
    )
    make_folder(out.parent)
    write_atomic(out, lambda part: save(part, state, card, dtype=torch.float16 if half else torch.float32))
    return card
