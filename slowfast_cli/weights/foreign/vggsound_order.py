"""The class order of Auditory Slow-Fast's VGG-Sound heads (309 classes).

The authors trained with lists whose class ids are not in the data set's csv files. Lists of a derived work
(github.com/StevenLauHKHK/AudioRepInceptionNeXt, ``VGG_Sound_test.pkl``) number the classes in the row order of
VGG-Sound's ``stat.csv``, by falling number of clips; VGG-Sound's own loader sorts the names. Nearly every name differs
between the two, so the head itself is asked: a classifier's bias follows the frequency of the classes.
"""

import numpy as np
from torch import Tensor

from slowfast_cli.corpora import labels

BY_COUNT, SORTED = "vggsound_asf_order", "vggsound"
DECISIVE = 0.2  # rank correlation; in a wrong order it is noise of standard deviation 1 / sqrt(308) = 0.057


def class_order(bias_C: Tensor) -> tuple[tuple[str, ...], str]:
    """Choose the order of a head's 309 classes.

    Args:
        bias_C: Bias of the classifier, (309,).

    Returns:
        The class names in order, and a note on what was found.
    """
    counts = {row["name"]: int(row["clips"]) for row in labels.table(BY_COUNT)}
    by_count, in_sorted = (
        rank_correlation(bias_C.double().numpy(), np.array([counts[name] for name in labels.names(order)]))
        for order in (BY_COUNT, SORTED)
    )
    found = f"bias and the classes' clip counts correlate by {by_count:.2f} in that order, {in_sorted:.2f} when sorted"
    if in_sorted >= DECISIVE > by_count:
        return labels.names(SORTED), f"Class order: sorted names, not that of VGG-Sound's stat.csv: {found}."
    verdict = "confirmed" if by_count >= DECISIVE > in_sorted else "undecided, so check it on a few known clips"
    return labels.names(BY_COUNT), f"Class order: that of VGG-Sound's stat.csv; {verdict}: {found}."


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation of two arrays of N values; 0 if one is constant.

    >>> round(rank_correlation(np.array([1.0, 2.0, 9.0]), np.array([3, 4, 5])), 6)
    1.0
    """
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of N values; equal values share their mean rank."""
    ordered = np.sort(values)
    ranks: np.ndarray = (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right") - 1) / 2
    return ranks
