"""Which of many listed recordings have a file on disk: names compared as arrays, never an object for each file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np

from slowfast_cli.types import AUDIO_SUFFIXES, MEDIA_SUFFIXES

PIECE = 1 << 16  # files that are looked at together: a folder may hold millions
HEARD = frozenset(each.encode() for each in AUDIO_SUFFIXES)
USED = frozenset(each.encode() for each in MEDIA_SUFFIXES)
Listing: TypeAlias = "Iterable[tuple[Path, Iterable[bytes]]]"  # folders, and the names of the files in each
Parts: TypeAlias = "Callable[[Sequence[bytes]], tuple[Sequence[bytes], Sequence[bytes]]]"


def matched(ids: np.ndarray, media: Listing, parts: Parts) -> tuple[list[Path], np.ndarray, np.ndarray]:
    """Find the file of each id; sound before video, earlier folders first.

    Args:
        ids: (N,) bytes of fixed width, each once.
        media: What is on disk.
        parts: The ids that file names tell, empty for a file that is none of the data set's, and their suffixes.

    Returns:
        The folders; which of them each id has its file in, (N,), -1: in none; the names of the files, (N,) bytes.
    """
    if not len(ids):
        return [], np.zeros(0, np.int32), np.zeros(0, "S1")
    order = np.argsort(ids)
    ordered = ids[order]
    folders: list[Path] = []
    folder, files, sound = np.full(len(ids), -1, np.int32), np.zeros(len(ids), "S16"), np.zeros(len(ids), bool)
    for path, names in media:
        folders.append(path)
        waiting = iter(names)
        while piece := list(islice(waiting, PIECE)):
            told, suffixes = parts(piece)
            kinds = {each: (each.lower() in USED) + (each.lower() in HEARD) for each in set(suffixes)}
            kind = np.fromiter(map(kinds.__getitem__, suffixes), np.int8, len(piece))
            # Looked up in order, most of what is compared is still in the cache.
            named = np.array(told, dtype=bytes)
            turn = np.argsort(named)
            named, kind, found = named[turn], kind[turn], np.array(piece, dtype=bytes)[turn]
            wanted = named.astype(ids.dtype)  # never the other way, which would copy all ids
            place = np.minimum(np.searchsorted(ordered, wanted), len(ids) - 1)
            files = files.astype(max(files.dtype, found.dtype, key=lambda each: each.itemsize), copy=False)
            listed, row = (ordered[place] == named) & (kind > 0), order[place]
            for hears in (False, True):
                free = (folder[row] < 0) | (hears & (folder[row] == len(folders) - 1) & ~sound[row])
                take = listed & free & ((kind == 2) == hears)
                folder[row[take]], sound[row[take]], files[row[take]] = len(folders) - 1, hears, found[take]
    return folders, folder, files


def listed(folder: Path) -> list[bytes]:
    """The names of the files in a folder, as the disk has them; links that lead nowhere are left out."""
    with os.scandir(os.fsencode(folder)) as entries:
        return [entry.name for entry in entries if entry.is_file()]


def media_index(folders: Iterable[Path], suffixes: frozenset[str] = MEDIA_SUFFIXES) -> dict[str, Path]:
    """Media files directly in some folders, by name without suffix; sound before video, earlier folders first.

    Args:
        folders: Those that are there are listed once; no file is looked at.
        suffixes: Of the files wanted, in lower case.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            continue
        with os.scandir(folder) as entries:
            for entry in entries:
                stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122  (hundreds of thousands of entries)
                if suffix.lower() not in suffixes:
                    continue
                held = found.get(stem)
                better = held is None or (_sound(suffix) and held.parent == folder and not _sound(held.suffix))
                if better and entry.is_file():
                    found[stem] = Path(entry.path)
    return found


def _sound(suffix: str) -> bool:
    return suffix.lower() in AUDIO_SUFFIXES


def media_in(folder: Path) -> list[Path]:
    """Media files directly in a folder, hidden ones left out, sorted."""
    with os.scandir(folder) as entries:
        names = [each.name for each in entries if not each.name.startswith(".") and each.is_file()]
    return [folder / name for name in sorted(names) if os.path.splitext(name)[1].lower() in MEDIA_SUFFIXES]  # noqa: PTH122


def media_below(folder: Path) -> Iterator[Path]:
    """Media files in a folder and everything below it, hidden ones left out, in sorted order."""
    for where, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in MEDIA_SUFFIXES:  # noqa: PTH122
                yield Path(where) / name


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, hidden ones left out, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def first_file(candidates: Iterable[Path]) -> Path | None:
    """The first of some paths that is a file."""
    return next((path for path in candidates if path.is_file()), None)
