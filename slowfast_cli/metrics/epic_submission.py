"""The file that the EPIC-KITCHENS-100 action recognition challenge takes.

Shapes: N segments, V verb classes, O noun classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from slowfast_cli.metrics.epic import Supervision
from slowfast_cli.types import DataError

VERBS, NOUNS = 97, 300  # EPIC-KITCHENS-100
ACTIONS = 100  # best pairs listed per segment
LEAST = 1e-38  # a probability of 0 in float32 has no logarithm


def submission(
    ids: Sequence[str],
    verb_scores: np.ndarray,
    noun_scores: np.ndarray,
    expected: Sequence[str],
    supervision: Supervision | None = None,
) -> dict[str, Any]:
    """The challenge's JSON document, version 0.2; zipped as ``test.json`` it can be uploaded.

    Verb and noun scores are natural logarithms of the probabilities: the challenge takes the softmax of what it gets
    before it multiplies verbs with nouns, which makes probabilities of them again. Action scores are the products of
    the 100 best pairs.

    Args:
        ids: Narration ids, one a row.
        verb_scores: Probabilities (N, 97).
        noun_scores: Probabilities (N, 300).
        expected: The narration ids of the test split, all of which have to be there.
        supervision: What the model was trained with; ASF's if None.

    Raises:
        DataError: Segments missing, repeated or unknown; wrong shapes; scores that are no probabilities.
    """
    _check_complete(ids, expected)
    for what, scores, classes in (("verb", verb_scores, VERBS), ("noun", noun_scores, NOUNS)):
        if scores.shape != (len(ids), classes):
            raise DataError(f"submission: {what} scores have shape {scores.shape}; right is {(len(ids), classes)}")
        if not ((scores >= 0) & (scores <= 1 + 1e-4)).all():
            raise DataError(f"submission: {what} scores are not all from 0 to 1; right are probabilities")
    level = supervision or Supervision()
    results = {}
    for id_, verb, noun in zip(ids, verb_scores, noun_scores, strict=True):
        results[id_] = {"verb": _by_class(verb), "noun": _by_class(noun), "action": _best_pairs(verb, noun)}
    return {
        "version": "0.2",
        "challenge": "action_recognition",
        "sls_pt": level.pt,
        "sls_tl": level.tl,
        "sls_td": level.td,
        "results": results,
    }


def _check_complete(ids: Sequence[str], expected: Sequence[str]) -> None:
    missing = sorted(set(expected) - set(ids))
    if missing:
        raise DataError(
            f"submission: {len(missing)} of {len(set(expected))} segments have no prediction, as {missing[0]!r}; the "
            "challenge takes complete files only: `slowfast data check epic` names the missing videos"
        )
    unknown = sorted(set(ids) - set(expected))
    if unknown or len(set(ids)) < len(ids):
        raise DataError(
            f"submission: {len(ids)} rows for {len(set(expected))} segments, "
            + (f"{unknown[0]!r} is not in the test split" if unknown else "some twice")
            + "; right is one row a segment"
        )


def _by_class(probabilities: np.ndarray) -> dict[str, float]:
    logs = np.log(np.maximum(probabilities.astype(np.float64), LEAST)).round(6)
    return {str(index): value for index, value in enumerate(logs.tolist())}


def _best_pairs(verb: np.ndarray, noun: np.ndarray) -> dict[str, float]:
    # A pair among the 100 best has its verb among the 100 best verbs and its noun among the 100 best nouns.
    verbs = np.argsort(-verb, kind="stable")[:ACTIONS]
    nouns = np.argsort(-noun, kind="stable")[:ACTIONS]
    products = np.multiply.outer(verb[verbs].astype(np.float64), noun[nouns].astype(np.float64)).ravel()
    best = np.argsort(-products, kind="stable")[:ACTIONS]
    return {f"{verbs[i // len(nouns)]},{nouns[i % len(nouns)]}": float(f"{products[i]:.7g}") for i in best}
