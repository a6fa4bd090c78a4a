"""What the benchmarks share: sides in turn, times of work on any device, and a table of stages beside their floors.

Floors are measured in the same run: bytes over the bandwidth of a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch

from slowfast_cli.stages.bench import timing

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def seconds(work: Callable[[], object], *, device: torch.device = DEVICE, rounds: int = 10) -> float:
    """Median time of some work, the device's included, after two rounds that do not count."""
    return median(timing.repeat(work, device, rounds=rounds))


def alternate(
    sides: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Time of each side in each round; they take turns, and a first round does not count."""
    spent: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(rounds + 1):
        for side, work in sides.items():
            began = clock()
            work()
            if number:
                spent[side].append(clock() - began)
    return spent


def bandwidth(device: torch.device = DEVICE) -> float:
    """Bytes a second that a copy within memory reads and writes."""
    size = 1 << (30 if device.type == "cuda" else 27)
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / seconds(lambda: target.copy_(source), device=device)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of a path: what it takes, and the least that this machine could take for it, both in seconds."""

    took: float
    floor: float | None = None
    why: str = ""


def show(title: str, stages: Mapping[str, Stage], *, unit: str = "ms", scale: float = 1e3) -> None:
    """Print the stages of a path: time, share of all of them, floor and its reason."""
    whole = sum(each.took for each in stages.values())
    print(f"{title}: {whole * scale:.3g} {unit}")
    for stage, each in stages.items():
        floor = f"floor {each.floor * scale:9.4f}  {each.why}" if each.floor is not None else ""
        print(f"  {stage:22}{each.took * scale:9.3f} {unit} {each.took / whole:5.0%}  {floor}".rstrip())
