"""Training curves: losses, scores and learning rate over epochs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from slowfast_cli.metrics.registry import find_metric
from slowfast_cli.plots.canvas import COLORS, INK, LABEL, NOTE, QUIET, TICK, TITLE, WIDE, figure, save, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Panels in order: pattern of the keys, and label of the vertical axis.
PANELS = (
    (r"^(val_)?loss", "loss"),
    (r"^val_.*(top\d|acc)", "accuracy, %"),
    (r"^val_(.*_)?(map|auc)$", "mAP, AUC"),
    (r"^val_.*dprime", "d'"),
    (r"^val_", "other scores"),
    (r"^lr$", "learning rate"),
)
COLUMNS = 3  # panels of a row, at most
CELLS = 6  # of a row in the grid: whole numbers of them for 1, 2 and 3 panels
SHOWN = 8  # maximum number of curves per panel
SMOOTH = 60  # longer curves are drawn smoothed, over the raw one in a light shade

Series = tuple[np.ndarray, np.ndarray]  # epochs (or steps), values


def curves_plot(
    records: Sequence[Mapping[str, object]], path: Path, *, title: str = "", metric: str | None = None
) -> Path:
    """Draw the lines of ``metrics.jsonl`` over epochs, or over steps if the training is shorter than two epochs.

    Values that are not finite are left out, and so are curves that say nothing: those with more values that are not
    finite than finite ones, and a Top-5 of always 100 %, as with at most five classes.

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
    fig = figure(*_size(len(panels), title))
    ends = [time for _, curves in panels for times, _ in curves.values() for time in (times[0], times[-1])]
    best = _best_step(records, metric)
    for axes, (label, curves) in zip(_grid(fig, len(panels)), panels, strict=True):
        _draw(axes, label, curves, f"val_{metric}", best)
        axes.set_xlabel(unit, fontsize=LABEL, color=INK)
        if min(ends) < max(ends):
            margin = 0.03 * (max(ends) - min(ends))
            axes.set_xlim(min(ends) - margin, max(ends) + margin)  # of all panels
    if not panels:
        fig.text(0.5, 0.5, "nothing recorded yet", fontsize=LABEL, ha="center", va="center", color=QUIET)
    if title:
        fig.suptitle(title, fontsize=TITLE, color=INK)
    return save(fig, path)


def _size(panels: int, title: str) -> tuple[float, float]:
    """Width and height of the figure, in inches."""
    rows, columns = _rows(panels), math.ceil(max(1, panels) / _rows(panels))
    return min(WIDE + 0.9, 4.4 * columns), 2.7 * rows + (0.4 if title else 0)


def _rows(panels: int) -> int:
    return max(1, math.ceil(panels / COLUMNS))


def _grid(fig: Figure, panels: int) -> Iterator[Axes]:
    """Create the panels in rows of at most three; each row fills the width, so that no cell is empty."""
    rows = _rows(panels)
    grid = fig.add_gridspec(rows, CELLS)
    for row in range(rows):
        count = panels // rows + (row < panels % rows)
        for column in range(count):
            yield fig.add_subplot(grid[row, column * CELLS // count : (column + 1) * CELLS // count])


def _series(records: Sequence[Mapping[str, object]]) -> tuple[dict[str, Series], str]:
    """Curves by key, and the unit of their horizontal axis."""
    points: dict[str, list[tuple[float, float]]] = {}
    for record in records:
        step = record.get("step")
        if isinstance(step, (int, float)):
            for key, value in record.items():
                number = math.nan if value is None else value  # JSON has no infinity: it is stored as null
                if isinstance(number, (int, float)) and not isinstance(number, bool):
                    points.setdefault(key, []).append((step, number))
    lines = {key: np.array(sorted(values)) for key, values in points.items()}
    last_step, last_epoch = lines.get("epoch", np.zeros((1, 2)))[-1]
    unit, scale = ("epoch", last_epoch / last_step) if last_epoch >= 2 else ("step", 1)
    found: dict[str, Series] = {}
    for key, line in lines.items():
        finite = np.isfinite(line[:, 1])
        if 2 * finite.sum() >= len(line) and not (key.endswith("top5") and (line[finite, 1] >= 100).all()):
            found[key] = scale * line[finite, 0], line[finite, 1]
    return found, unit


def _name(key: str) -> str:
    """Name of a curve in the legend.

    >>> _name("loss"), _name("val_loss"), _name("loss_verb"), _name("val_verb_top1")
    ('training', 'validation', 'training, verb', 'Verb Top-1')
    """
    part, _, labels = key.partition("loss")
    if part in ("", "val_") and part != key:
        return ("validation" if part else "training") + labels.replace("_", ", ", 1)
    return find_metric(key.removeprefix("val_")).title


def _best_step(records: Sequence[Mapping[str, Any]], metric: str | None) -> int | None:
    """Index among the validations of the best one: by its score, then by its loss, of equal ones the first."""
    key, found = f"val_{metric}", find_metric(metric or "top1")
    sign = 1 if found.higher_is_better else -1
    scores = [
        (sign * record[key], -(record.get("val_loss") or 0.0)) for record in records if record.get(key) is not None
    ]
    return scores.index(max(scores)) if scores else None


def _draw(axes: Axes, label: str, curves: Mapping[str, Series], metric: str, best: int | None) -> None:
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
        if key == metric and best is not None and best < len(values):
            _mark_best(axes, key, (times[best], values[best]), color)
    axes.set_ylabel(label, fontsize=LABEL, color=INK)
    axes.tick_params(labelsize=TICK)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.tick_params(labelsize=8)
    axes.margins(x=0.02)
    style_axes(axes, grid="y")
    if len(curves) > SHOWN:
        axes.set_title(f"the first {SHOWN} of {len(curves)}", fontsize=TICK, color=QUIET, loc="right")
    if label not in ("learning rate", "d'") or len(curves) > 1:
        axes.legend(fontsize=NOTE, frameon=False, ncols=1 + (len(curves) > 4), loc="best")


def _mark_best(axes: Axes, key: str, best: tuple[float, float], color: str) -> None:
    """Ring the best value (time and score), and write it above the panel."""
    found = find_metric(key.removeprefix("val_"))
    axes.plot(*best, "o", markersize=9, markerfacecolor="none", markeredgecolor=color, zorder=4)
    axes.set_title(f"best {best[1]:.{found.digits}f}", fontsize=TICK, color=color, loc="right", pad=3)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Average over a centered window of 1/40 of the curve, truncated at its ends."""
    half = max(1, len(values) // 80)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    center = np.arange(len(values))
    low, high = np.maximum(center - half, 0), np.minimum(center + half + 1, len(values))
    return np.asarray((sums[high] - sums[low]) / (high - low))
