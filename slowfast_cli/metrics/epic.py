"""Scores of EPIC-KITCHENS-100: verb, noun and action, for all segments, for subsets and for tail classes.

Shapes: N segments, V verb classes, O noun classes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from slowfast_cli.metrics.topk import accuracy, check, ranks
from slowfast_cli.types import DataError

PAIRS_AT_ONCE = 2**22  # joint scores held at a time: 32 MiB of float64, whatever N is


@dataclass(frozen=True, kw_only=True)
class Places:
    """Rank of the truth in each segment, from 0.

    Attributes:
        verb: Among the verbs, (N,).
        noun: Among the nouns, (N,).
        joint: Of the (verb, noun) pair among all pairs, (N,).
    """

    verb: np.ndarray
    noun: np.ndarray
    joint: np.ndarray

    def within(self, rows: np.ndarray) -> Places:
        """Those of the rows where the mask (N,) is true."""
        return Places(verb=self.verb[rows], noun=self.noun[rows], joint=self.joint[rows])


def joint_ranks(
    verb_scores: np.ndarray, noun_scores: np.ndarray, verb_targets: np.ndarray, noun_targets: np.ndarray
) -> np.ndarray:
    """Rank of the true (verb, noun) pair by the product of probabilities, as the challenge ranks actions.

    Of equal products the pair of the lower ``verb * O + noun`` comes first. Blocks of rows keep the memory bounded.

    Args:
        verb_scores: Probabilities (N, V).
        noun_scores: Probabilities (N, O).
        verb_targets: Class indices (N,).
        noun_targets: Class indices (N,).

    Returns:
        (N,) int64, from 0.
    """
    verbs, nouns = verb_scores.shape[1], noun_scores.shape[1]
    targets = verb_targets.astype(np.int64) * nouns + noun_targets
    step = max(1, PAIRS_AT_ONCE // (verbs * nouns))
    places = np.empty(len(targets), dtype=np.int64)
    for start in range(0, len(targets), step):
        rows = slice(start, start + step)
        # The product of two float32 is exact in float64, so equal products are real ties.
        verb, noun = verb_scores[rows].astype(np.float64), noun_scores[rows].astype(np.float64)
        pairs = (verb[:, :, None] * noun[:, None, :]).reshape(len(verb), -1)
        places[rows] = ranks(pairs, targets[rows])
    return places


def epic_scores(
    verb_scores: np.ndarray,
    noun_scores: np.ndarray,
    verb_targets: np.ndarray,
    noun_targets: np.ndarray,
    subsets: Mapping[str, np.ndarray] | None = None,
    tail: Mapping[str, Collection[int]] | None = None,
) -> dict[str, float]:
    """Top-1 and top-5 accuracies in percent (ASF Table 2, and the tail of the EPIC-KITCHENS-100 challenge).

    ``action_top5`` is counted as ASF counts it: the verb among its 5 best and the noun among its 5 best.
    ``joint_action_top5`` is what the challenge counts: the pair among the 5 best products. At top-1 they are the same.

    The tail accuracies are shares of segments, not means over classes, as the challenge's evaluation has them:
    ``tail_verb`` over segments of a tail verb, ``tail_noun`` over those of a tail noun, ``tail_action`` over those of
    either.

    Args:
        verb_scores: Probabilities (N, V).
        noun_scores: Probabilities (N, O).
        verb_targets: Class indices (N,).
        noun_targets: Class indices (N,).
        subsets: Masks (N,) by name, scored apart as ``<name>_verb_top1`` and so on; an empty one gives no scores.
        tail: Tail class indices of ``verb`` and ``noun``.

    Returns:
        ``verb_top1 verb_top5 noun_top1 noun_top5 action_top1 action_top5 joint_action_top5``, then those of the
        subsets and of the tail with their prefix.

    Raises:
        DataError: Wrong shapes, scores that are no probabilities, targets that are no class.
    """
    check(verb_scores, verb_targets, "verb scores")
    check(noun_scores, noun_targets, "noun scores")
    if len(verb_scores) != len(noun_scores):
        raise DataError(f"scores: {len(verb_scores)} rows of verbs, {len(noun_scores)} of nouns; right is the same")
    _check_probabilities(verb_scores, noun_scores)
    places = Places(
        verb=ranks(verb_scores, verb_targets),
        noun=ranks(noun_scores, noun_targets),
        joint=joint_ranks(verb_scores, noun_scores, verb_targets, noun_targets),
    )
    result = _accuracies(places)
    for name, mask in (subsets or {}).items():
        if mask.any():
            result |= {f"{name}_{key}": value for key, value in _accuracies(places.within(mask)).items()}
    if tail:
        rare_verb = np.isin(verb_targets, list(tail.get("verb", ())))
        rare_noun = np.isin(noun_targets, list(tail.get("noun", ())))
        result |= _tail_accuracies(places, rare_verb, rare_noun)
    return result


def _accuracies(places: Places) -> dict[str, float]:
    result: dict[str, float] = {}
    for name, ranked in (
        ("verb", places.verb),
        ("noun", places.noun),
        ("action", np.maximum(places.verb, places.noun)),
    ):
        result |= {f"{name}_top{k}": accuracy(ranked < k) for k in (1, 5)}
    return result | {"joint_action_top5": accuracy(places.joint < 5)}


def _tail_accuracies(places: Places, rare_verb: np.ndarray, rare_noun: np.ndarray) -> dict[str, float]:
    result: dict[str, float] = {}
    for name, rows in (("verb", rare_verb), ("noun", rare_noun), ("action", rare_verb | rare_noun)):
        if rows.any():
            scores = _accuracies(places.within(rows))
            result |= {f"tail_{key}": value for key, value in scores.items() if name in key}
    return result


def _check_probabilities(*scores: np.ndarray) -> None:
    for array in scores:
        if array.min() < 0 or array.max() > 1 + 1e-4:
            raise DataError(
                f"scores: from {array.min():.3g} to {array.max():.3g}; the joint score of an action is a product of "
                "probabilities, from 0 to 1: take the softmax first"
            )


@dataclass(frozen=True, kw_only=True)
class Supervision:
    """Supervision Levels Scale that a submission declares, 0-5 each (Damen and Wray, arXiv:2008.09890).

    The defaults are ASF's: pre-trained with the labels of a public set, full temporal labels, the train split.

    Attributes:
        pt: Pre-training: 0 none, 1 images, 2 images and video, 3-4 self-supervised, 5 private data.
        tl: Training labels: 3 start and stop times with classes.
        td: Training data: 3 the train split, 4 train and validation.
    """

    pt: int = 2
    tl: int = 3
    td: int = 3

    def __post_init__(self) -> None:
        if not all(0 <= level <= 5 for level in (self.pt, self.tl, self.td)):
            raise ValueError(f"supervision levels go from 0 to 5, not {self.pt}-{self.tl}-{self.td}")
