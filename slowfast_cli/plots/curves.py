"""How training went: losses, learning rate and scores over steps."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from slowfast_cli.plots.canvas import COLOURS, INK, QUIET, figure, save, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Panels in order: what the key matches, and the name of the vertical axis.
PANELS = (
    (r"loss", "loss"),
    (r"top\d|acc", "accuracy, %"),
    (r"(^|[_/.])(m?ap|auc)$", "mAP, AUC"),
    (r"dprime", "d-prime"),
    (r"(^|[_/.])lr$", "learning rate"),
)
SHOWN = 8  # curves in a panel that can be told apart
SMOOTH = 60  # points above which a curve is drawn smoothed over its faint original

Series = tuple[np.ndarray, np.ndarray]  # steps, values


def curves_plot(records: Sequence[Mapping[str, object]], path: Path, *, title: str = "") -> Path:
    """Draw the numbers of a run over its steps, one panel for each kind; other keys are not drawn.

    Args:
        records: Lines of ``metrics.jsonl``: each has ``step`` and numbers, scores only in a few.
        path: The PNG.
        title: Above the panels.

    Returns:
        ``path``.
    """
    series = _series(records)
    panels = [
        (label, found)
        for pattern, label in PANELS
        if (found := {key: line for key, line in series.items() if re.search(pattern, key)})
    ]
    columns = min(3, max(1, len(panels)))
    lines = math.ceil(max(1, len(panels)) / columns)
    made = figure(4.6 * columns, 3.1 * lines + (0.4 if title else 0))
    grid = made.subplots(lines, columns, squeeze=False).ravel()
    for axes, (label, found) in zip(grid, panels, strict=False):
        _draw(axes, label, found)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    if not panels:
        grid[0].set_visible(True)
        grid[0].set_axis_off()
        grid[0].text(0.5, 0.5, "nothing recorded yet", ha="center", va="center", color=QUIET)
    if title:
        made.suptitle(title, fontsize=11, color=INK)
    return save(made, path)


def _series(records: Sequence[Mapping[str, object]]) -> dict[str, Series]:
    points: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        step = record.get("step")
        if isinstance(step, (int, float)):
            for key, value in record.items():
                if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
                    points.setdefault(key, []).append((step, value))
    lines = {key: np.array(sorted(found)) for key, found in points.items()}
    return {key: (line[:, 0], line[:, 1]) for key, line in lines.items()}


def _draw(axes: Axes, label: str, found: Mapping[str, Series]) -> None:
    for index, (key, (steps, values)) in enumerate(list(found.items())[:SHOWN]):
        colour = COLOURS[index % len(COLOURS)]
        style = "-" if index < len(COLOURS) else "--"
        noisy = len(values) > SMOOTH and label != "learning rate"
        if noisy:
            axes.plot(steps, values, color=colour, alpha=0.22, linewidth=0.7)
        axes.plot(
            steps,
            _smooth(values) if noisy else values,
            style,
            color=colour,
            linewidth=1.6,
            label=key,
            marker="o" if len(values) <= 30 else "",
            markersize=3,
        )
    axes.set_ylabel(label, fontsize=9, color=INK)
    axes.set_xlabel("step", fontsize=9, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.tick_params(labelsize=8)
    axes.margins(x=0.02)
    tidy(axes, grid="y")
    if len(found) > SHOWN:
        axes.set_title(f"the first {SHOWN} of {len(found)}", fontsize=8, color=QUIET, loc="right")
    if len(found) > 1 or not found.keys() <= {"loss", "lr", "dprime"}:
        axes.legend(fontsize=7.5, frameon=False, ncols=1 + (len(found) > 4), loc="best")


def _smooth(values: np.ndarray) -> np.ndarray:
    """Mean over a centred window of 1/40 of the curve; at the ends over the part that is there."""
    half = max(1, len(values) // 80)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    centre = np.arange(len(values))
    low, high = np.maximum(centre - half, 0), np.minimum(centre + half + 1, len(values))
    return np.asarray((sums[high] - sums[low]) / (high - low))
