"""Plots of how far scores can be trusted: the calibration curve, and precision over recall."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from slowfast_cli.metrics.calibration import Calibration
from slowfast_cli.plots.canvas import COLORS, GRID, INK, QUIET, figure, save, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMED = 5  # classes with a curve of their own in `precision_recall_plot`


def calibration_plot(found: Calibration, path: Path, *, title: str = "") -> Path:
    """Draw the share of right answers over their score, and how many answers have it; returns ``path``."""
    fig = figure(4.2, 4.8)
    curve, bars = fig.subplots(2, 1, height_ratios=(3.2, 1), sharex=True)
    curve.plot([0, 100], [0, 100], color=QUIET, linewidth=1, linestyle="--", label="perfect")
    curve.plot(100 * found.scores, 100 * found.right, "o-", color=COLORS[0], markersize=4, label="answers")
    curve.set_ylabel("right answers, %", fontsize=9, color=INK)
    curve.set_title(f"calibration error {100 * found.error:.1f} %", fontsize=9, color=INK, loc="left")
    curve.legend(fontsize=8, frameon=False, loc="upper left")
    bars.bar(100 * found.scores, found.counts, width=5, color=COLORS[0])
    bars.set_ylabel("answers", fontsize=9, color=INK)
    bars.set_xlabel("score of the answer, %", fontsize=9, color=INK)
    _percent(curve, both=True)
    _percent(bars, both=False)
    fig.suptitle(title, fontsize=10.5, color=INK)
    return save(fig, path)


def precision_recall_plot(
    scores_NC: np.ndarray, targets_NC: np.ndarray, names: tuple[str, ...], path: Path, *, title: str = ""
) -> Path:
    """Draw precision over recall of independent classes: all decisions together, and the most frequent classes.

    Args:
        scores_NC: Probabilities.
        targets_NC: Zeros and ones.
        names: Class names.
        path: The PNG to write.
        title: Title of the figure.

    Returns:
        ``path``.
    """
    fig = figure(5.2, 4.4)
    axes = fig.add_subplot()
    frequent = np.argsort(-targets_NC.sum(axis=0), kind="stable")[:NAMED]
    for color, index in zip(COLORS[1:], (index for index in frequent if targets_NC[:, index].any()), strict=False):
        recall, precision = _curve(scores_NC[:, index], targets_NC[:, index])
        axes.plot(recall, precision, color=color, linewidth=1, label=names[index])
    recall, precision = _curve(scores_NC.ravel(), targets_NC.ravel())
    axes.plot(recall, precision, color=COLORS[0], linewidth=2, label=f"all {len(names)} classes")
    axes.set_xlabel("recall, %", fontsize=9, color=INK)
    axes.set_ylabel("precision, %", fontsize=9, color=INK)
    axes.set_title(title, fontsize=10.5, color=INK)
    axes.legend(fontsize=7.5, frameon=False, loc="best")
    _percent(axes, both=True)
    return save(fig, path)


def _curve(scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision in percent at each threshold, the highest first."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(targets[order] > 0)
    last = np.append(np.diff(scores[order]) != 0, True)  # one point for equal scores
    return 100 * (hits / hits[-1])[last], 100 * (hits / np.arange(1, len(hits) + 1))[last]


def _percent(axes: Axes, *, both: bool) -> None:
    axes.set_xlim(-2, 102)
    if both:
        axes.set_ylim(-2, 102)
    axes.tick_params(labelsize=8)
    style_axes(axes, grid="both")
    axes.grid(color=GRID)
