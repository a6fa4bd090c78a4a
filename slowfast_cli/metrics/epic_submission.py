"""Submission files of the EPIC-KITCHENS-100 action recognition and the EPIC-SOUNDS recognition challenges.

Shapes: N segments, V verb classes, O noun classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from slowfast_cli.metrics.epic import Supervision
from slowfast_cli.metrics.topk import check_finite
from slowfast_cli.types import DataError

VERBS, NOUNS = 97, 300  # EPIC-KITCHENS-100
INTERACTIONS = 44  # EPIC-SOUNDS
AUDIO = 0  # modality of the model: 1 is video, 2 both


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
    _check_complete(ids, expected, "epic")
    for name, scores, classes in (("verb", verb_scores, VERBS), ("noun", noun_scores, NOUNS)):
        if scores.shape != (len(ids), classes):
            raise DataError(f"submission: {name} scores have shape {scores.shape}, expected {(len(ids), classes)}")
        check_finite(scores, f"submission: {name}")
        if (scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-3):
            raise DataError(
                f"submission: {name} scores are probabilities, which the server would add up: take their logarithms"
            )
    level = supervision or Supervision()
    rows = zip(ids, verb_scores.tolist(), noun_scores.tolist(), strict=True)
    return {
        "version": "0.2", "challenge": "action_recognition", "sls_pt": level.pt, "sls_tl": level.tl, "sls_td": level.td,
        "results": {id_: {"verb": _by_class(verb), "noun": _by_class(noun)} for id_, verb, noun in rows},
    }  # fmt: skip


def interaction_submission(
    ids: Sequence[str], scores: np.ndarray, expected: Sequence[str], supervision: Supervision | None = None
) -> dict[str, Any]:
    """Build the JSON document of the EPIC-SOUNDS challenge for a model of audio, version 0.1.

    Args:
        ids: Annotation ids, one per row.
        scores: Finite scores (N, 44), higher is better.
        expected: Annotation ids of the test split, each of which needs a row.
        supervision: Supervision levels of the model; the baseline's, trained on train, if None.

    Raises:
        DataError: Missing, repeated or unknown segments; wrong shape; scores that are not finite.
    """
    _check_complete(ids, expected, "epic-sounds")
    if scores.shape != (len(ids), INTERACTIONS):
        raise DataError(f"submission: scores have shape {scores.shape}, expected {(len(ids), INTERACTIONS)}")
    check_finite(scores, "submission")
    level = supervision or Supervision()
    return {
        "version": "0.1", "challenge": "audio_based_interaction_recognition", "sls_pt": level.pt, "sls_tl": level.tl,
        "sls_td": level.td, "t_mod": AUDIO,
        "results": {
            id_: {"interaction": _by_class(row)} for id_, row in zip(ids, scores.tolist(), strict=True)
        },
    }  # fmt: skip


def _check_complete(ids: Sequence[str], expected: Sequence[str], dataset: str) -> None:
    missing = sorted(set(expected) - set(ids))
    if missing:
        raise DataError(
            f"submission: {len(missing)} of {len(set(expected))} segments have no prediction, such as {missing[0]!r}; "
            f"the challenge accepts complete files only: `slowfast data check {dataset}` names the missing videos"
        )
    unknown = sorted(set(ids) - set(expected))
    if unknown or len(set(ids)) < len(ids):
        raise DataError(
            f"submission: {len(ids)} rows for {len(set(expected))} segments, expected one each: "
            + (f"{unknown[0]!r} is not in the test split" if unknown else "some segments have several")
        )


def _by_class(scores: Sequence[float]) -> dict[str, float]:
    return {str(index): score for index, score in enumerate(scores)}
