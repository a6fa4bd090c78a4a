"""Submission files of the EPIC-KITCHENS-100 action recognition and the EPIC-SOUNDS recognition challenges.

Shapes: N segments, V verb classes, O noun classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from slowfast_cli.metrics.epic_challenge import (
    ACTION_RECOGNITION,
    INTERACTION_RECOGNITION,
    Supervision,
    check_complete,
    document,
)
from slowfast_cli.metrics.topk import check_finite
from slowfast_cli.types import DataError

VERBS, NOUNS = 97, 300  # EPIC-KITCHENS-100
INTERACTIONS = 44  # EPIC-SOUNDS


def submission(
    ids: Sequence[str],
    verb_scores: np.ndarray,
    noun_scores: np.ndarray,
    expected: Sequence[str],
    supervision: Supervision | None = None,
) -> dict[str, Any]:
    """Build the JSON document of the EPIC-KITCHENS-100 action recognition challenge, version 0.2.

    The server ranks an action by the sum of its verb's and its noun's score: with logits or log-probabilities, by the
    product of their probabilities.

    Args:
        ids: Narration ids, one per row.
        verb_scores: Logits or log-probabilities (N, 97).
        noun_scores: Logits or log-probabilities (N, 300).
        expected: Narration ids of the test split, each of which needs a row.
        supervision: Supervision levels of the model; ASF's if None.

    Raises:
        DataError: Missing, repeated or unknown segments; wrong shapes; scores that are not finite, or probabilities.
    """
    check_complete(ACTION_RECOGNITION, ids, expected)
    for name, scores, classes in (("verb", verb_scores, VERBS), ("noun", noun_scores, NOUNS)):
        if scores.shape != (len(ids), classes):
            raise DataError(f"submission: {name} scores have shape {scores.shape}, expected {(len(ids), classes)}")
        check_finite(scores, f"submission: {name}")
        if (scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-3):
            raise DataError(
                f"submission: {name} scores are probabilities, which the server would add up: take their logarithms"
            )
    rows = zip(ids, verb_scores.tolist(), noun_scores.tolist(), strict=True)
    results = {id_: {"verb": _by_class(verb), "noun": _by_class(noun)} for id_, verb, noun in rows}
    return document(ACTION_RECOGNITION, results, supervision)


def interaction_submission(
    ids: Sequence[str],
    scores: np.ndarray,
    expected: Sequence[str],
    supervision: Supervision | None = None,
    t_mod: int = 0,
) -> dict[str, Any]:
    """Build the JSON document of the EPIC-SOUNDS recognition challenge, version 0.1.

    Args:
        ids: Annotation ids, one per row.
        scores: Finite scores (N, 44), higher is better.
        expected: Annotation ids of the test split, each of which needs a row.
        supervision: Supervision levels of the model; the baseline's, trained on train, if None.
        t_mod: What the model reads: 0 sound, 1 frames, 2 both.

    Raises:
        DataError: Missing, repeated or unknown segments; wrong shape; scores that are not finite.
    """
    check_complete(INTERACTION_RECOGNITION, ids, expected)
    if scores.shape != (len(ids), INTERACTIONS):
        raise DataError(f"submission: scores have shape {scores.shape}, expected {(len(ids), INTERACTIONS)}")
    check_finite(scores, "submission")
    rows = zip(ids, scores.tolist(), strict=True)
    results = {id_: {"interaction": _by_class(row)} for id_, row in rows}
    return document(INTERACTION_RECOGNITION, results, supervision, t_mod)


def _by_class(scores: Sequence[float]) -> dict[str, float]:
    return {str(index): score for index, score in enumerate(scores)}
