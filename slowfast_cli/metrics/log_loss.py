"""Loss of merged predictions, for comparison with that of training."""

import numpy as np

from slowfast_cli.metrics.predictions import Rows

TINY = 1e-12  # probabilities below it count as it


def log_loss(rows: Rows) -> float | None:
    """Cross-entropy in nats, summed over the label sets as in training, without label smoothing.

    Exclusive classes: mean of ``-log p`` of the true class. Independent classes: mean binary cross-entropy over
    segments and classes.

    Returns:
        None if no label set has targets.
    """
    losses = [_label_set(rows.scores[labels], targets) for labels, targets in rows.targets.items()]
    return float(sum(losses)) if losses else None


def _label_set(scores_NC: np.ndarray, targets: np.ndarray) -> float:
    scores = np.clip(scores_NC.astype(np.float64), TINY, 1)
    if targets.ndim == 1:
        return float(-np.log(scores[np.arange(len(targets)), targets]).mean())
    off = np.clip(1 - scores_NC.astype(np.float64), TINY, 1)
    return float(-np.where(targets > 0, np.log(scores), np.log(off)).mean())
