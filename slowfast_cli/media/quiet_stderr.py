"""Keep what C libraries print to stderr off the terminal."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Discard what C code prints to the stream `stderr`; file descriptor 2, and so Python's output, stays as it is.

    libmpg123 prints about every damaged frame, and libsndfile has no option against it. Other threads may end the
    silence early, which costs a line of output. Without effect where the C library has no symbol for the stream.
    """
    streams = _streams()
    if streams is None:
        yield
        return
    stream, terminal, null = streams
    stream.value = null
    try:
        yield
    finally:
        stream.value = terminal


@lru_cache(maxsize=1)
def _streams() -> tuple[Any, int, int] | None:
    """Return the variable that holds the stream, its value, and a stream that discards everything."""
    try:
        library = ctypes.CDLL(None)
        stream = ctypes.c_void_p.in_dll(library, "stderr")
        library.fopen.restype = ctypes.c_void_p
        null = library.fopen(b"/dev/null", b"w")
    except (AttributeError, OSError, TypeError, ValueError):
        return None
    return (stream, stream.value, null) if stream.value and null else None
