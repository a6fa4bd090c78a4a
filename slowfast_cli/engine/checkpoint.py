"""A run's state on disk: written whole or not at all, read without running any code."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from slowfast_cli.storage import remote
from slowfast_cli.types import SlowFastError


def make_folder(path: Path) -> Path:
    """Make a folder and those above it, if they are not there.

    Raises:
        SlowFastError: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SlowFastError(f"{path}: cannot be written: {error.strerror or error}; choose another folder") from error
    return path


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Call ``write`` with a temporary name beside ``path``, then rename: readers see the old file or the new one.

    Args:
        path: The file; its folder exists.
        write: Writes the file it is given.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
        remote.upload(path)
    except OSError as error:
        raise SlowFastError(
            f"{path}: cannot be written: {error.strerror or error}; what was there before is untouched"
        ) from error
    finally:
        with suppress(OSError):  # where nothing can be written there is nothing to remove
            part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text whole."""

    def write(part: Path) -> None:
        part.write_text(text, encoding="utf-8")

    write_whole(path, write)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a training state: tensors and plain values only."""
    write_whole(path, lambda part: torch.save(state, part))


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote.

    Raises:
        SlowFastError: It is broken.
    """
    try:
        return dict(torch.load(remote.ensure_local(path), map_location="cpu", weights_only=True))
    except Exception as error:
        reason = str(error).strip().split("\n", 1)[0][:120] or type(error).__name__
        raise SlowFastError(f"{path}: not a training state ({reason}); start over with --fresh") from error


def snapshot(state: Any) -> Any:
    """A copy on the CPU that later steps do not change; tensors in dictionaries and sequences, of any depth."""
    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {name: snapshot(value) for name, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(snapshot(value) for value in state)
    return state


class Saver:
    """Writes states in the background: a training waits until its state is copied, not until it is on the disk.

    Used as a context it has written everything when it ends, whatever ends it.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: Future[None] | None = None

    def save(self, path: Path, state: dict[str, Any]) -> None:
        """Write a state as `save_state` does, after the one before.

        Raises:
            SlowFastError: The one before could not be written.
        """
        self.wait()
        self._writing = self._thread.submit(save_state, path, snapshot(state))

    def wait(self) -> None:
        """Wait until nothing is being written.

        Raises:
            SlowFastError: What was could not be.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """Write what is left, and end.

        Raises:
            SlowFastError: It could not be written.
        """
        try:
            self.wait()
        finally:
            self._thread.shutdown()

    def __enter__(self) -> Saver:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
