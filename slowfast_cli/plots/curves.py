"""Training curves: losses, scores and learning rate over epochs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from slowfast_cli.metrics.registry import find_metric
from slowfast_cli.plots.canvas import COLORS, INK, QUIET, figure, save, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Panels in order: pattern of the keys, and label of the vertical axis.
PANELS = (
    (r"^(val_)?loss", "loss"),
    (r"^val_.*(top\d|acc)", "accuracy, %"),
    (r"^val_(.*_)?(map|auc)$", "mAP, AUC"),
    (r"^val_.*dprime", "d'"),
    (r"^val_", "other scores"),
    (r"^lr$", "learning rate"),
)
SHOWN = 8  # maximum number of curves per panel
SMOOTH = 60  # longer curves are drawn smoothed, over the raw one in a light shade

Series = tuple[np.ndarray, np.ndarray]  # epochs (or steps), values


def curves_plot(
    records: Sequence[Mapping[str, object]], path: Path, *, title: str = "", metric: str | None = None
) -> Path:
    """Draw the lines of ``metrics.jsonl`` over epochs, or over steps if the training is shorter than two epochs.

    Args:
        records: The lines: losses of steps, and scores of the validation with the prefix ``val_``.
        path: The PNG to write.
        title: Title of the figure.
        metric: Metric that chooses the best weights; its best value is marked.

    Returns:
        ``path``.
    """
    by_panel: dict[str, dict[str, Series]] = {label: {} for _, label in PANELS}
    lines, unit = _series(records)
    for key, line in lines.items():
        label = next((label for pattern, label in PANELS if re.search(pattern, key)), None)
        if label is not None:
            by_panel[label][key] = line
    panels = [(label, curves) for label, curves in by_panel.items() if curves]
    columns = min(3, max(1, len(panels)))
    rows = math.ceil(max(1, len(panels)) / columns)
    fig = figure(4.4 * columns, 3.1 * rows + (0.4 if title else 0))
    grid = fig.subplots(rows, columns, squeeze=False).ravel()
    for axes, (label, curves) in zip(grid, panels, strict=False):
        _draw(axes, label, curves, f"val_{metric}")
        axes.set_xlabel(unit, fontsize=9, color=INK)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    if not panels:
        grid[0].set_visible(True)
        grid[0].set_axis_off()
        grid[0].text(0.5, 0.5, "nothing recorded yet", ha="center", va="center", color=QUIET)
    if title:
        fig.suptitle(title, fontsize=11, color=INK)
    return save(fig, path)


def _series(records: Sequence[Mapping[str, object]]) -> tuple[dict[str, Series], str]:
    """Curves by key, and the unit of their horizontal axis."""
    points: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        step = record.get("step")
        if isinstance(step, (int, float)):
            for key, value in record.items():
                if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
                    points.setdefault(key, []).append((step, value))
    lines = {key: np.array(sorted(values)) for key, values in points.items()}
    last_step, last_epoch = lines.get("epoch", np.zeros((1, 2)))[-1]
    unit, scale = ("epoch", last_epoch / last_step) if last_epoch >= 2 else ("step", 1)
    return {key: (scale * line[:, 0], line[:, 1]) for key, line in lines.items()}, unit


def _name(key: str) -> str:
    """Name of a curve in the legend.

    >>> _name("loss"), _name("val_loss"), _name("loss_verb"), _name("val_verb_top1")
    ('training', 'validation', 'training, verb', 'Verb Top-1')
    """
    part, _, labels = key.partition("loss")
    if part in ("", "val_") and part != key:
        return ("validation" if part else "training") + labels.replace("_", ", ", 1)
    return find_metric(key.removeprefix("val_")).title


def _draw(axes: Axes, label: str, curves: Mapping[str, Series], metric: str) -> None:
    for index, (key, (times, values)) in enumerate(list(curves.items())[:SHOWN]):
        color = COLORS[index % len(COLORS)]
        style = "-" if index < len(COLORS) else "--"
        noisy = len(values) > SMOOTH and label != "learning rate"
        if noisy:
            axes.plot(times, values, color=color, alpha=0.22, linewidth=0.7)
        axes.plot(
            times, _smooth(values) if noisy else values, style, color=color, linewidth=1.6, label=_name(key),
            marker="o" if len(values) <= 30 else "", markersize=3,
        )  # fmt: skip
        if key == metric:
            _mark_best(axes, key, times, values, color)
    axes.set_ylabel(label, fontsize=9, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.tick_params(labelsize=8)
    axes.margins(x=0.02)
    style_axes(axes, grid="y")
    if len(curves) > SHOWN:
        axes.set_title(f"the first {SHOWN} of {len(curves)}", fontsize=8, color=QUIET, loc="right")
    if label not in ("learning rate", "d'") or len(curves) > 1:
        axes.legend(fontsize=7.5, frameon=False, ncols=1 + (len(curves) > 4), loc="best")


def _mark_best(axes: Axes, key: str, times: np.ndarray, values: np.ndarray, color: str) -> None:
    """Ring the best value, the last of equal ones, and write it beside."""
    found = find_metric(key.removeprefix("val_"))
    signed = values if found.higher_is_better else -values
    best = len(signed) - 1 - int(signed[::-1].argmax())
    axes.plot(times[best], values[best], "o", markersize=9, markerfacecolor="none", markeredgecolor=color, zorder=4)
    axes.annotate(
        f"best {values[best]:.{found.digits}f}", (times[best], values[best]), xytext=(0, -13),
        textcoords="offset points", ha="right" if best > len(values) / 2 else "left", fontsize=8, color=color,
    )  # fmt: skip


def _smooth(values: np.ndarray) -> np.ndarray:
    """Average over a centered window of 1/40 of the curve, truncated at its ends."""
    half = max(1, len(values) // 80)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    center = np.arange(len(values))
    low, high = np.maximum(center - half, 0), np.minimum(center + half + 1, len(values))
    return np.asarray((sums[high] - sums[low]) / (high - low))
