"""The log of a training: what it prints on stderr, as lines with time stamps in ``log.txt`` of its run folder."""

import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from slowfast_cli.storage.remote import upload

NAME = "log.txt"
KEPT = 100  # lines before the folder is known


class RunLog:
    """Appends to the log of the run in progress; before its folder is known, lines are kept in memory."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._kept: deque[str] = deque(maxlen=KEPT)

    def open(self, folder: Path) -> None:
        """Write to the log of a run, the kept lines first."""
        self._folder = folder
        self._append("".join(self._kept))
        self._kept.clear()

    def close(self) -> None:
        """The run has ended: keep the lines that follow, for the next one."""
        self._folder = None
        self._kept.clear()

    def write(self, text: str) -> None:
        """Append a text, with a time stamp before each line; a log that cannot be written stops no training."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
        lines = "".join(f"{stamp} {line}\n" for line in text.splitlines() if line)
        if self._folder is None:
            self._kept.append(lines)
        else:
            self._append(lines)

    def error(self, text: str) -> None:
        """Append the error that ends the run, and upload the log of a remote one."""
        if self._folder is not None:
            self.write(text)
            with suppress(Exception):  # another error must not hide the first
                upload(self._folder / NAME)

    def _append(self, lines: str) -> None:
        if self._folder is not None and lines:
            with (
                suppress(OSError),
                (self._folder / NAME).open("a", encoding="utf-8", errors="backslashreplace") as file,
            ):
                file.write(lines)


LOG = RunLog()
