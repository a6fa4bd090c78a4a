"""Find the media files of listed recordings on disk."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np

from slowfast_cli.media.audio_source import printable
from slowfast_cli.types import AUDIO_SUFFIXES, MEDIA_SUFFIXES, DataError

CHUNK = 1 << 16  # file names matched at a time: a folder may contain millions
AUDIO_BYTES = frozenset(suffix.encode() for suffix in AUDIO_SUFFIXES)
MEDIA_BYTES = frozenset(suffix.encode() for suffix in MEDIA_SUFFIXES)
FolderListing: TypeAlias = "Iterable[tuple[Path, Iterable[bytes]]]"  # folders, and the names of the files in each
ParseNames: TypeAlias = "Callable[[Sequence[bytes]], tuple[Sequence[bytes], Sequence[bytes]]]"


def match_files(
    ids: np.ndarray, listing: FolderListing, parse: ParseNames
) -> tuple[list[Path], np.ndarray, np.ndarray]:
    """Find the file of each of N ids, comparing names as arrays; audio before video, earlier folders first.

    Args:
        ids: (N,) unique bytes of fixed width.
        listing: Folders with the files in them.
        parse: Splits file names into ids, empty for files that are not of the data set, and suffixes.

    Returns:
        The folders; the folder index of each id, (N,), -1 if it has no file; its file name, (N,) bytes.
    """
    if not len(ids):
        return [], np.zeros(0, np.int32), np.zeros(0, "S1")
    order = np.argsort(ids)
    sorted_ids = ids[order]
    folders: list[Path] = []
    folder, files, is_audio = np.full(len(ids), -1, np.int32), np.zeros(len(ids), "S16"), np.zeros(len(ids), bool)
    for path, names in listing:
        folders.append(path)
        remaining = iter(names)
        while chunk := list(islice(remaining, CHUNK)):
            chunk_ids, suffixes = parse(chunk)
            kinds = {name: (name.lower() in MEDIA_BYTES) + (name.lower() in AUDIO_BYTES) for name in set(suffixes)}
            kind = np.fromiter(map(kinds.__getitem__, suffixes), np.int8, len(chunk))
            # Looked up in sorted order, most of the compared ids are still in the cache.
            named = np.array(chunk_ids, dtype=bytes)
            turn = np.argsort(named)
            named, kind, chunk_names = named[turn], kind[turn], np.array(chunk, dtype=bytes)[turn]
            # Converts the chunk to the type of the ids, because the reverse would copy all ids.
            place = np.minimum(np.searchsorted(sorted_ids, named.astype(ids.dtype)), len(ids) - 1)
            files = files.astype(max(files.dtype, chunk_names.dtype, key=lambda dtype: dtype.itemsize), copy=False)
            is_listed, row = (sorted_ids[place] == named) & (kind > 0), order[place]
            for audio in (False, True):
                free = (folder[row] < 0) | (audio & (folder[row] == len(folders) - 1) & ~is_audio[row])
                take = is_listed & free & ((kind == 2) == audio)
                folder[row[take]], is_audio[row[take]], files[row[take]] = len(folders) - 1, audio, chunk_names[take]
    return folders, folder, files


def file_names(folder: Path) -> list[bytes]:
    """Names of the files in a folder as bytes, without broken links."""
    with os.scandir(os.fsencode(folder)) as entries:
        return [entry.name for entry in entries if _is_file(entry)]


def media_index(folders: Iterable[Path], suffixes: frozenset[str] = MEDIA_SUFFIXES) -> dict[str, Path]:
    """Index the media files directly in some folders by stem; audio before video, earlier folders first.

    Folders are listed once each; files are not opened, missing folders are skipped.
    """
    index: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            continue
        with os.scandir(folder) as entries:
            for entry in entries:
                stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122  (hundreds of thousands of entries)
                if suffix.lower() not in suffixes:
                    continue
                known = index.get(stem)
                better = known is None or (_is_audio(suffix) and known.parent == folder and not _is_audio(known.suffix))
                if better and _is_file(entry):
                    index[stem] = Path(entry.path)
    return index


def _is_audio(suffix: str) -> bool:
    return suffix.lower() in AUDIO_SUFFIXES


def files_in(folder: Path) -> list[Path]:
    """Files directly in a folder, sorted, without hidden ones."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".") and _is_file(entry)]
    return [folder / name for name in sorted(names)]


def media_in(folder: Path) -> list[Path]:
    """Media files directly in a folder, sorted, without hidden ones."""
    return [path for path in files_in(folder) if is_media(path.name)]


def walk_once(tops: Iterable[Path]) -> Iterator[tuple[Path, Path, list[str]]]:
    """Walk some folders and all below them, without hidden ones; each folder once, whatever links lead to it.

    Links are followed after the folders, so that a file is found where it lies; not to a parent of ``tops``.

    Yields:
        One of ``tops``, a folder below it, and the sorted names of the files in that folder, without hidden ones.

    Raises:
        DataError: A folder cannot be listed.
    """
    queue = deque(sorted(((top, top) for top in tops), key=lambda pair: pair[0].is_symlink()))
    parents = {parent for top, _ in queue for parent in top.absolute().parents}
    seen = {_identity(parent) for parent in parents if parent.exists()}
    while queue:
        top, start = queue.popleft()
        for where, folders, names in os.walk(start, onerror=_not_listed):
            if (identity := _identity(Path(where))) in seen:
                folders.clear()
                continue
            seen.add(identity)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            queue.extend((top, Path(where, name)) for name in folders if Path(where, name).is_symlink())
            yield top, Path(where), sorted(name for name in names if not name.startswith("."))


def _identity(folder: Path) -> tuple[int, int]:
    stat = folder.stat()
    return stat.st_dev, stat.st_ino


def _not_listed(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise DataError(
            f"{printable(error.filename)}: cannot be listed ({error.strerror}): make it readable or remove it"
        )


def is_media(name: str) -> bool:
    """Whether a file name ends like audio or video."""
    return os.path.splitext(name)[1].lower() in MEDIA_SUFFIXES  # noqa: PTH122  (millions of names)


def media_below(folder: Path) -> Iterator[Path]:
    """Media files in a folder and its subfolders, sorted by folder, without hidden ones; see `walk_once`."""
    return (where / name for _, where, names in walk_once([folder]) for name in names if is_media(name))


def _is_file(entry: os.DirEntry[str] | os.DirEntry[bytes]) -> bool:
    """Whether an entry is a file; false for a link that leads to itself."""
    try:
        return entry.is_file()
    except OSError:
        return False


def subfolders(folder: Path) -> list[Path]:
    """Folders directly in a folder, sorted by name, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def is_file(path: Path) -> bool:
    """Whether a path is a file; False also for text that cannot be a path, as it is too long."""
    return os.path.isfile(path)  # noqa: PTH113  (`Path.is_file` raises for it)


def first_file(candidates: Iterable[Path]) -> Path | None:
    """Return the first path that is a file."""
    return next((path for path in candidates if path.is_file()), None)
