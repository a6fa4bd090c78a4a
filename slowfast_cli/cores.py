"""The cores that this process may use."""

import os


def usable_cores() -> int:
    """Cores on which the system lets this process run, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
