"""A converted network: named arrays in, named arrays out, and the metadata that its file carries. Without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from slowfast_cli.types import WeightsError

if TYPE_CHECKING:
    import numpy as np

FORMAT = 1
KEY = "slowfast"  # of the metadata in a file


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What a program computes, and from which weights."""

    weights: str
    """SHA-256 of the weight file."""
    inputs: Mapping[str, Sequence[int]]
    """Shapes of the inputs without the batch, which is free."""
    outputs: Sequence[str]
    gives: str
    """``logits``, ``probabilities`` or ``features``."""
    precision: str = "fp32"
    """``fp32``, ``fp16`` or ``int8``."""
    front_end: bool = False
    """Whether the program reads samples and computes their log-mel itself."""
    card: Mapping[str, Any] = field(default_factory=dict)
    """The card of the weights, see `slowfast_cli.weights.file.Card`."""
    written_by: str = ""
    """Versions of slowfast, torch and the engine."""

    def text(self) -> str:
        """As JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False)


def parse_metadata(path: Path, text: str | None) -> Metadata:
    """Read the metadata of a file; raise `WeightsError` if it has none, or of a newer version."""
    try:
        plain = json.loads(text or "")
        if (version := plain.pop("format")) != FORMAT:
            raise WeightsError(f"{path}: format {version}, expected {FORMAT}: written by a newer slowfast; upgrade it")
        return Metadata(**plain)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"{path}: not written by `slowfast export`, whose metadata it lacks ({error!r})") from error


def require_signature(
    path: Path, metadata: Metadata, inputs: Mapping[str, Sequence[int]], outputs: Sequence[object]
) -> None:
    """Raise `WeightsError` if a program has other inputs or outputs than its metadata say.

    Args:
        path: The file.
        metadata: Of the file.
        inputs: Shapes of the program's inputs without the batch, in order.
        outputs: The program's outputs.
    """
    stated = {name: tuple(shape) for name, shape in metadata.inputs.items()}
    found = {name: tuple(shape) for name, shape in inputs.items()}
    if list(stated.items()) != list(found.items()) or len(outputs) != len(metadata.outputs):
        raise WeightsError(
            f"{path}: its metadata state the inputs {stated} and {len(metadata.outputs)} outputs, the program has "
            f"{found} and {len(outputs)}: export it again"
        )


class Program(Protocol):
    """A network that an engine has loaded; several threads may run it at a time."""

    metadata: Metadata

    def run(self, inputs: Mapping[str, np.ndarray], threads: int = 1) -> dict[str, np.ndarray]:
        """Compute the outputs, float32, of a batch.

        Args:
            inputs: Float32 arrays, or int64 of counts, with the batch first.
            threads: Cores that this call uses.
        """
