"""What the benchmarks share: the machine's own limits, times of work on any device, and a table of stages.

Floors are measured in the same run: bytes over the bandwidth of a copy, operations over the rate of a matrix product.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def name() -> str:
    """The machine, in words."""
    reported = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    chip = next((line.partition(":")[2].strip() for line in reported.splitlines() if line.startswith("model name")), "")
    cpu = f"{len(os.sched_getaffinity(0))} cores of {chip or platform.machine()}, torch {torch.__version__}"
    return f"{torch.cuda.get_device_name()}, {cpu}" if DEVICE.type == "cuda" else cpu


def synchronise(device: torch.device = DEVICE) -> None:
    """Wait for a device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], *, device: torch.device = DEVICE, rounds: int = 10) -> float:
    """Median time of some work, the device's included, after two rounds that do not count."""
    times = []
    for number in range(rounds + 2):
        synchronise(device)
        began = time.perf_counter()
        work()
        synchronise(device)
        if number > 1:
            times.append(time.perf_counter() - began)
    return median(times)


def bandwidth(device: torch.device = DEVICE) -> float:
    """Bytes a second that a copy within memory reads and writes."""
    size = 1 << (30 if device.type == "cuda" else 27)
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / seconds(lambda: target.copy_(source), device=device)


def uplink(device: torch.device = DEVICE) -> float:
    """Bytes a second from the host's page-locked memory to the device."""
    if device.type != "cuda":
        return bandwidth(device)
    source = torch.ones(1 << 28, dtype=torch.uint8, pin_memory=True)
    target = torch.empty_like(source, device=device)
    return source.numel() / seconds(lambda: target.copy_(source, non_blocking=True), device=device)


def rate(dtype: torch.dtype, device: torch.device = DEVICE) -> float:
    """Multiply-adds a second of a large matrix product of random numbers."""
    size = 8192 if device.type == "cuda" else 1024
    size = size // 2 if dtype == torch.float64 else size
    left = torch.randn(size, size, device=device, dtype=torch.float32).to(dtype)
    right = torch.randn(size, size, device=device, dtype=torch.float32).to(dtype)
    return size**3 / seconds(lambda: left @ right, device=device, rounds=5)


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
