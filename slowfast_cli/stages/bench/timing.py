"""The result of a measurement: repetitions of one setting."""

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import torch

from slowfast_cli.build.clips import cores
from slowfast_cli.types import Seconds

PERCENTILES = (50, 90, 99)
CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
RESET_PEAK = "5"  # written to CLEAR_REFS


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Repetitions of the same work with the same settings."""

    settings: dict[str, str]
    """Names and values of what was varied."""
    clips: int = 0
    """Clips, or files, of one repetition."""
    seconds: tuple[Seconds, ...] = ()
    """Duration of each repetition."""
    stages: dict[str, Seconds] = field(default_factory=dict)
    """Time of each stage of one repetition, where the stages were measured."""
    data_wait: float | None = None
    """Share of the time spent waiting for data; None without data."""
    memory: int | None = None
    """Peak bytes on the device, or of the process on a CPU; None if unknown."""
    problem: str = ""
    """Why there is no measurement; empty if there is."""

    @property
    def rate(self) -> float:
        """Clips per second."""
        return self.clips * len(self.seconds) / sum(self.seconds) if self.seconds else 0.0

    def percentile(self, percent: int) -> Seconds:
        """Duration that this share of the repetitions does not exceed.

        >>> Timing(settings={}, clips=1, seconds=(1.0, 2.0, 3.0)).percentile(50)
        2.0
        """
        if len(self.seconds) < 2:
            return sum(self.seconds)
        return quantiles(self.seconds, n=100, method="inclusive")[percent - 1]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: rate per second, latencies and stages in milliseconds."""
        latency = {f"p{percent}_ms": 1e3 * self.percentile(percent) for percent in PERCENTILES}
        return {
            **self.settings,
            "clips_per_second": self.rate,
            **(latency if len(self.seconds) > 1 else {}),
            "repetitions": len(self.seconds),
            "stages_ms": {name: 1e3 * seconds for name, seconds in self.stages.items()},
            "data_wait": self.data_wait,
            "memory_bytes": self.memory,
            "problem": self.problem,
        }


def synchronize(at: torch.device) -> None:
    """Wait for the device."""
    if at.type == "cuda":
        torch.cuda.synchronize(at)


def repeat(work: Callable[[], object], at: torch.device, *, rounds: int, warm_up: int = 2) -> tuple[Seconds, ...]:
    """Time repetitions of some work, each until the device has finished it, after some that do not count."""
    times = []
    for number in range(warm_up + rounds):
        synchronize(at)
        start = time.perf_counter()
        work()
        synchronize(at)
        if number >= warm_up:
            times.append(time.perf_counter() - start)
    return tuple(times)


def time_stages(stages: Mapping[str, Callable[[], object]], at: torch.device, rounds: int) -> dict[str, Seconds]:
    """Median time of each stage; they run in order, again and again."""
    times: dict[str, list[Seconds]] = {name: [] for name in stages}
    for _ in range(rounds):
        for name, work in stages.items():
            times[name] += repeat(work, at, rounds=1, warm_up=0)
    return {name: sorted(values)[len(values) // 2] for name, values in times.items()}


def reset_peak_memory(at: torch.device) -> None:
    """Start a new measurement of the peak."""
    if at.type == "cuda":
        torch.cuda.reset_peak_memory_stats(at)
    elif CLEAR_REFS.exists():
        CLEAR_REFS.write_text(RESET_PEAK)


def peak_memory(at: torch.device) -> int | None:
    """Peak bytes since the reset: allocated on a GPU, resident in this process on a CPU; None if unknown."""
    if at.type == "cuda":
        return torch.cuda.max_memory_allocated(at)
    if not CLEAR_REFS.exists():
        return None
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if ":" in line)
    return int(lines["VmHWM"].split()[0]) * 1024


def machine() -> str:
    """Describe the machine: GPU, cores, processor, torch."""
    facts = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    chip = next((line.partition(":")[2].strip() for line in facts.splitlines() if line.startswith("model name")), "")
    cpu = f"{cores()} cores of {chip or platform.machine()}, torch {torch.__version__}"
    return f"{torch.cuda.get_device_name()}, {cpu}" if torch.cuda.is_available() else cpu
