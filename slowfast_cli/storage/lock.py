"""File locks that end with the process that holds them, on POSIX and on Windows."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

_HELD: set[int] = set()  # descriptors
_TAKEN = (errno.EAGAIN, errno.EACCES)  # of a lock that another process holds
PAUSE = 0.1  # seconds between attempts; a thread that waits inside the system call cannot be interrupted


@contextmanager
def file_lock(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold an exclusive lock on a file, which then contains the process id; a symbolic link is refused.

    Forked workers inherit descriptors and with them the lock, and would keep it for seconds after their parent was
    killed: they close them as they start.

    Args:
        path: The lock file; created if needed, in an existing folder.
        wait: Wait for another holder instead of giving up.

    Yields:
        Whether the lock was obtained.

    Raises:
        OSError: The file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    try:
        while (obtained := _lock(descriptor)) is None and wait:
            time.sleep(PAUSE)
        if obtained:
            _HELD.add(descriptor)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
        yield bool(obtained)
    finally:
        _HELD.discard(descriptor)
        os.close(descriptor)  # releases the lock


def lock_holder(path: Path) -> str:
    """Process id of the holder of a lock, for messages."""
    with suppress(OSError):
        return path.read_text(encoding="ascii", errors="replace").strip() or "unknown"
    return "unknown"


def _lock(descriptor: int) -> bool | None:
    """Whether the lock was obtained; None if another process holds it, False if the file system has no locks."""
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        return None if error.errno in _TAKEN else False
    return True


def _release_in_child() -> None:
    for descriptor in _HELD:
        with suppress(OSError):
            os.close(descriptor)
    _HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)
