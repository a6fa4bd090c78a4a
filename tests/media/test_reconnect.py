"""Reconnection: backoff that grows, words, an end of the attempts."""

from threading import Event

import numpy as np
import pytest

from slowfast_cli.media import reconnect
from slowfast_cli.media.reconnect import ATTEMPTS, reconnecting
from slowfast_cli.types import DataError, StreamError


class Clock(Event):
    """An event whose waits take no time and are recorded."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def wait(self, timeout=None):
        self.waits.append(timeout)
        return self.is_set()


def script(*connections):
    """Connections of blocks; one that contains an error drops there."""
    waiting = iter(connections)

    def connect():
        for block in next(waiting):
            if isinstance(block, Exception):
                raise block
            yield np.full(1, block, np.float32)

    return connect


def run(connect, closed=None):
    said, clock = [], closed or Clock()
    blocks = [float(block[0]) for block in reconnecting(connect, "radio", said.append, clock)]
    return blocks, said, clock.waits


DROP = StreamError("radio: connection lost (reset)")


def test_a_drop_reconnects_and_says_so():
    blocks, said, waits = run(script([1, 2, DROP], [DROP], [3, DROP], [4]))
    assert blocks == [1, 2, 3, 4]
    assert waits == [0.5, 1.0, 0.5]
    assert said == [
        f"radio: connection lost (reset); attempt 1 of {ATTEMPTS} to connect again in 0.5 s",
        f"radio: connection lost (reset); attempt 2 of {ATTEMPTS} to connect again in 1 s",
        "radio: connected again",
        f"radio: connection lost (reset); attempt 1 of {ATTEMPTS} to connect again in 0.5 s",
        "radio: connected again",
    ]


def test_the_first_connection_has_to_succeed():
    with pytest.raises(StreamError, match="reset"):
        run(script([DROP]))


def test_attempts_end_and_pauses_are_bounded():
    clock = Clock()
    with pytest.raises(StreamError, match=f"{ATTEMPTS} attempts to connect again failed") as failed:
        run(script([1, DROP], *[[DROP]] * ATTEMPTS), clock)
    assert failed.value.code == 4
    assert clock.waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30]
    assert sum(clock.waits) == pytest.approx(150, abs=5)
    assert max(clock.waits) == reconnect.LONGEST


def test_other_errors_are_not_retried():
    with pytest.raises(DataError, match="no audio"):
        run(script([1, DataError("no audio")]))


def test_a_closed_source_is_not_connected_again():
    clock = Clock()

    def connect():
        yield np.zeros(1, np.float32)
        clock.set()
        raise DROP

    assert run(connect, clock) == ([0.0], [], [])
