"""A run's state on disk: written whole or not at all, read without running any code."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

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
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        reason = str(error).strip().split("\n", 1)[0][:120] or type(error).__name__
        raise SlowFastError(f"{path}: not a training state ({reason}); start over with --fresh") from error
