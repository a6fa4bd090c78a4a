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
ACTIONS = 100  # top pairs listed per segment
MIN_PROBABILITY = 1e-38  # avoids log(0)


def submission(
    ids: Sequence[str],
    verb_scores: np.ndarray,
    noun_scores: np.ndarray,
    expected: Sequence[str],
    supervision: Supervision | None = None,
) -> dict[str, Any]:
    """Build the challenge's JSON document, version 0.2, to be uploaded as a zipped ``test.json``.

    Verb and noun scores are log-probabilities, because the challenge applies softmax before it multiplies verbs and
    nouns. Action scores are the products of the top 100 pairs.

    Args:
        ids: Narration ids, one per row.
        verb_scores: Probabilities (N, 97).
        noun_scores: Probabilities (N, 300).
        expected: Narration ids of the test split, each of which needs a row.
        supervision: Supervision levels of the model; ASF's if None.

    Raises:
        DataError: Missing, repeated or unknown segments; wrong shapes; scores outside [0, 1].
    """
    _check_complete(ids, expected, "epic")
    for name, scores, classes in (("verb", verb_scores, VERBS), ("noun", noun_scores, NOUNS)):
        if scores.shape != (len(ids), classes):
            raise DataError(f"submission: {name} scores have shape {scores.shape}, expected {(len(ids), classes)}")
        if not ((scores >= 0) & (scores <= 1 + 1e-4)).all():
            raise DataError(f"submission: {name} scores are outside [0, 1], expected probabilities")
    level = supervision or Supervision()
    results = {}
    for id_, verb, noun in zip(ids, verb_scores, noun_scores, strict=True):
        results[id_] = {
            "verb": _log_probabilities(verb),
            "noun": _log_probabilities(noun),
            "action": _top_pairs(verb, noun),
        }
    return {
        "version": "0.2", "challenge": "action_recognition", "sls_pt": level.pt, "sls_tl": level.tl, "sls_td": level.td,
        "results": results,
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
            id_: {"interaction": {str(index): score for index, score in enumerate(row)}}
            for id_, row in zip(ids, scores.tolist(), strict=True)
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


def _log_probabilities(probabilities: np.ndarray) -> dict[str, float]:
    logs = np.log(np.maximum(probabilities.astype(np.float64), MIN_PROBABILITY)).round(6)
    return {str(index): value for index, value in enumerate(logs.tolist())}


def _top_pairs(verb: np.ndarray, noun: np.ndarray) -> dict[str, float]:
    # The verb of a top-100 pair is among the top 100 verbs, and its noun among the top 100 nouns.
    verbs = np.argsort(-verb, kind="stable")[:ACTIONS]
    nouns = np.argsort(-noun, kind="stable")[:ACTIONS]
    products = np.multiply.outer(verb[verbs].astype(np.float64), noun[nouns].astype(np.float64)).ravel()
    top = np.argsort(-products, kind="stable")[:ACTIONS]
    return {f"{verbs[i // len(nouns)]},{nouns[i % len(nouns)]}": float(f"{products[i]:.7g}") for i in top}
