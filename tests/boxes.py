"""Changes to finished MP4 files that no encoder here writes: what a camera or an editor does."""

import struct
from pathlib import Path


def hide_first(path: Path, seconds: float) -> None:
    """Make the video's edit list start so much later."""
    data = bytearray(path.read_bytes())
    movie = struct.unpack_from(">I", data, _inside(data, "moov", "mvhd") + 12)[0]
    media = struct.unpack_from(">I", data, _inside(data, "moov", "trak", "mdia", "mdhd") + 12)[0]
    entry = _inside(data, "moov", "trak", "edts", "elst") + 8
    length, begin = struct.unpack_from(">Ii", data, entry)
    struct.pack_into(">Ii", data, entry, length - round(seconds * movie), begin + round(seconds * media))
    path.write_bytes(data)


def turn_picture(path: Path, a: int, b: int, c: int, d: int) -> None:
    """Set the video's display matrix: x' = a x + c y, y' = b x + d y, with y downwards."""
    data = bytearray(path.read_bytes())
    matrix = _inside(data, "moov", "trak", "tkhd") + 40
    one, last = 1 << 16, 1 << 30
    struct.pack_into(">9i", data, matrix, a * one, b * one, 0, c * one, d * one, 0, 0, 0, last)
    path.write_bytes(data)


def _inside(data: bytes, *names: str) -> int:
    """Where the content begins of the first box of these names, each inside the one before."""
    begin, end = 0, len(data)
    for name in names:
        while data[begin + 4 : begin + 8] != name.encode():
            begin += struct.unpack_from(">I", data, begin)[0]
            if begin >= end:
                raise ValueError(f"no {name} box")
        begin, end = begin + 8, begin + struct.unpack_from(">I", data, begin)[0]
    return begin
