"""Stopping all processes of a training after the same step, although each gets the signal at another moment."""

from itertools import count

from slowfast_cli.engine import distributed

_REQUESTED: list[int] = []  # signals are per process, and so is this
_TRAININGS = count()


def request() -> None:
    """Request that this process stops."""
    _REQUESTED.append(1)


def clear() -> None:
    """Withdraw the request."""
    _REQUESTED.clear()


class StopAgreement:
    """Agreement of the processes of a training on the step to stop after; one per training, made in the same order.

    The first process with a request publishes a step that none can have started, as none is more than ``ahead`` steps
    ahead; all look for it after each step. It needs no collective, which would require all to be at the same point.
    """

    def __init__(self, ahead: int) -> None:
        self._key, self._ahead = f"stop-{next(_TRAININGS)}", ahead

    def reached(self, done: int) -> bool:
        """Whether all stop after this number of steps; False for a single process, which its caller stops."""
        if not distributed.STATUS_STORE:
            return False
        store = distributed.STATUS_STORE[0]
        if _REQUESTED:
            store.compare_set(self._key, "", str(done + self._ahead + 1))
        return store.check([self._key]) and done >= int(store.get(self._key))
