"""Training curves: losses, learning rate and scores over steps."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from slowfast_cli.plots.canvas import COLORS, INK, QUIET, figure, save, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Panels in order: pattern of the keys, and label of the vertical axis.
PANELS = (
    (r"loss", "loss"),
    (r"top\d|acc", "accuracy, %"),
    (r"(^|[_/.])(m?ap|auc)$", "mAP, AUC"),
    (r"dprime", "d-prime"),
    (r"(^|[_/.])lr$", "learning rate"),
    (r"^val_", "other scores"),  # of keys that no panel above has
)
SHOWN = 8  # maximum number of curves per panel
SMOOTH = 60  # longer curves are drawn smoothed, over the raw one in a light shade

Series = tuple[np.ndarray, np.ndarray]  # steps, values


def curves_plot(records: Sequence[Mapping[str, object]], path: Path, *, title: str = "") -> Path:
    """Draw the metrics of the lines of ``metrics.jsonl`` over steps, each key in the first panel that fits, if any."""
    by_panel: dict[str, dict[str, Series]] = {label: {} for _, label in PANELS}
    for key, line in _series(records).items():
        label = next((label for pattern, label in PANELS if re.search(pattern, key)), None)
        if label is not None:
            by_panel[label][key] = line
    panels = [(label, curves) for label, curves in by_panel.items() if curves]
    columns = min(3, max(1, len(panels)))
    lines = math.ceil(max(1, len(panels)) / columns)
    fig = figure(4.6 * columns, 3.1 * lines + (0.4 if title else 0))
    grid = fig.subplots(lines, columns, squeeze=False).ravel()
    for axes, (label, curves) in zip(grid, panels, strict=False):
        _draw(axes, label, curves)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    if not panels:
        grid[0].set_visible(True)
        grid[0].set_axis_off()
        grid[0].text(0.5, 0.5, "nothing recorded yet", ha="center", va="center", color=QUIET)
    if title:
        fig.suptitle(title, fontsize=11, color=INK)
    return save(fig, path)


def _series(records: Sequence[Mapping[str, object]]) -> dict[str, Series]:
    points: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        step = record.get("step")
        if isinstance(step, (int, float)):
            for key, value in record.items():
                if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
                    points.setdefault(key, []).append((step, value))
    lines = {key: np.array(sorted(values)) for key, values in points.items()}
    return {key: (line[:, 0], line[:, 1]) for key, line in lines.items()}


def _draw(axes: Axes, label: str, curves: Mapping[str, Series]) -> None:
    for index, (key, (steps, values)) in enumerate(list(curves.items())[:SHOWN]):
        color = COLORS[index % len(COLORS)]
        style = "-" if index < len(COLORS) else "--"
        noisy = len(values) > SMOOTH and label != "learning rate"
        if noisy:
            axes.plot(steps, values, color=color, alpha=0.22, linewidth=0.7)
        axes.plot(
            steps, _smooth(values) if noisy else values, style, color=color, linewidth=1.6, label=key,
            marker="o" if len(values) <= 30 else "", markersize=3,
        )  # fmt: skip
    axes.set_ylabel(label, fontsize=9, color=INK)
    axes.set_xlabel("step", fontsize=9, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.tick_params(labelsize=8)
    axes.margins(x=0.02)
    style_axes(axes, grid="y")
    if len(curves) > SHOWN:
        axes.set_title(f"the first {SHOWN} of {len(curves)}", fontsize=8, color=QUIET, loc="right")
    if len(curves) > 1 or not curves.keys() <= {"loss", "lr", "dprime"}:
        axes.legend(fontsize=7.5, frameon=False, ncols=1 + (len(curves) > 4), loc="best")


def _smooth(values: np.ndarray) -> np.ndarray:
    """Average over a centered window of 1/40 of the curve, truncated at its ends."""
    half = max(1, len(values) // 80)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    center = np.arange(len(values))
    low, high = np.maximum(center - half, 0), np.minimum(center + half + 1, len(values))
    return np.asarray((sums[high] - sums[low]) / (high - low))
