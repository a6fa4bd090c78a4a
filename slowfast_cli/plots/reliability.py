"""Plots of how far scores can be trusted: the calibration curve, and precision over recall."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from slowfast_cli.metrics.calibration import BINS, Calibration
from slowfast_cli.plots.canvas import COLORS, GRID, INK, LABEL, NOTE, QUIET, TICK, TITLE, figure, save, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW = 10  # answers of a bin below which its share says little: a standard error of up to 16 points
NAMED = 5  # classes with a curve of their own in `precision_recall_plot`


def calibration_plot(found: Calibration, path: Path, *, title: str = "") -> Path:
    """Draw the share of right answers over their score, and how many answers have it; returns ``path``.

    Bins with fewer than 10 answers have hollow markers and bars.
    """
    scores, right, few = 100 * found.scores, 100 * found.right, found.counts < FEW
    fig = figure(4.2, 4.8)
    curve, bars = fig.subplots(2, 1, height_ratios=(3.2, 1), sharex=True)
    curve.plot([0, 100], [0, 100], color=QUIET, linewidth=1, linestyle="--", label="perfect")
    curve.plot(scores, right, "-", color=COLORS[0], linewidth=1.6)
    for chosen, fill, label in ((~few, COLORS[0], "answers"), (few, "white", f"fewer than {FEW} answers")):
        if chosen.any():
            curve.plot(
                scores[chosen], right[chosen], "o", color=COLORS[0], markerfacecolor=fill, markersize=5, label=label
            )
    curve.set_ylabel("right answers, %", fontsize=LABEL, color=INK)
    curve.set_title(f"calibration error {100 * found.error:.1f} %", fontsize=LABEL, color=INK, loc="left")
    curve.legend(fontsize=TICK, frameon=False, loc="best")
    width = 100 / BINS
    middles = width * (np.minimum((found.scores * BINS).astype(int), BINS - 1) + 0.5)
    bars.bar(
        middles, found.counts, width=0.84 * width, color=["white" if each else COLORS[0] for each in few],
        edgecolor=COLORS[0], linewidth=1,
    )  # fmt: skip
    bars.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    bars.set_ylabel("answers", fontsize=LABEL, color=INK)
    bars.set_xlabel("score of the answer, %", fontsize=LABEL, color=INK)
    _percent(curve, both=True)
    _percent(bars, both=False)
    fig.suptitle(title, fontsize=TITLE, color=INK)
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
    axes.set_xlabel("recall, %", fontsize=LABEL, color=INK)
    axes.set_ylabel("precision, %", fontsize=LABEL, color=INK)
    axes.set_title(title, fontsize=TITLE, color=INK)
    axes.legend(fontsize=NOTE, frameon=False, loc="best")
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
    axes.tick_params(labelsize=TICK)
    style_axes(axes, grid="both")
    axes.grid(color=GRID)
