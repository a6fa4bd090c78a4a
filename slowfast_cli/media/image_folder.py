"""A folder of pictures that are the frames of a video, in the order of their names."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import av

from slowfast_cli.media.audio_source import shown
from slowfast_cli.types import BrokenMediaError

SUFFIXES = (".jpg", ".jpeg", ".png")
CODECS = {b"\xff\xd8": "mjpeg", b"\x89P": "png"}  # by a file's first two bytes: suffixes lie


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The pictures of a folder.

    Attributes:
        folder: Where they are.
        count: How many.
        names: In order; empty where they are ``before``, a number that counts up from ``first``, and ``after``: the
            names of a data set's frames would fill the memory of every worker.
        digits: Of the number, with leading zeros.
    """

    folder: Path
    count: int
    names: tuple[str, ...] = ()
    before: str = ""
    first: int = 0
    digits: int = 0
    after: str = ""

    def path(self, index: int) -> Path:
        """The file of one of them."""
        return self.folder / (self.names[index] if self.names else self._numbered(index))

    def _numbered(self, index: int) -> str:
        return f"{self.before}{self.first + index:0{self.digits}d}{self.after}"


@lru_cache(maxsize=1 << 16)
def pictures(folder: Path) -> Pictures:
    """List a folder's JPEG and PNG files; numbers in their names count as numbers (2 before 10).

    Raises:
        BrokenMediaError: It cannot be read, or holds none.
    """
    try:
        with os.scandir(folder) as entries:
            names = sorted((entry.name for entry in entries if entry.name.lower().endswith(SUFFIXES)), key=_order)
    except OSError as error:
        raise BrokenMediaError(f"{shown(folder)}: cannot be read: {error.strerror}") from error
    if not names:
        raise BrokenMediaError(
            f"{shown(folder)}: a folder with no pictures ({', '.join(SUFFIXES)}): extract them again"
        )
    parts = re.match(r"(.*?)([0-9]+)(\D*)$", names[0], re.DOTALL)
    if parts:
        before, number, after = parts.groups()
        short = Pictures(
            folder=folder, count=len(names), before=before, first=int(number), digits=len(number), after=after
        )
        if all(short.path(index).name == name for index, name in enumerate(names)):
            return short
    return Pictures(folder=folder, count=len(names), names=tuple(names))


def _order(name: str) -> list[tuple[int, str]]:
    return [(int(part), part) if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def decoded(path: Path) -> Any:
    """One picture as a decoded frame.

    Raises:
        BrokenMediaError: It is missing, or not a JPEG or PNG file that decodes.
    """
    try:
        content = path.read_bytes()
        codec: Any = av.CodecContext.create(CODECS.get(content[:2], "mjpeg"), "r")
        codec.thread_count = 1
        frames = [*codec.decode(av.Packet(content)), *codec.decode(None)] if content else []
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BrokenMediaError(f"{shown(path)}: not a readable picture ({reason}): extract it again") from error
    if not frames:
        raise BrokenMediaError(f"{shown(path)}: a picture that does not decode: extract it again")
    return frames[0]
