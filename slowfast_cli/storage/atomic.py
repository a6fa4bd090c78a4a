"""Files that are written completely or not at all, and their hashes."""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from slowfast_cli.storage import remote
from slowfast_cli.types import SlowFastError

BLOCK = 1 << 20


def make_folder(path: Path) -> Path:
    """Create a folder and its parents.

    Raises:
        SlowFastError: The file system refuses.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SlowFastError(f"{path}: cannot be written: {error.strerror or error}; choose another folder") from error
    return path


def replace_file(path: Path, write: Callable[[Path], None]) -> None:
    """Call ``write`` with a temporary name beside ``path``, sync, then rename: readers see the old file or the new one.

    Raises:
        OSError: As of the file system.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        sync(temporary)
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Replace a file as `replace_file` does and upload it if it is remote.

    Args:
        path: The file; its folder exists.
        write: Writes the file it is given.

    Raises:
        SlowFastError: It cannot be written; the previous content is untouched.
    """
    try:
        replace_file(path, write)
        remote.upload(path)
    except OSError as error:
        raise SlowFastError(
            f"{path}: cannot be written: {error.strerror or error}; the previous content is untouched"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Replace a file by a UTF-8 text, see `write_atomic`."""

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    write_atomic(path, write)


def sync(path: Path) -> None:
    """Flush a file or folder to the disk; Windows, which needs a writable file, cannot flush folders."""
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_hash(path: Path, kind: str = "sha256") -> str:
    """Hexadecimal digest of a file's content."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
