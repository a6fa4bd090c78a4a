"""A lock that dies with the process that took it."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

_HELD: set[int] = set()  # descriptors


def take(descriptor: int) -> bool:
    """Lock an open file for this process alone; whether nobody else had.

    A lock of `flock` is held by forked processes too: workers that read data would keep it for seconds after their
    parent was killed, and the run that takes its place would be turned away. They let go of it as they start.

    Args:
        descriptor: Of the file; closing it unlocks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    _HELD.add(descriptor)
    return True


def forget(descriptor: int) -> None:
    """Let a lock go that is about to be closed."""
    _HELD.discard(descriptor)


def _let_go() -> None:
    for descriptor in _HELD:
        with suppress(OSError):
            os.close(descriptor)
    _HELD.clear()


os.register_at_fork(after_in_child=_let_go)
