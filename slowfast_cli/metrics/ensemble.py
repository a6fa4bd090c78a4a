"""Late ensembling of several models' predictions (AV Table 6)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from slowfast_cli.types import Prediction


def late_fusion(runs: Sequence[Sequence[Prediction]]) -> list[Prediction]:
    """Average the probabilities of several models per segment or box; predictions may be in any order.

    Returns:
        One prediction per segment or box that every model predicts, in the order of the first model. A label set is
        averaged over the models that predict it.
    """
    first, *others = [{(prediction.id, prediction.place): prediction for prediction in run} for run in runs]
    if not others:
        return list(first.values())
    ensemble = []
    for key, prediction in first.items():
        if not all(key in other for other in others):
            continue
        scores_by_model = [prediction.scores, *(other[key].scores for other in others)]
        names = dict.fromkeys(name for scores in scores_by_model for name in scores)
        stacked = {name: np.stack([scores[name] for scores in scores_by_model if name in scores]) for name in names}
        means = {name: scores.mean(0, dtype=np.float64).astype(np.float32) for name, scores in stacked.items()}
        ensemble.append(replace(prediction, scores=means))
    return ensemble
