"""What twice as much data costs: extraction and evaluation should take twice as long, starting a training no longer.

A corpus of short noises in the layout of VGG-Sound doubles four times and goes through all stages, each in processes of
its own; another one, of empty files and of shards in which nothing is written, doubles to hundreds of thousands, to see
how a training starts. Seconds are the least of some tries, memory is that of all processes of the command.

python tests/benchmarks/growth.py [FOLDER]        FOLDER: where the corpora go, or the temporary folder
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import invented
import numpy as np
from group_memory import watch

SOUNDING = tuple(250 << doubling for doubling in range(5))
LISTED = tuple(25_000 << doubling for doubling in range(5))
TRIES = 2
READERS = 4
CHILD = Path(__file__).with_name("growth_child.py")
PICTURE = Path(__file__).with_suffix(".png")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Measure a stage on a number of recordings.

    Attributes:
        seconds: On the clock.
        cpu: Of the first process, which a busy machine does not change.
        memory: MB of all its processes.
    """

    seconds: float
    cpu: float
    memory: int


def cost(kind: str, root: Path, shards: Path, *more: str, until: str = "done", tries: int = TRIES) -> Cost:
    """Run a stage some times."""
    found = []
    for _ in range(tries):
        if kind == "extract":
            shutil.rmtree(shards, ignore_errors=True)
        seen = watch([CHILD, kind, root, shards, *more])
        at, line = next((at, line) for at, line in seen.said if line.startswith(until))
        found.append(Cost(seconds=at, cpu=float(line.rpartition(" ")[2]), memory=seen.pss))
    return Cost(
        seconds=min(each.seconds for each in found),
        cpu=min(each.cpu for each in found),
        memory=max(each.memory for each in found),
    )


def sounding(folder: Path) -> dict[str, list[Cost]]:
    """All stages on sounds."""
    found: dict[str, list[Cost]] = {"extraction": [], "start of training": [], "evaluation": []}
    for count in SOUNDING:
        root, shards = folder / str(count) / "vggsound", folder / str(count) / "shards"
        invented.noises(root, count)
        workers = f"data.workers={READERS}"
        found["extraction"].append(cost("extract", root, shards, tries=1))
        found["start of training"].append(cost("train", root, shards, workers, until="first step"))
        found["evaluation"].append(cost("evaluate", root, shards, "data.workers=0", tries=1))
        print(count, *(f"{name} {costs[-1]}" for name, costs in found.items()), sep="\n  ", flush=True)
        shutil.rmtree(folder / str(count))
    return found


def listed(folder: Path) -> dict[str, list[Cost]]:
    """The start of a training on recordings that are only listed, first without an index, then with one."""
    found: dict[str, list[Cost]] = {"start without an index": [], "start of training": []}
    for count in LISTED:
        root, shards = folder / str(count) / "vggsound", folder / str(count) / "shards"
        invented.placeholders(root, shards, count)
        words = ("train", root, shards, f"data.workers={READERS}")
        found["start without an index"].append(cost(*words, until="first step", tries=1))
        found["start of training"].append(cost(*words, until="first step"))
        print(count, *(f"{name} {costs[-1]}" for name, costs in found.items()), sep="\n  ", flush=True)
        shutil.rmtree(folder / str(count))
    return found


def factors(values: list[float]) -> str:
    """From each value to the next."""
    return "  ".join(f"x{after / before:.2f}" for before, after in pairwise(values))


def show(title: str, counts: tuple[int, ...], costs: list[Cost]) -> None:
    """Print what a stage costs, by what factor it grows, and how fast once what it always costs is taken off."""
    for name, values in (
        ("seconds", [each.seconds for each in costs]),
        ("seconds of CPU", [each.cpu for each in costs]),
        ("MB", [float(each.memory) for each in costs]),
    ):
        each, fixed = np.polyfit(counts, values, 1)
        rest = [value - fixed for value in values]
        slope = np.polyfit(np.log(counts[1:]), np.log(rest[1:]), 1)[0] if min(rest[1:]) > 0 else float("nan")
        print(
            f"{title:24}{name:15}{'  '.join(f'{value:8.1f}' for value in values)}   {factors(values)}   "
            f"{1e3 * each:.3g} more a thousand beyond {fixed:.1f}, slope of that {slope:.2f}"
        )


def draw(path: Path, parts: dict[str, tuple[tuple[int, ...], list[Cost]]]) -> None:
    """Work and memory over recordings, both axes by factors; work is CPU time, which a busy machine changes less."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    for axes, unit, values in zip(
        figure.subplots(1, 2),
        ("CPU seconds of the first process", "MB in all processes, shared pages once"),
        (lambda each: each.cpu, lambda each: each.memory),
        strict=True,
    ):
        for name, (counts, costs) in parts.items():
            axes.plot(counts, [values(each) for each in costs], "o-", label=name, markersize=4)
        axes.set(xscale="log", yscale="log", xlabel="recordings", ylabel=unit)
        axes.grid(visible=True, which="both", alpha=0.25)
    seconds = figure.axes[0]
    ends = np.array([SOUNDING[0], SOUNDING[-1]])
    first = parts["extraction"][1][-1].cpu / SOUNDING[-1]
    seconds.plot(ends, first * ends, ":", color="grey", label="twice the data, twice the work")
    figure.axes[1].set_ylim(100, 4000)
    figure.legend(*seconds.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    figure.suptitle(f"What more data costs, on {len(os.sched_getaffinity(0))} cores")
    figure.savefig(path, dpi=110)


def report(sounds: dict[str, list[Cost]], lists: dict[str, list[Cost]]) -> None:
    """Print and draw."""
    print(f"\nsounds of 2 s: {SOUNDING}; half of them are tested")
    for title, costs in sounds.items():
        show(title, SOUNDING, costs)
    print(f"listed: {LISTED}; {READERS} reading workers")
    for title, costs in lists.items():
        show(title, LISTED, costs)
    parts = {f"{title}, sounds": (SOUNDING, costs) for title, costs in sounds.items()}
    parts = {"extraction": parts.pop("extraction, sounds"), "evaluation": parts.pop("evaluation, sounds"), **parts}
    parts |= {f"{title}, listed": (LISTED, costs) for title, costs in lists.items()}
    draw(PICTURE, parts)


def main() -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        sounds, lists = sounding(Path(name)), listed(Path(name))
    report(sounds, lists)


if __name__ == "__main__":
    main()
