"""Write a run's weights for publication."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from slowfast_cli.storage.atomic import file_hash, make_folder, require_new, write_atomic, write_text
from slowfast_cli.types import UsageError
from slowfast_cli.weights.file import Card, read, save
from slowfast_cli.weights.foreign.export_names import to_pyslowfast, to_pytorchvideo
from slowfast_cli.weights.model_card import model_card

FOREIGN = {"pyslowfast": to_pyslowfast, "pytorchvideo": to_pytorchvideo}
HASH_DIGITS = 8  # in the name of a published file, as torch.hub has it


def publish(source: Path, out: Path, **changes: Any) -> tuple[Path, Path]:
    """Write a copy with the start of its SHA-256 in its name, and a model card beside it.

    Args:
        source: A weight file.
        out: Name of the file, to which ``-<hash>`` is added.
        changes: See `export`.

    Returns:
        The weight file and the card, ``NAME-<hash>.safetensors`` and ``NAME-<hash>.md``.

    Raises:
        UsageError: The file exists, or has another suffix.
        WeightsError: ``source`` is not a weight file.
    """
    if out.suffix not in ("", ".safetensors"):
        raise UsageError(f"{out}: name a file that ends in .safetensors")
    make_folder(out.parent)
    with TemporaryDirectory(dir=out.parent) as folder:
        card = export(source, Path(folder) / out.name, **changes)
        digest = file_hash(Path(folder) / out.name)[:HASH_DIGITS]
        path = out.with_name(f"{out.stem}-{digest}{out.suffix or '.safetensors'}")
        require_new(path)
        (Path(folder) / out.name).replace(path)
    write_text(path.with_suffix(".md"), model_card(card, path.name))
    return path, path.with_suffix(".md")


def export_foreign(source: Path, out: Path, kind: str) -> int:
    """Write the tensors with the names of another program, as ``{"model_state": ...}`` of `torch.save`.

    Args:
        source: A weight file.
        out: The ``.pyth`` file; must not exist.
        kind: ``pyslowfast`` (also Auditory SlowFast and AVSlowFast) or ``pytorchvideo``.

    Returns:
        Number of tensors.

    Raises:
        UsageError: ``out`` exists.
        WeightsError: The other program has no such network, or ``source`` is not a weight file.
    """
    require_new(out)
    card, state = read(source)
    renamed = FOREIGN[kind](card.net, state)
    make_folder(out.parent)
    write_atomic(out, lambda part: torch.save({"model_state": renamed}, part))
    return len(renamed)


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
