"""Work in a thread that a program does not wait for when it ends."""

import ctypes
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

Result = TypeVar("Result")


def in_background(work: Callable[[], Result]) -> Future[Result]:
    """Start work in a thread, which has none of the caller's modes, such as autocast.

    At the end of the program the thread gets a `SystemExit`, so that it cleans up and ends. A daemon thread would be
    cut off instead, within C++ code that aborts the process.
    """
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # handed to whoever asks for the result
            future.set_exception(error)

    thread = Thread(target=run, name="convert")
    thread.start()
    threading._register_atexit(_stop, thread)  # type: ignore[attr-defined]  # before threads are waited for
    return future


def _stop(thread: Thread) -> None:
    if thread.is_alive():
        report = sys.unraisablehook  # the exit may come in a callback of the garbage collector, which reports it
        sys.unraisablehook = lambda raised: None if raised.exc_type is SystemExit else report(raised)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))
