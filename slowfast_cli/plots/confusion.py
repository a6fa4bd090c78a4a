"""Plot of a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import PowerNorm
from scipy.cluster.hierarchy import fcluster, leaves_list, linkage

from slowfast_cli.plots.canvas import INK, LABEL, QUIET, add_color_bar, figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_ANNOTATED = 25  # classes up to which cells show their value
MAX_UNGROUPED = 60  # classes up to which the order is that of the class list
GROUP = 15  # classes of a group, on average


def confusion_plot(counts: np.ndarray, names: Sequence[str], path: Path, *, title: str = "") -> Path:
    """Draw a confusion matrix (C, C), rows true and columns predicted classes; returns ``path``.

    Colors are percent of the true class. With up to 25 classes the cells show the number of segments; with more they
    are small, but all classes are named; with more than 60 classes, those that are confused stand together.
    """
    classes = len(names)
    groups = np.arange(0)
    if classes > MAX_UNGROUPED:
        order, groups = _grouped(counts)
        counts, names = counts[np.ix_(order, order)], [names[index] for index in order]
    totals = counts.sum(axis=1, keepdims=True)
    percent = np.divide(100.0 * counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    annotated = classes <= MAX_ANNOTATED
    cell, font = (0.62, LABEL) if annotated else (0.082, 5.0)  # inches, points
    label = max(len(name) for name in names) * font * 0.0085  # approximate inches of the longest name
    side = max(classes * cell, 2.5)
    fig = figure(side + label + 1.5, side + label + 1.0)
    axes = fig.add_subplot()
    # The square root makes a few percent off the diagonal visible, which a linear scale hides among 309 classes.
    norm = PowerNorm(0.5, vmin=0, vmax=100)
    image = axes.imshow(percent, cmap="Blues", norm=norm, interpolation="nearest", aspect="equal")
    axes.set_xticks(range(classes), names, rotation=40 if annotated else 90, ha="right" if annotated else "center")
    if annotated:
        for tick in axes.get_xticklabels():
            tick.set_rotation_mode("anchor")
    axes.set_yticks(range(classes), names)
    axes.tick_params(
        labelsize=font, length=0 if annotated else 1, width=0.4, pad=3 if annotated else 1, labelcolor=INK, color=QUIET
    )
    large = max(LABEL + 1, side)  # points: titles scale with the figure
    axes.set_xlabel("predicted class", fontsize=large, color=INK)
    axes.set_ylabel("true class", fontsize=large, color=INK)
    axes.set_title(title, fontsize=large + 1, color=INK, pad=large)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white" if annotated else "#f0f2f4", linewidth=1.5 if annotated else 0.25)
    axes.tick_params(which="minor", length=0)
    axes.hlines(groups - 0.5, -0.5, classes - 0.5, color=QUIET, linewidth=0.4)
    axes.vlines(groups - 0.5, -0.5, classes - 0.5, color=QUIET, linewidth=0.4)
    if annotated:
        _annotate(axes, counts, percent)
    add_color_bar(fig, image, axes, "% of the true class", (0, 1, 5, 10, 25, 50, 75, 100), size=large - 1)
    return save(fig, path)


def _annotate(axes: Axes, counts: np.ndarray, percent: np.ndarray) -> None:
    for row, column in np.argwhere(counts):
        color = "white" if percent[row, column] > 35 else INK
        axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", fontsize=9, color=color)


def _grouped(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order of the classes that puts confused ones together, and the first rows of the groups.

    Average linkage on the share of segments that two classes exchange.
    """
    exchanged = (counts + counts.T) / np.maximum(1, counts.sum(axis=1)[:, None] + counts.sum(axis=1)[None])
    distance = 1 - exchanged[np.triu_indices(len(counts), 1)]
    tree = linkage(distance, "average")
    order = leaves_list(tree)
    group = fcluster(tree, max(2, len(counts) // GROUP), "maxclust")[order]
    return order, np.flatnonzero(np.diff(group)) + 1
