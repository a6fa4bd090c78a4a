"""Find what libsndfile reads only in part: several recordings in a file, and mp3 files that are joined or truncated."""

import mmap
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from slowfast_cli.types import Seconds

FLAC = b"fLaC"
BEGINS = b"OggS\x00\x02"  # a page that begins a stream
PAGE = 27  # bytes of an Ogg page header before its segment table
BITRATES = {  # kbit/s of layer III
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # Hz by version bits
TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"3DI")  # may follow the last frame of an mp3 file
OFF = 0.01  # libmpg123 prints a warning if the stated number of bytes is off by more


@dataclass(frozen=True, kw_only=True)
class Joined:
    """How to read such a file: chain by chain, or with FFmpeg."""

    chains: tuple[tuple[int, int], ...] = ()  # first byte, and byte after the last, of the parts
    header_seconds: Seconds | None = None  # length in the header of a truncated mp3 file


def joined(path: Path) -> Joined | None:
    """Return how a file is joined or truncated; None if libsndfile reads all of it."""
    stat = path.stat()
    return _joined(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1 << 16)
def _joined(path: Path, size: int, _time: int) -> Joined | None:
    if size < PAGE or not path.is_file():
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4] == BEGINS[:4]:
            chains = _chains(data)
            return Joined(chains=chains) if len(chains) > 1 else None
        starts = _containers(data) if data[:4] in (b"RIFF", b"FORM") else _flacs(data) if data[:4] == FLAC else []
        if len(starts) > 1:
            return Joined(chains=tuple(zip(starts, [*starts[1:], len(data)], strict=True)))
        start = _skip_id3(data, 0)
        return _mp3(data, start) if start or data[0] == 0xFF else None


def _chains(data: mmap.mmap) -> tuple[tuple[int, int], ...]:
    """Return the parts of an Ogg file; all streams of a part begin in its first pages."""
    starts, position = list[int](), 0
    while position >= 0:
        starts.append(position)
        while data[position : position + len(BEGINS)] == BEGINS:
            segments = data[position + PAGE - 1]
            position += PAGE + segments + sum(data[position + PAGE : position + PAGE + segments])
        position = data.find(BEGINS, position)
    return tuple(zip(starts, [*starts[1:], len(data)], strict=True))


def _containers(data: mmap.mmap) -> list[int]:
    """Return where RIFF (wav) or FORM (aiff) containers begin, each after the stated end of the one before."""
    kind, form = data[:4], data[8:12]
    starts, position = list[int](), 0
    while data[position : position + 4] == kind and data[position + 8 : position + 12] == form:
        starts.append(position)
        size = int.from_bytes(data[position + 4 : position + 8], "little" if kind == b"RIFF" else "big")
        position += 8 + size + size % 2
    return starts


def _flacs(data: mmap.mmap) -> list[int]:
    """Return where FLAC streams begin: the marker, and the header of a first block of 34 bytes."""
    starts, position = list[int](), 0
    while position >= 0:
        if data[position + 4 : position + 8] in (b"\x00\x00\x00\x22", b"\x80\x00\x00\x22"):
            starts.append(position)
        position = data.find(FLAC, position + len(FLAC))
    return starts


def _skip_id3(data: mmap.mmap, position: int) -> int:
    while data[position : position + 3] == b"ID3":
        size = 0
        for byte in data[position + 6 : position + 10]:
            size = size << 7 | byte & 0x7F
        position += 10 + size
    return position


def _frame(header: bytes) -> tuple[int, int, int] | None:
    """Return length in bytes, samples, and sampling rate of a layer III frame; None if it is none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    version, bitrate, rate, padding = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version not in RATES or bitrate in (0, 15) or rate == 3:
        return None
    samples = 1152 if version == 3 else 576
    hertz = RATES[version][rate]
    return samples // 8 * BITRATES[1 if version == 3 else 2][bitrate] * 1000 // hertz + padding, samples, hertz


def _mp3(data: mmap.mmap, start: int) -> Joined | None:
    first = _frame(data[start : start + 4])
    if first is None:
        return None
    length, samples, rate = first
    position, count = start, 0
    while (frame := _frame(data[position : position + 4])) is not None and frame[2] == rate:
        if position + frame[0] > len(data):
            break
        position, count = position + frame[0], count + 1
    head = data[start : start + length]
    at = max(head.find(b"Xing"), head.find(b"Info"))
    if at >= 0 and head[at + 7] & 1:
        stated = int.from_bytes(head[at + 8 : at + 12], "big")
        if stated > count:  # `count` includes the frame of the header
            return Joined(header_seconds=stated * samples / rate)
        size = int.from_bytes(head[at + 12 : at + 16], "big") if head[at + 7] & 2 else 0
        end = len(data) - (128 if data[-128:-125] == b"TAG" else 0)
        if count > stated + 1 or (size and abs(size / (end - start) - 1) > OFF):
            return Joined()
    rest = data[position : position + 16]
    return None if not rest or rest.startswith(TAGS) else Joined()
