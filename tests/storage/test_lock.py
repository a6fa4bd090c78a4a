"""A lock that forked workers do not keep."""

import os
import signal
import time

import pytest

from slowfast_cli.storage import lock


def test_one_at_a_time(tmp_path):
    with (tmp_path / ".lock").open("w") as one, (tmp_path / ".lock").open("w") as other:
        assert lock.take(one.fileno())
        assert not lock.take(other.fileno())
        lock.forget(one.fileno())
        one.close()
        assert lock.take(other.fileno())
        lock.forget(other.fileno())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_worker_that_outlives_its_parent_does_not_hold_it(tmp_path):
    path = tmp_path / ".lock"
    parent = os.fork()
    if not parent:
        file = path.open("w")
        held = lock.take(file.fileno())
        worker = os.fork()
        if not worker:
            time.sleep(60)
            os._exit(0)
        (tmp_path / "worker").write_text(f"{worker} {held}\n")
        time.sleep(60)
        os._exit(0)
    while not (tmp_path / "worker").is_file() or not (tmp_path / "worker").read_text().endswith("\n"):
        time.sleep(0.01)
    worker, held = (tmp_path / "worker").read_text().split()
    with path.open("w") as file:
        assert (held, lock.take(file.fileno())) == ("True", False)
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        try:
            os.kill(int(worker), 0)  # it is there still
            assert lock.take(file.fileno())
        finally:
            os.kill(int(worker), signal.SIGKILL)
            lock.forget(file.fileno())
