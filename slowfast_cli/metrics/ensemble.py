"""Late fusion of several models' predictions (AV Table 6; the baselines of EPIC-KITCHENS-100)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np

from slowfast_cli.types import Prediction

Fusion: TypeAlias = Literal["probabilities", "logits"]  # of a recipe's `data.fusion`
MIN_PROBABILITY = 1e-38  # avoids log(0)


def late_fusion(runs: Sequence[Sequence[Prediction]], how: Fusion = "probabilities") -> list[Prediction]:
    """Average several models per segment or box; predictions may be in any order, their views are merged already.

    Args:
        runs: Predictions of each model.
        how: Average ``probabilities``; or ``logits``, before the softmax, for exclusive classes. Logits are logarithms
            of the merged probabilities: with one view, those of the network but for a constant, which the softmax
            ignores.

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
        means = {name: _average(scores_MC, how).astype(np.float32) for name, scores_MC in stacked.items()}
        ensemble.append(replace(prediction, scores=means))
    return ensemble


def log_probabilities(scores: np.ndarray) -> np.ndarray:
    """Logarithms of probabilities in float64; those of zero are finite."""
    logarithms: np.ndarray = np.log(np.maximum(scores.astype(np.float64), MIN_PROBABILITY))
    return logarithms


def _average(scores_MC: np.ndarray, how: Fusion) -> np.ndarray:
    """Average the probabilities (M, C) of M models to (C,) float64."""
    if how == "probabilities" or len(scores_MC) == 1:
        return np.asarray(scores_MC.mean(0, dtype=np.float64))
    logits_C = log_probabilities(scores_MC).mean(0)
    powers_C = np.exp(logits_C - logits_C.max())
    return np.asarray(powers_C / powers_C.sum())
