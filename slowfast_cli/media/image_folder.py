"""Folders of images that are the frames of a video, ordered by name."""

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import av

from slowfast_cli.media.audio_source import printable
from slowfast_cli.media.container import MAX_PIXELS
from slowfast_cli.media.decoder_errors import decoder_errors
from slowfast_cli.types import BrokenMediaError

MAX_BYTES = 1 << 28  # of an image file
SUFFIXES = (".jpg", ".jpeg", ".png")
CODECS = {b"\xff\xd8": "mjpeg", b"\x89P": "png"}  # by the first two bytes of a file, because suffixes may be wrong


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """The images of a folder.

    Names are stored only if they are not consecutive numbers between ``before`` and ``after``: all frame names of a
    data set would fill the memory of every worker.
    """

    folder: Path
    count: int
    names: tuple[str, ...] = ()
    before: str = ""
    first: int = 0
    digits: int = 0  # width of the zero-padded number
    after: str = ""

    def path(self, index: int) -> Path:
        """Return the file of an image."""
        return self.folder / self.name(index)

    def name(self, index: int) -> str:
        """Return the name of the file of an image."""
        if self.names:
            return self.names[index]
        return f"{self.before}{self.first + index:0{self.digits}d}{self.after}"


@lru_cache(maxsize=1 << 16)
def list_images(folder: Path) -> ImageFolder:
    """List the JPEG and PNG files in natural order (2 before 10); raise `BrokenMediaError` if there are none."""
    with decoder_errors(folder), os.scandir(folder) as entries:
        names = sorted((entry.name for entry in entries if entry.name.lower().endswith(SUFFIXES)), key=_natural_key)
    if not names:
        raise BrokenMediaError(f"{printable(folder)}: contains no images ({', '.join(SUFFIXES)}): extract them again")
    parts = re.match(r"(.*?)([0-9]+)(\D*)$", names[0], re.DOTALL)
    if parts:
        before, number, after = parts.groups()
        numbered = ImageFolder(
            folder=folder, count=len(names), before=before, first=int(number), digits=len(number), after=after
        )
        if all(numbered.name(index) == name for index, name in enumerate(names)):
            return numbered
    return ImageFolder(folder=folder, count=len(names), names=tuple(names))


def _natural_key(name: str) -> list[tuple[int, str]]:
    return [(int(part), part) if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def decode_image(path: Path) -> Any:
    """Decode to a PyAV frame; raise `BrokenMediaError` if the file is missing or no decodable JPEG or PNG file."""
    with decoder_errors(path):
        with path.open("rb") as file:
            content = file.read(MAX_BYTES)
        codec: Any = av.CodecContext.create(CODECS.get(content[:2], "mjpeg"), "r")
        codec.thread_count = 1
        codec.options = {"max_pixels": str(MAX_PIXELS)}
        try:
            frames = [*codec.decode(av.Packet(content)), *codec.decode(None)] if content else []
        except av.FFmpegError:
            frames = []
    if not frames:
        raise BrokenMediaError(
            f"{printable(path)}: the image does not decode, or has more than {MAX_PIXELS >> 20} Mi pixels: extract it "
            "again"
        )
    return frames[0]
