"""Outputs of many files below one folder: their names, and the journal of those that are finished."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path


def common_folder(paths: Sequence[Path]) -> Path:
    """The folder that absolute paths share; the root without paths.

    >>> common_folder([Path("/a/b/1.wav"), Path("/a/c/d/2.wav")]).as_posix()
    '/a'
    """
    first, *rest = list(dict.fromkeys(path.parent for path in paths)) or [Path("/")]
    for folder in rest:
        while first != folder and first not in folder.parents:
            first = first.parent
    return first


def output_names(paths: Iterable[Path]) -> dict[Path, Path]:
    """Names of outputs by absolute path: the place below the folder that all share.

    A name has no suffix, unless two files would have the same name without it.

    >>> [name.as_posix() for name in output_names([Path("/a/b/1.wav"), Path("/a/2.wav"), Path("/a/2.mp4")]).values()]
    ['b/1', '2.wav', '2.mp4']
    """
    places = list(dict.fromkeys(path.absolute() for path in paths))
    top, stems = common_folder(places), Counter(place.with_suffix("") for place in places)
    return {
        place: (place if stems[place.with_suffix("")] > 1 else place.with_suffix("")).relative_to(top)
        for place in places
    }


def file_version(path: Path) -> list[int]:
    """Size and time of a file, which a changed one does not keep; empty if it is gone."""
    try:
        stat = path.stat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns]


def end_line(path: Path) -> None:
    """End a line that an interruption cut, so that the next one is readable."""
    with suppress(FileNotFoundError), path.open("rb+") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
