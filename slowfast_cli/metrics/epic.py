"""EPIC-KITCHENS-100 scores: verb, noun and action accuracy over all segments, subsets and tail classes.

Shapes: N segments, V verb classes, O noun classes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from slowfast_cli.metrics.topk import accuracy, check_scores, ranks
from slowfast_cli.types import DataError

PAIRS_PER_BLOCK = 2**22  # joint scores in memory at a time: 32 MiB of float64, independent of N


@dataclass(frozen=True, kw_only=True)
class TargetRanks:
    """Rank of the true class in each segment, from 0."""

    verb: np.ndarray  # (N,)
    noun: np.ndarray  # (N,)
    joint: np.ndarray  # rank of the (verb, noun) pair among all pairs, (N,)

    def select(self, rows: np.ndarray) -> TargetRanks:
        """Select rows by a mask (N,)."""
        return TargetRanks(verb=self.verb[rows], noun=self.noun[rows], joint=self.joint[rows])


def joint_ranks(
    verb_scores: np.ndarray, noun_scores: np.ndarray, verb_targets: np.ndarray, noun_targets: np.ndarray
) -> np.ndarray:
    """Rank the true (verb, noun) pair by the product of probabilities, as the challenge ranks actions.

    Ties are ranked by ``verb * O + noun``, lowest first. Rows are processed in blocks to bound the memory.

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
    step = max(1, PAIRS_PER_BLOCK // (verbs * nouns))
    result = np.empty(len(targets), dtype=np.int64)
    for start in range(0, len(targets), step):
        rows = slice(start, start + step)
        # The product of two float32 is exact in float64, so equal products are exact ties.
        verb, noun = verb_scores[rows].astype(np.float64), noun_scores[rows].astype(np.float64)
        pairs = (verb[:, :, None] * noun[:, None, :]).reshape(len(verb), -1)
        result[rows] = ranks(pairs, targets[rows])
    return result


def epic_scores(
    verb_scores: np.ndarray,
    noun_scores: np.ndarray,
    verb_targets: np.ndarray,
    noun_targets: np.ndarray,
    subsets: Mapping[str, np.ndarray] | None = None,
    tail: Mapping[str, Collection[int]] | None = None,
) -> dict[str, float]:
    """Compute top-1 and top-5 accuracies in percent (ASF Table 2, and the tail of the EPIC-KITCHENS-100 challenge).

    ``action_top5`` follows ASF: the verb is among its top 5 and the noun among its top 5. ``joint_action_top5`` follows
    the challenge: the pair is among the top 5 products. At top-1 both are equal.

    Tail accuracies are over segments, not means over classes, as in the challenge's evaluation: ``tail_verb`` over
    segments with a tail verb, ``tail_noun`` with a tail noun, ``tail_action`` with either.

    Args:
        verb_scores: Probabilities (N, V).
        noun_scores: Probabilities (N, O).
        verb_targets: Class indices (N,).
        noun_targets: Class indices (N,).
        subsets: Masks (N,) by name, scored separately as ``<name>_verb_top1`` etc.; empty ones are skipped.
        tail: Tail class indices of ``verb`` and ``noun``.

    Returns:
        ``verb_top1 verb_top5 noun_top1 noun_top5 action_top1 action_top5 joint_action_top5``, and those of the
        subsets and of the tail with a prefix.

    Raises:
        DataError: Wrong shapes, scores outside [0, 1], or target indices out of range.
    """
    check_scores(verb_scores, verb_targets, "verb scores")
    check_scores(noun_scores, noun_targets, "noun scores")
    if len(verb_scores) != len(noun_scores):
        raise DataError(f"scores: {len(verb_scores)} rows of verbs, {len(noun_scores)} of nouns, expected equally many")
    _check_probabilities(verb_scores, noun_scores)
    target_ranks = TargetRanks(
        verb=ranks(verb_scores, verb_targets),
        noun=ranks(noun_scores, noun_targets),
        joint=joint_ranks(verb_scores, noun_scores, verb_targets, noun_targets),
    )
    result = _accuracies(target_ranks)
    for name, mask in (subsets or {}).items():
        if mask.any():
            result |= {f"{name}_{key}": value for key, value in _accuracies(target_ranks.select(mask)).items()}
    if tail:
        rare_verb = np.isin(verb_targets, list(tail.get("verb", ())))
        rare_noun = np.isin(noun_targets, list(tail.get("noun", ())))
        result |= _tail_accuracies(target_ranks, rare_verb, rare_noun)
    return result


def _accuracies(target_ranks: TargetRanks) -> dict[str, float]:
    result: dict[str, float] = {}
    for name, ranked in (
        ("verb", target_ranks.verb),
        ("noun", target_ranks.noun),
        ("action", np.maximum(target_ranks.verb, target_ranks.noun)),
    ):
        result |= {f"{name}_top{k}": accuracy(ranked < k) for k in (1, 5)}
    return result | {"joint_action_top5": accuracy(target_ranks.joint < 5)}


def _tail_accuracies(target_ranks: TargetRanks, rare_verb: np.ndarray, rare_noun: np.ndarray) -> dict[str, float]:
    result: dict[str, float] = {}
    for name, rows in (("verb", rare_verb), ("noun", rare_noun), ("action", rare_verb | rare_noun)):
        if rows.any():
            scores = _accuracies(target_ranks.select(rows))
            result |= {f"tail_{key}": value for key, value in scores.items() if name in key}
    return result


def _check_probabilities(*scores: np.ndarray) -> None:
    for array in scores:
        if array.min() < 0 or array.max() > 1 + 1e-4:
            raise DataError(
                f"scores: from {array.min():.3g} to {array.max():.3g}, expected probabilities: apply softmax first"
            )
