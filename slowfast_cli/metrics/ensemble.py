"""Several models' predictions as one: late ensembling (AV Table 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from slowfast_cli.types import Prediction


def late_fusion(runs: Sequence[Sequence[Prediction]]) -> list[Prediction]:
    """Average the probabilities of the same segments and boxes.

    Args:
        runs: Of each model, one prediction a segment or box, in any order.

    Returns:
        Those that every model has, in the order of the first. A label set that one model alone predicts is kept as it
        is.
    """
    first, *others = [{(each.id, each.place): each for each in run} for run in runs]
    if not others:
        return list(first.values())
    joined = []
    for asked, each in first.items():
        if not all(asked in other for other in others):
            continue
        every = [each.scores, *(other[asked].scores for other in others)]
        names = dict.fromkeys(name for scores in every for name in scores)
        together = {name: np.stack([scores[name] for scores in every if name in scores]) for name in names}
        means = {name: rows.mean(0, dtype=np.float64).astype(np.float32) for name, rows in together.items()}
        joined.append(replace(each, scores=means))
    return joined
