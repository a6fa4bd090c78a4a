"""Reconnect a live source after a dropped connection, with exponential backoff."""

from collections.abc import Callable, Iterator
from threading import Event
from typing import TypeVar

from slowfast_cli.types import Seconds, StreamError

Block = TypeVar("Block")
FIRST: Seconds = 0.5
LONGEST: Seconds = 30.0
ATTEMPTS = 10  # in a row; about 150 s together


def reconnecting(
    connect: Callable[[], Iterator[Block]], name: str, say: Callable[[str], None], closed: Event
) -> Iterator[Block]:
    """Yield the blocks of a source; connect again, after growing pauses, whenever its connection drops.

    Args:
        connect: Opens a connection and yields its blocks. It raises `StreamError` if the connection cannot be opened or
            drops, and returns at the end of the source.
        name: For messages.
        say: Prints a remark.
        closed: Ends the attempts once it is set.

    Raises:
        StreamError: The first connection failed, or `ATTEMPTS` in a row after a drop.
    """
    received, failures = False, 0
    while not closed.is_set():
        try:
            for block in connect():
                if failures:
                    say(f"{name}: connected again")
                received, failures = True, 0
                yield block
            return
        except StreamError as error:
            if closed.is_set():
                return
            if not received:
                raise
            failures += 1
            if failures > ATTEMPTS:
                raise StreamError(f"{error}; {ATTEMPTS} attempts to connect again failed") from error
            pause = min(FIRST * 2 ** (failures - 1), LONGEST)
            say(f"{error}; attempt {failures} of {ATTEMPTS} to connect again in {pause:g} s")
            closed.wait(pause)
