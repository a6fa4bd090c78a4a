"""How CPU time and memory grow with the corpus: extraction and evaluation linearly, the start of a training hardly.

A corpus of short noises in the layout of VGG-Sound doubles six times and goes through all stages, each in processes of
its own. Another one, of empty files and of shards without contents, grows to 400,000 recordings to measure how a
training starts. CPU time is the least of the tries, memory is that of all processes of the command.

python tests/benchmarks/growth.py [FOLDER]        FOLDER: where the corpora go, or the temporary folder
python tests/benchmarks/growth.py --draw          only draw the figures of growth.csv
"""

from __future__ import annotations

import csv
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path

import invented
import numpy as np
from group_memory import watch
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from slowfast_cli.plots.canvas import COLORS, INK, QUIET, figure, save, style_axes

SOUNDING = tuple(250 << doubling for doubling in range(7))
LISTED = (250, 1_000, 4_000, 10_000, *(25_000 << doubling for doubling in range(5)))
STAGES = ("extraction", "evaluation", "start of training without an index", "start of training")
TRIES = 2
READERS = 4
CHILD = Path(__file__).with_name("growth_child.py")
FIGURES = Path(__file__).with_suffix(".csv")
PICTURE = Path(__file__).parents[2] / "docs" / "images" / "growth.png"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A stage on a number of recordings."""

    stage: str
    recordings: int
    cpu: float
    """CPU seconds of the first process, which a busy machine changes less."""
    memory: int
    """MB of all processes, shared pages counted once."""


def cost(stage: str, count: int, kind: str, root: Path, shards: Path, *more: str, until: str, tries: int) -> Cost:
    """Run a stage some times, until the first line that begins with ``until``."""
    found = []
    for _ in range(tries):
        if kind == "extract":
            shutil.rmtree(shards, ignore_errors=True)
        seen = watch([CHILD, kind, root, shards, *more])
        line = next(line for _, line in seen.said if line.startswith(until))
        found.append((float(line.rpartition(" ")[2]), seen.pss))
    cpu, memory = zip(*found, strict=True)
    result = Cost(stage=stage, recordings=count, cpu=round(min(cpu), 2), memory=max(memory))
    print(result, flush=True)
    return result


def sounding(folder: Path) -> list[Cost]:
    """Extraction and evaluation, of sounds of 2 s; half of the recordings are the test split."""
    found = []
    for count in SOUNDING:
        root, shards = folder / str(count) / "vggsound", folder / str(count) / "shards"
        invented.noises(root, count)
        found.append(cost("extraction", count, "extract", root, shards, until="done", tries=1))
        words = ("evaluate", root, shards, "data.workers=0")
        found.append(cost("evaluation", count, *words, until="done", tries=1))
        shutil.rmtree(folder / str(count))
    return found


def listed(folder: Path) -> list[Cost]:
    """The start of a training on recordings that are only listed, first without an index, then with one."""
    found = []
    for count in LISTED:
        root, shards = folder / str(count) / "vggsound", folder / str(count) / "shards"
        invented.placeholders(root, shards, count)
        words = ("train", root, shards, f"data.workers={READERS}")
        found.append(cost("start of training without an index", count, *words, until="first step", tries=1))
        found.append(cost("start of training", count, *words, until="first step", tries=TRIES))
        shutil.rmtree(folder / str(count))
    return found


def factors(values: list[float]) -> str:
    """From each value to the next."""
    return "  ".join(f"x{after / before:.2f}" for before, after in pairwise(values))


def show(stage: str, costs: list[Cost]) -> None:
    """Print what a stage costs, by what factor it grows, and the slope beyond its fixed cost."""
    counts = [each.recordings for each in costs]
    for name, values in (
        ("seconds of CPU", [each.cpu for each in costs]),
        ("MB", [float(each.memory) for each in costs]),
    ):
        each, fixed = np.polyfit(counts, values, 1)
        rest = [value - fixed for value in values]
        slope = np.polyfit(np.log(counts[1:]), np.log(rest[1:]), 1)[0] if min(rest[1:]) > 0 else float("nan")
        print(
            f"{stage:36}{name:15}{'  '.join(f'{value:8.1f}' for value in values)}   {factors(values)}   "
            f"{1e3 * each:.3g} more a thousand beyond {fixed:.1f}, slope of that {slope:.2f}"
        )


def by_stage(costs: list[Cost]) -> dict[str, list[Cost]]:
    """Group by stage, in the order of recordings."""
    found: dict[str, list[Cost]] = {}
    for each in sorted(costs, key=lambda each: each.recordings):
        found.setdefault(each.stage, []).append(each)
    return dict(sorted(found.items(), key=lambda item: STAGES.index(item[0])))


def draw(path: Path, costs: list[Cost], cores: int) -> Path:
    """Draw CPU time and memory over recordings, on logarithmic axes; returns ``path``."""
    fig = figure(10, 4.6)
    panels = fig.subplots(1, 2)
    units: tuple[tuple[str, Callable[[Cost], float]], ...] = (
        ("CPU time of the first process, s", lambda each: each.cpu),
        ("memory of all processes, MB", lambda each: each.memory),
    )
    for axes, (unit, value) in zip(panels, units, strict=True):
        for color, (stage, found) in zip(COLORS, by_stage(costs).items(), strict=False):
            counts, values = [each.recordings for each in found], [value(each) for each in found]
            wide = stage.endswith("index")  # lies below the curve with an index, nearly at the same values
            axes.plot(
                counts,
                values,
                "o-",
                label=stage,
                color=color,
                markersize=6.5 if wide else 4,
                linewidth=3.2 if wide else 1.6,
            )
        axes.set(xscale="log", yscale="log")
        axes.set_xlabel("recordings", fontsize=9, color=INK)
        axes.set_ylabel(unit, fontsize=9, color=INK)
        plain_ticks(axes.xaxis, (1,))
        plain_ticks(axes.yaxis, (1, 2, 5))
        axes.tick_params(labelsize=8)
        style_axes(axes, grid="both")
    work = by_stage(costs)["extraction"]
    ends = np.array([work[0].recordings, work[-1].recordings])
    panels[0].plot(
        ends, work[-1].cpu / ends[-1] * ends, ":", color=QUIET, linewidth=1.4, label="proportional to the recordings"
    )
    low, high = panels[1].get_ylim()
    panels[1].set_ylim(min(low, 100), max(high, 1000))
    handles, names = panels[0].get_legend_handles_labels()
    fig.legend(handles, names, loc="outside lower center", ncols=3, fontsize=8.5, frameon=False)
    fig.suptitle(f"CPU time and memory by corpus size, {cores} cores", fontsize=11, color=INK)
    return save(fig, path)


def plain_ticks(axis: Axis, digits: tuple[int, ...]) -> None:
    """Label a logarithmic axis with whole numbers, at some digits of each power of ten."""
    axis.set_major_locator(LogLocator(subs=digits))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def write(path: Path, costs: list[Cost], cores: int) -> None:
    """Write the figures as a table, which `read` reads."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, [*(field.name for field in fields(Cost)), "cores"], lineterminator="\n")
        table.writeheader()
        table.writerows({**asdict(each), "cores": cores} for each in costs)


def read(path: Path) -> tuple[list[Cost], int]:
    """Read the figures, and the number of cores of the machine."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    costs = [
        Cost(
            stage=row["stage"],
            recordings=int(row["recordings"]),
            cpu=float(row["cpu"]),
            memory=int(row["memory"]),
        )
        for row in rows
    ]
    return costs, int(rows[0]["cores"])


def main() -> None:
    """Measure, unless only a picture is wanted, and report."""
    if sys.argv[1:] != ["--draw"]:
        with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
            measured = [*sounding(Path(name)), *listed(Path(name))]
        write(FIGURES, measured, len(os.sched_getaffinity(0)))
    costs, cores = read(FIGURES)
    for stage, found in by_stage(costs).items():
        show(stage, found)
    draw(PICTURE, costs, cores)


if __name__ == "__main__":
    main()
