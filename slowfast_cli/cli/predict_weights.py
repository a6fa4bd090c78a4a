"""The weights of ``slowfast predict``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slowfast_cli.types import UsageError

if TYPE_CHECKING:
    from slowfast_cli.stages.predict.predictor import Predictor


def load_predictor(
    weights: str,
    device: str,
    precision: str,
    boxes: Path | None,
    *,
    engine: str,
    sources: Sequence[str],
    offline: bool,
) -> Predictor:
    """Load the weights that a command names, or those chosen for its sources.

    Raises:
        UsageError: The precision is none, or the engine cannot be used.
        WeightsError: The weights cannot be loaded.
    """
    from slowfast_cli.cli import show
    from slowfast_cli.stages.predict.predictor import PRECISIONS, Predictor
    from slowfast_cli.weights.chosen import chosen_for
    from slowfast_cli.weights.resolve import weight_file

    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision}: expected {' or '.join(PRECISIONS)}")
    path = weight_file(weights or chosen_for(sources), offline=offline)
    show.print_remarks()
    return Predictor(path, device, precision=precision, engine=engine, boxes=boxes)
