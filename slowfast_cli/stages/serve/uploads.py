"""Uploaded files: their names, and the temporary folder that they are deleted from."""

import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from slowfast_cli.stages.serve.limits import Limits
from slowfast_cli.types import Seconds, UsageError

NAME_BYTES = 150  # of the stem of a file name
KEPT = re.compile(r"[^\w.\- ()]")  # all other characters of a file name become "_"
AGE: Seconds = 600.0  # files of the page that no answer has deleted are deleted at this age
ROUND: Seconds = 30.0  # between two searches for them
COPIED = 1 << 20  # bytes copied at once


def safe_name(name: str | None) -> str:
    r"""Make a file name of what a client calls its file: no folders, no control or shell characters.

    >>> safe_name("../../etc/pass\nwd%03d.wav")
    'pass_wd_03d.wav'
    """
    last = re.split(r"[/\\]", name or "")[-1]
    stem, dot, suffix = KEPT.sub("_", last).rpartition(".")
    if not dot:
        stem, suffix = suffix, ""
    while len(stem.encode()) > NAME_BYTES:
        stem = stem[:-1]
    stem = stem.strip(" .-") or "upload"
    return f"{stem}.{suffix[:10]}" if suffix.strip() else stem


def require_media(name: str, suffixes: frozenset[str]) -> None:
    """Raise `UsageError` for a file that is not called like a recording."""
    if Path(name).suffix.lower() not in suffixes:
        raise UsageError(f"{name}: expected a file that ends in {', '.join(sorted(suffixes))}")


class UploadFolder:
    """A private temporary folder: ``uploads`` for the endpoint, ``page`` for the files that Gradio stores.

    A thread deletes files of the page that have been there for `AGE`. `close` deletes the folder.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="slowfast-serve-")).resolve()
        self.uploads, self.page = self.path / "uploads", self.path / "page"
        self.uploads.mkdir()
        self.page.mkdir()
        self._closed = threading.Event()
        self._lock, self._stored = threading.Lock(), 0
        threading.Thread(target=self._sweep, daemon=True).start()

    def close(self) -> None:
        """Delete the folder."""
        self._closed.set()
        shutil.rmtree(self.path, ignore_errors=True)

    @contextmanager
    def store(self, name: str, source: IO[bytes], limits: Limits) -> Iterator[Path]:
        """Store an upload under its name while the context lasts.

        Raises:
            TooLargeError: It is larger than the limit.
            BusyError: As many uploads are stored as may be in progress and wait.
        """
        with self._slot(limits), self.new_folder() as folder:
            path, size = folder / name, 0
            with path.open("xb") as out:
                while block := source.read(COPIED):
                    size += len(block)
                    if size > limits.size:
                        raise limits.too_large()
                    out.write(block)
            yield path

    @contextmanager
    def _slot(self, limits: Limits) -> Iterator[None]:
        """Count an upload while the context lasts."""
        with self._lock:
            if self._stored > limits.waiting:
                raise limits.busy()
            self._stored += 1
        try:
            yield
        finally:
            with self._lock:
                self._stored -= 1

    @contextmanager
    def new_folder(self) -> Iterator[Path]:
        """Create a folder, and delete it with its content at the end of the context."""
        folder = Path(tempfile.mkdtemp(dir=self.uploads))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def delete(self, path: Path) -> None:
        """Delete a file of the page, and its folder if that is empty; a path elsewhere is left alone."""
        path = path.resolve()
        if self.page in path.parents:
            with suppress(OSError):
                path.unlink()
                path.parent.rmdir()

    def sweep(self, age: Seconds) -> None:
        """Delete the files of the page that were last written this long ago, and folders that are empty then."""
        before = time.time() - age
        for folder, folders, names in os.walk(self.page, topdown=False):
            for path in (Path(folder) / name for name in (*names, *folders)):
                with suppress(OSError):
                    if path.stat().st_mtime < before:
                        path.rmdir() if path.is_dir() else path.unlink()

    def _sweep(self) -> None:
        while not self._closed.wait(ROUND):
            self.sweep(AGE)
