"""Files that are written completely or not at all, and their hashes."""

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from slowfast_cli.storage import remote
from slowfast_cli.types import SlowFastError, UsageError

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


def free_bytes(folder: Path) -> int:
    """Free space, in bytes, of the disk of a folder that may not exist yet."""
    path = folder.absolute()
    return shutil.disk_usage(next(part for part in (path, *path.parents) if part.exists())).free


def require_output(path: Path, option: str, *, starts: str) -> None:
    """Refuse an output file that exists and was not written by the same option: it may be an input.

    Args:
        path: The file to write.
        option: Name of the option, for the message.
        starts: First line of every file that the option writes.

    Raises:
        UsageError: The file exists and starts otherwise, is a folder, or lies in none.
    """
    if path.exists() and not path.is_file() and not path.is_dir():  # a device or a pipe, such as /dev/stdout
        return
    if path.is_dir() or not path.parent.is_dir():
        problem = "is a folder" if path.is_dir() else f"folder {path.parent} does not exist"
        raise UsageError(f"{option} {path}: {problem}: name a file in an existing folder")
    try:
        with path.open("rb") as file:
            start = file.read(len(starts.encode()))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{option} {path}: cannot be written: {error.strerror or error}; name another file") from error
    if start not in (b"", starts.encode()):
        raise UsageError(f"{option} {path}: already exists and is not a file that {option} wrote: name another file")


def require_new(path: Path) -> None:
    """Refuse an output file that exists; raise `UsageError`."""
    if path.exists():
        raise UsageError(f"{path}: already exists; choose another name or remove it first")


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


def remove_temporaries(folder: Path) -> None:
    """Remove the temporary files of `replace_file` that killed processes left; the caller holds the folder's lock."""
    for path in folder.glob(".*.tmp"):
        if re.fullmatch(r"\..+\.\d+\.tmp", path.name):
            with suppress(OSError):
                path.unlink()


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


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file by bytes, see `write_atomic`."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

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
