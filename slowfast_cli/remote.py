"""Files elsewhere (``s3://``, ``gs://``, whatever fsspec reads), kept under a folder here as they are asked for.

A URL stands for one path below the cache, and that path for the URL, so that everything else works on paths: what is
beside a folder there is beside it here. A file that is not here yet has its name and its size, and may not be read.

Nothing is imported or asked for unless a path lies below the cache.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from slowfast_cli.types import DataError

URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+)://(?P<rest>.*)")
LISTS = frozenset({".csv", ".tsv", ".txt", ".json", ".jsonl", ".pkl", ".md", ".yaml", ".yml", ".pbtxt", ".npy"})
ABSENT = stat.S_IWUSR  # the mode of a file that is not here yet
ROOTED = ("file", "local")  # schemes whose paths begin at the root
AT_ONCE = 16  # files fetched at the same time
HERE = ".pushed"  # beside the files of a folder that is written: what of it is there


def cache() -> Path:
    """The folder that files elsewhere are kept under."""
    given = os.environ.get("SLOWFAST_CACHE")
    base = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slowfast"
    return (base / "remote").absolute()


def place(text: str | Path) -> Path:
    """The path that words stand for: that of a URL lies below the cache.

    >>> place("sounds/a"), place("s3://bucket/a").relative_to(cache())
    (PosixPath('sounds/a'), PosixPath('s3/bucket/a'))
    """
    found = URL.fullmatch(str(text))
    if not found:
        return Path(text)
    parts = [part for part in found["rest"].split("/") if part not in ("", ".")]
    if ".." in parts:
        raise DataError(f"{text}: leads out of itself: write the URL without '..'")
    return cache().joinpath(found["scheme"], *parts)


def url(path: Path) -> str | None:
    """The URL that a path stands for; None of a path that is only here."""
    root = cache()
    if not path.is_absolute() or root not in path.parents:
        return None
    scheme, *rest = path.relative_to(root).parts
    return f"{scheme}://{'/' if scheme in ROOTED else ''}{'/'.join(rest)}"


def named(path: Path) -> str:
    """A path as the user wrote it."""
    return url(path) or str(path)


def listed(folder: Path) -> Path:
    """The folder, with all that is in it by name; lists are fetched, other files when `here` is asked for them.

    Raises:
        DataError: It cannot be reached.
    """
    there = url(folder)
    if there is None:
        return folder
    files = _found(folder, there)
    lists = [path for path, size in files if _differs(path, size) and path.suffix.lower() in LISTS]
    for path, size in files:
        if _differs(path, size) and path.suffix.lower() not in LISTS:
            _promise(path, size)
    _fetch_all(lists)
    return folder


def here(path: Path) -> Path:
    """The file, fetched if it is not here yet.

    Raises:
        DataError: It cannot be reached.
    """
    if url(path) is not None and (not path.exists() or _absent(path)):
        _fetch(path)
    return path


def fetched(folder: Path) -> Path:
    """The folder with all its files.

    Raises:
        DataError: It cannot be reached.
    """
    there = url(folder)
    if there is None:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    _fetch_all([path for path, size in _found(folder, there) if _differs(path, size) or _absent(path)])
    return folder


def push(path: Path) -> None:
    """Bring a file, or all that changed in a folder, to where it belongs.

    Raises:
        DataError: It cannot be written there.
    """
    if url(path) is None:
        return
    changed = [each for each in _files(path) if _stamp(each) != _pushed(each)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(_send, changed):
            pass


def _files(path: Path) -> Iterator[Path]:
    """What is written to the end, below a path."""
    for where, folders, names in os.walk(path) if path.is_dir() else ((path.parent, list[str](), [path.name]),):
        folders[:] = [name for name in folders if not name.startswith(".")]
        seen = (Path(where, name) for name in names if not name.startswith("."))
        yield from (each for each in seen if not _absent(each))


def _send(path: Path) -> None:
    stamp, there = _stamp(path), named(path)
    try:
        system, name = _system(there)
        system.makedirs(str(PurePosixPath(name).parent), exist_ok=True)
        system.put_file(str(path), name)
    except Exception as error:  # whatever the library of that kind of URL raises
        raise DataError(f"{there}: cannot be written ({error}): it is kept in {path}, run the same again") from error
    note = _note(path)
    note.parent.mkdir(exist_ok=True)
    note.write_text(stamp)


def _note(path: Path) -> Path:
    return path.parent / HERE / path.name


def _stamp(path: Path) -> str:
    told = path.stat()
    return f"{told.st_size} {told.st_mtime_ns}"


def _pushed(path: Path) -> str:
    with suppress(OSError):
        return _note(path).read_text()
    return ""


def _found(folder: Path, there: str) -> list[tuple[Path, int]]:
    """Paths here and sizes there of all files in a folder."""
    try:
        system, name = _system(there)
        details = system.find(name, detail=True, refresh=True) if system.exists(name) else {}
    except Exception as error:
        raise DataError(f"{there}: cannot be reached ({error}): check the URL and your access to it") from error
    start = len(name.rstrip("/")) + 1
    return [(folder / key[start:], int(each.get("size") or 0)) for key, each in sorted(details.items())]


def _differs(path: Path, size: int) -> bool:
    return not path.exists() or path.stat().st_size != size


def _absent(path: Path) -> bool:
    return stat.S_IMODE(path.stat().st_mode) == ABSENT


def _promise(path: Path, size: int) -> None:
    """A file of that name and size that may not be read yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, ABSENT))
    os.truncate(path, size)


def _fetch_all(paths: list[Path]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(_fetch, paths):
            pass


def _fetch(path: Path) -> None:
    """Fetch a file under another name, then rename it: whoever looks sees none or all of it.

    Of several processes that want it one fetches, and the others wait.
    """
    there, before = named(path), _identity(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("ab") as target:
        fcntl.flock(target, fcntl.LOCK_EX)
        if _identity(path) != before:  # another one has fetched it meanwhile
            return
        try:
            system, name = _system(there)
            target.truncate(0)
            with system.open(name, "rb") as source:
                shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
        except Exception as error:
            part.unlink(missing_ok=True)
            raise DataError(f"{there}: cannot be fetched ({error}): check the URL and your access to it") from error
        part.replace(path)


def _identity(path: Path) -> tuple[int, int]:
    with suppress(OSError):
        told = path.stat()
        return told.st_ino, told.st_mode
    return 0, 0


def _system(there: str) -> tuple[Any, str]:
    """The file system of a URL, and the name in it."""
    import fsspec  # noqa: PLC0415  (only where there is a URL)

    try:
        system, name = fsspec.core.url_to_fs(there)
    except (ImportError, ValueError) as error:
        raise DataError(
            f"{there}: nothing here reads such URLs ({error}): `pip install 'slowfast[remote]'` reads s3:// and gs://"
        ) from error
    return system, str(name)
