"""Bound what an archive unpacks to, before memory is asked for."""

import zipfile
from pathlib import Path

MAX_RATIO = 20  # unpacked size over the file's size; arrays of weights and scores hardly compress
ALLOWANCE = 64 << 20  # bytes that any file may unpack to


def require_bounded(path: Path) -> None:
    """Refuse a zip file, such as an ``.npz`` or a checkpoint, that unpacks to far more than its size.

    Raises:
        ValueError: It does.
        OSError, zipfile.BadZipFile: The file cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(part.file_size for part in archive.infolist())
    size = path.stat().st_size
    if unpacked > ALLOWANCE + MAX_RATIO * size:
        raise ValueError(f"unpacks to {unpacked / 1e9:.1f} GB, and has {size / 1e6:.1f} MB")
