"""A command watched from outside: when it says what, and the memory of all its processes together.

A page that several processes share counts once: memory is the PSS of all, see `memory_of`. Linux only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

EVERY = 0.1  # second from one look at the memory to the next


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A command that has ended.

    Attributes:
        seconds: It took.
        said: When it printed which line, in seconds from its start.
        rss: The most that its first process held, MB.
        pss: The most that all its processes held, MB.
    """

    seconds: float
    said: list[tuple[float, str]]
    rss: int
    pss: int


def watch(words: Sequence[object], **environment: str) -> Watched:
    """Run Python with some words, to its end, and look at its memory meanwhile."""
    began = time.monotonic()
    said: list[tuple[float, str]] = []
    child = subprocess.Popen(
        [sys.executable, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **environment},
        start_new_session=True,
    )
    complaints: list[str] = []
    workers = [
        threading.Thread(target=lambda: said.extend((time.monotonic() - began, each.strip()) for each in child.stdout)),
        threading.Thread(target=lambda: complaints.extend(child.stderr)),
    ]
    for reader in workers:
        reader.start()
    rss = pss = 0
    while child.poll() is None:
        rss, pss = max(rss, _field(child.pid, "status", "VmHWM:")), max(pss, together(child.pid))
        time.sleep(EVERY)
    seconds = time.monotonic() - began
    for reader in workers:
        reader.join()
    if child.returncode:
        raise SystemExit(f"{words}: exit code {child.returncode}\n{''.join(complaints)[-3000:]}")
    return Watched(seconds=seconds, said=said, rss=rss >> 10, pss=pss >> 10)


def group(leader: int) -> list[int]:
    """The processes of a session, which all that a command starts are in."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[3]) == leader:
                found.append(int(stat.parent.name))
        except (OSError, ValueError):
            continue
    return found


def together(leader: int) -> int:
    """Memory of all processes of a session, kB; 0 where some came or went meanwhile, whose pages might count twice."""
    before = group(leader)
    held = memory_of(before)
    return held if group(leader) == before else 0


def memory_of(processes: Sequence[int]) -> int:
    """Memory of some processes, kB: what they share counts once.

    Pages of files are shared with other programs too, so of those PSS would depend on what else runs: they count as in
    the process that has most of them.
    """
    own = sum(_field(each, "smaps_rollup", f"Pss_{kind}:") for each in processes for kind in ("Anon", "Shmem"))
    return own + max((_field(each, "status", "RssFile:") for each in processes), default=0)


def _field(process: int, file: str, name: str) -> int:
    try:
        lines = Path(f"/proc/{process}/{file}").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)
