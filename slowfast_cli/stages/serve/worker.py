"""A process that predicts one upload at a time, and is replaced if it takes too long or dies.

Uploads are decoded there only: a file that crashes or blocks a decoder ends this process, not the server.
"""

import multiprocessing
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

from slowfast_cli.stages.serve.limits import CrashError, Limits, TimeLimitError
from slowfast_cli.stages.serve.request import Answer, Model, Request
from slowfast_cli.types import SlowFastError

START = 300.0  # seconds in which the weights have to be loaded


class Predicts(Protocol):
    """Answers requests; `Worker` does so in a process of its own."""

    model: Model

    def ask(self, request: Request) -> Answer:
        """Answer a request, or wait until the one in progress is answered.

        Raises:
            SlowFastError: The file cannot be used, or the limits are exceeded.
        """


class Worker:
    """Predicts in a process of its own, one request at a time.

    Args:
        weights: The weight file.
        name: What the page calls the weights.
        device: ``auto``, ``cpu``, ``cuda``.
        limits: Of the time and the length.

    Raises:
        SlowFastError: The weights cannot be used.
    """

    model: Model

    def __init__(self, weights: Path, name: str, device: str, limits: Limits) -> None:
        self._arguments = (weights, name, device, limits.seconds)
        self._limits = limits
        self._turn, self._count = threading.Lock(), threading.Semaphore(limits.waiting + 1)
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self.model = self._start()

    def ask(self, request: Request) -> Answer:
        """See `Predicts`; the time limit starts when the request's turn has come."""
        if not self._count.acquire(blocking=False):
            raise self._limits.busy()
        try:
            with self._turn:
                return self._ask(request)
        finally:
            self._count.release()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None

    def _start(self) -> Model:
        context = multiprocessing.get_context("spawn")
        self._pipe, end = context.Pipe()
        self._process = context.Process(target=_work, args=(end, *self._arguments), daemon=True)
        self._process.start()
        end.close()
        try:
            model = self._receive(START)
        except BaseException:
            self.close()
            raise
        if isinstance(model, SlowFastError):
            raise model
        if not isinstance(model, Model):
            self.close()
            raise CrashError("the process that predicts did not start")
        return model

    def _ask(self, request: Request) -> Answer:
        if self._process is None or not self._process.is_alive():
            self.close()
            self._start()
        try:
            if self._pipe is not None:
                self._pipe.send(request)
            result = self._receive(self._limits.timeout)
        except OSError as error:  # the pipe is broken, or its other end was reset
            raise self._died() from error
        except BaseException:  # a late answer must not become that of the next request
            self.close()
            raise
        if isinstance(result, SlowFastError):
            raise result
        if not isinstance(result, Answer):
            self.close()
            raise CrashError("the process that predicts gave no answer")
        return result

    def _receive(self, timeout: float) -> object:
        """The next message of the process, which may be an error."""
        if self._pipe is None or not self._pipe.poll(timeout):
            raise TimeLimitError(f"no answer after {timeout:g} s: send less, or raise --timeout on the server")
        try:
            result: object = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise self._died() from error
        return result

    def _died(self) -> CrashError:
        self.close()
        return CrashError("the process that predicts has died: the file may be broken, or memory short")


def _work(pipe: Connection, weights: Path, name: str, device: str, max_seconds: float) -> None:
    """Load the weights, then answer requests until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server ends this process
    from slowfast_cli.stages.predict.predictor import Predictor  # noqa: PLC0415  (torch, which the server does without)
    from slowfast_cli.stages.serve.answer import answer, describe  # noqa: PLC0415

    try:
        predictor = Predictor(weights, device)
        pipe.send(describe(predictor, name))
    except SlowFastError as error:
        pipe.send(error)
        return
    while True:
        try:
            request: Request = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(answer(predictor, request, max_seconds))
        except SlowFastError as error:
            pipe.send(error)
        except Exception as error:  # a defect: the others are answered
            traceback.print_exc(file=sys.stderr)
            pipe.send(_describe_defect(error))


def _describe_defect(error: Exception) -> SlowFastError:
    if isinstance(error, MemoryError):
        return CrashError("out of memory: send a shorter file")
    return CrashError("the prediction failed by a defect of slowfast: see the output of the server")
