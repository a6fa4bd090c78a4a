"""File locks, which forked workers do not keep."""

import ctypes
import os
import signal
import time
from threading import Event, Thread

import pytest

from slowfast_cli.storage.lock import file_lock, lock_holder


def test_a_lock_has_one_holder(tmp_path):
    path = tmp_path / ".lock"
    with file_lock(path) as first:
        with file_lock(path) as second:
            assert (first, second) == (True, False)
        assert lock_holder(path) == str(os.getpid())
    with file_lock(path) as third:
        assert third


def test_a_thread_that_waits_can_be_stopped(tmp_path):
    """As the end of a program stops the thread that converts a network; one that waits in flock does not hear of it."""
    stopped, path = Event(), tmp_path / ".lock"

    def wait():
        try:
            with file_lock(path, wait=True):
                pass
        except SystemExit:
            stopped.set()

    with file_lock(path):
        thread = Thread(target=wait)
        thread.start()
        while not stopped.wait(0.05):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
    thread.join()


def test_a_symbolic_link_is_refused(tmp_path):
    (tmp_path / "precious").write_text("text")
    (tmp_path / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError), file_lock(tmp_path / ".lock"):
        pass
    assert (tmp_path / "precious").read_text() == "text"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_worker_that_outlives_its_parent_releases_the_lock(tmp_path):
    path = tmp_path / ".lock"
    parent = os.fork()
    if not parent:
        with file_lock(path) as obtained:
            worker = os.fork()
            if not worker:
                time.sleep(60)
                os._exit(0)
            (tmp_path / "worker").write_text(f"{worker} {obtained}\n")
            time.sleep(60)
        os._exit(0)
    while not (tmp_path / "worker").is_file() or not (tmp_path / "worker").read_text().endswith("\n"):
        time.sleep(0.01)
    worker, obtained = (tmp_path / "worker").read_text().split()
    with file_lock(path) as taken:
        assert (obtained, taken) == ("True", False)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    try:
        os.kill(int(worker), 0)  # it is still running
        with file_lock(path) as taken:
            assert taken
    finally:
        os.kill(int(worker), signal.SIGKILL)
