"""Which of many listed recordings have a file on disk: names compared as arrays, never an object for each file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
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
