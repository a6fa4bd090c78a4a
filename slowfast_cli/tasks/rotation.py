"""By how many quarters were the frames turned? A label set of four classes (AV Sec. 6)."""

from __future__ import annotations

import zlib

LABELS = "rotation"
TURNS = ("0 degrees", "90 degrees", "180 degrees", "270 degrees")


def quarters_of(id_: str) -> int:
    """By how many quarters the frames of a segment are turned when testing: always the same."""
    return zlib.crc32(id_.encode("utf-8", "surrogateescape")) % len(TURNS)
