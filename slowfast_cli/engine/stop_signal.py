"""Stopping a training after the same step in all its processes, although each hears of it at a moment of its own."""

from __future__ import annotations

from itertools import count

from slowfast_cli.engine import distributed

_REQUESTED: list[int] = []  # a signal is the whole process's, so this is too
_TRAININGS = count()


def request() -> None:
    """Note that this process is asked to stop."""
    _REQUESTED.append(1)


def clear() -> None:
    """Ask no more."""
    _REQUESTED.clear()


class StopAgreement:
    """When the processes of one training stop; every process makes one for each of its trainings, in their order.

    The first that is asked to stop names a step that none can have begun yet, and all look for such a word after each
    step. It takes no collective: those who ask and those who do not would have to be at the same point of their work.

    Args:
        ahead: Steps that a process may begin before another has begun the first of them.
    """

    def __init__(self, ahead: int) -> None:
        self._key, self._ahead = f"stop-{next(_TRAININGS)}", ahead

    def reached(self, done: int) -> bool:
        """Whether all stop after so many steps; of a process that is alone never, whose caller stops it."""
        if not distributed.STATUS_STORE:
            return False
        board = distributed.STATUS_STORE[0]
        if _REQUESTED:
            board.compare_set(self._key, "", str(done + self._ahead + 1))
        return board.check([self._key]) and done >= int(board.get(self._key))
