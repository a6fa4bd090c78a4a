"""VGGSounder's multi-label scores by modality (Zverev et al., arXiv:2508.08237).

Shapes: N clips, C classes. Values are shares from 0 to 1.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from slowfast_cli.metrics.ranking import ranking_scores

SUBSETS: Mapping[str, tuple[str, ...]] = {
    "all": ("A", "V", "AV"),
    "a": ("A", "AV"),
    "v": ("V", "AV"),
    "av": ("AV",),
    "a only": ("A",),
    "v only": ("V",),
}
"""Modalities of the labels that count in each subset; a clip is in a subset that has one of its labels."""
TOPS = (1, 3, 5, 10)


@dataclass(frozen=True, kw_only=True)
class SubsetScores:
    """Scores of the clips of a subset."""

    clips: int
    values: Mapping[str, float]  # such as ``hit_rate@1``; empty if there are no clips


def multilabel_scores(truth_NC: np.ndarray, predicted_NC: np.ndarray) -> dict[str, float]:
    """Compare label sets: averages over cells (precision, recall, F1, Jaccard), classes (macro F1) or clips (others).

    Args:
        truth_NC: Whether a clip has a class.
        predicted_NC: Whether a class is predicted.
    """
    both_NC = truth_NC & predicted_NC
    both, truth, predicted = (int(matrix.sum()) for matrix in (both_NC, truth_NC, predicted_NC))
    of_classes = truth_NC.sum(axis=0) + predicted_NC.sum(axis=0)
    return {
        "hit_rate": float(both_NC.any(axis=1).mean()),
        "accuracy": float((truth_NC == predicted_NC).all(axis=1).mean()),
        "precision": _ratio(both, predicted),
        "recall": _ratio(both, truth),
        "f1": _ratio(2 * both, truth + predicted),
        "f1_macro": float((2 * both_NC.sum(axis=0) / np.maximum(of_classes, 1)).mean()),
        "jaccard": _ratio(both, truth + predicted - both),
    }


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def top_k(scores_NC: np.ndarray, k: int) -> np.ndarray:
    """Whether a class is among the k best of a clip, (N, C); of equal scores, the later class is the better."""
    best_NK = np.argsort(scores_NC, axis=1, kind="stable")[:, -k:]
    chosen_NC = np.zeros(scores_NC.shape, bool)
    np.put_along_axis(chosen_NC, best_NK, values=True, axis=1)
    return chosen_NC


def subset_scores(scores_NC: np.ndarray, truth_NC: np.ndarray) -> SubsetScores:
    """Score clips by their k best classes, k in `TOPS`, and by ranking (``auc_roc`` and ``auc_pr``).

    Clips without a label are not in the subset and are left out.
    """
    inside_N = truth_NC.any(axis=1)
    if not inside_N.any():
        return SubsetScores(clips=0, values={})
    scores_NC, truth_NC = scores_NC[inside_N], truth_NC[inside_N]
    values: dict[str, float] = {}
    for k in TOPS:
        values |= {f"{name}@{k}": value for name, value in multilabel_scores(truth_NC, top_k(scores_NC, k)).items()}
    ranking = ranking_scores(scores_NC, truth_NC)
    values |= {"auc_roc": ranking["auc"], "auc_pr": ranking["map"]}
    return SubsetScores(clips=int(inside_N.sum()), values={k: v for k, v in values.items() if not math.isnan(v)})


def modality_confusion(
    truth_NC: np.ndarray, audio_NC: np.ndarray, video_NC: np.ndarray, both_NC: np.ndarray
) -> dict[str, float]:
    """Share of clips that a modality hits and the two together miss: confused by the other modality.

    Args:
        truth_NC: Whether a clip has a class.
        audio_NC: Whether a class is predicted from the sound.
        video_NC: From the frames.
        both_NC: From both.

    Returns:
        ``a``, ``v``, and ``av``: clips that sound and frames hit each alone.
    """
    a_N, v_N, av_N = ((truth_NC & predicted_NC).any(axis=1) for predicted_NC in (audio_NC, video_NC, both_NC))
    shares = {"a": a_N & ~av_N, "v": v_N & ~av_N, "av": a_N & v_N & ~av_N}
    return {name: float(lost_N.mean()) for name, lost_N in shares.items()}
