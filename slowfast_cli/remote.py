"""Files elsewhere (``s3://``, ``gs://``, whatever fsspec reads), kept under a folder here as they are asked for.

A URL stands for one path below the cache, and that path for the URL, so that everything else works on paths: what is
beside a folder there is beside it here. A file that is not here yet has its name and its size, and may not be read.

Nothing is imported or asked for unless a path lies below the cache.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from slowfast_cli.types import DataError

URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+)://(?P<rest>.*)")
LISTS = frozenset({".csv", ".tsv", ".txt", ".json", ".jsonl", ".pkl", ".md", ".yaml", ".yml", ".pbtxt", ".npy"})
ABSENT = stat.S_IWUSR  # the mode of a file that is not here yet
ROOTED = ("file", "local")  # schemes whose paths begin at the root
AT_ONCE = 16  # files fetched at the same time
NOTES = ".remote"  # a folder beside files: for each what it was here and there when both were the same
TELLING = ("size", "ETag", "etag", "LastModified", "updated", "generation", "mtime", "created", "md5Hash")


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
    new = {path: told for path, told in _found(folder, there).items() if _known(path).get("there") != _token(told)}
    for path, told in new.items():
        if path.suffix.lower() not in LISTS:
            _promise(path, told)
    _each(_fetch, [path for path in new if path.suffix.lower() in LISTS])
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
    """The folder with all its files as they are there now.

    Raises:
        DataError: It cannot be reached.
    """
    there = url(folder)
    if there is None:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    found = _found(folder, there)
    _each(_fetch, [path for path, told in found.items() if _absent(path) or _known(path).get("there") != _token(told)])
    return folder


def push(path: Path) -> None:
    """Bring a file, or all that changed in a folder, to where it belongs.

    Raises:
        DataError: It cannot be written there.
    """
    if url(path) is not None:
        _each(_send, [each for each in _files(path) if _known(each).get("here") != _stamp(each)])


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """What changes in a folder meanwhile is brought to where it belongs at the end, whatever ends it."""
    try:
        yield
    finally:
        push(folder)


def remove(path: Path) -> None:
    """Remove a file here and there; it may be missing.

    Raises:
        DataError: It cannot be removed there.
    """
    path.unlink(missing_ok=True)
    if (there := url(path)) is None:
        return
    _note(path).unlink(missing_ok=True)
    system, name = _system(there)
    with _told(there, "cannot be removed"):
        if system.exists(name):
            system.rm_file(name)


def move(folder: Path, new: Path) -> None:
    """Give a folder another name, here and there.

    Raises:
        DataError: It cannot be done there.
    """
    fetched(folder)
    folder.rename(new)
    if (there := url(folder)) is None:
        return
    for note in new.rglob(f"{NOTES}/*"):
        note.unlink()
    push(new)
    system, name = _system(there)
    with _told(there, "cannot be removed"):
        system.rm(name, recursive=True)


def _files(path: Path) -> Iterator[Path]:
    """What is written to the end, below a path."""
    for where, folders, names in os.walk(path) if path.is_dir() else ((path.parent, list[str](), [path.name]),):
        folders[:] = [name for name in folders if not name.startswith(".")]
        seen = (Path(where, name) for name in names if not name.startswith("."))
        yield from (each for each in seen if not _absent(each))


def _send(path: Path) -> None:
    stamp, there = _stamp(path), named(path)
    system, name = _system(there)
    with _told(there, "cannot be written", f"it is kept in {path}, run the same again"):
        system.makedirs(str(PurePosixPath(name).parent), exist_ok=True)
        system.put_file(str(path), name)
        system.invalidate_cache(str(PurePosixPath(name).parent))
        _write_note(path, here=stamp, there=_token(system.info(name)))


def _fetch(path: Path) -> None:
    """Fetch a file under another name, then rename it: whoever looks sees none or all of it.

    Of several processes that want it one fetches, and the others wait.
    """
    there, before = named(path), _identity(path)
    system, name = _system(there)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("ab") as target:
        fcntl.flock(target, fcntl.LOCK_EX)
        if _identity(path) != before:  # another one has fetched it meanwhile
            return
        try:
            with _told(there, "cannot be fetched"):
                token = _token(system.info(name))
                target.truncate(0)
                with system.open(name, "rb") as source:
                    shutil.copyfileobj(source, target, 1 << 20)
                target.flush()
        except DataError:
            part.unlink(missing_ok=True)
            raise
        part.replace(path)
    _write_note(path, here=_stamp(path), there=token)


def _promise(path: Path, told: Mapping[str, Any]) -> None:
    """A file of that name and size that may not be read yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, ABSENT))
    os.truncate(path, int(told.get("size") or 0))
    _write_note(path, here=_stamp(path), there=_token(told))


def _absent(path: Path) -> bool:
    return path.exists() and stat.S_IMODE(path.stat().st_mode) == ABSENT


def _identity(path: Path) -> tuple[int, int]:
    with suppress(OSError):
        told = path.stat()
        return told.st_ino, told.st_mode
    return 0, 0


def _stamp(path: Path) -> str:
    told = path.stat()
    return f"{told.st_size} {told.st_mtime_ns}"


def _token(told: Mapping[str, Any]) -> str:
    """What tells a file there from what it was before."""
    values = {name: told[name] for name in TELLING if told.get(name) is not None}
    plain = {name: value.timestamp() if isinstance(value, datetime) else value for name, value in values.items()}
    return " ".join(f"{name}={value}" for name, value in plain.items())


def _note(path: Path) -> Path:
    return path.parent / NOTES / path.name


def _known(path: Path) -> dict[str, str]:
    """What a file was here and there when both were the same; nothing of one that is not here."""
    with suppress(OSError, ValueError):
        return dict(json.loads(_note(path).read_text(encoding="utf-8"))) if path.exists() else {}
    return {}


def _write_note(path: Path, **told: str) -> None:
    note = _note(path)
    note.parent.mkdir(exist_ok=True)
    note.write_text(json.dumps(told), encoding="utf-8")


def _found(folder: Path, there: str) -> dict[Path, Mapping[str, Any]]:
    """All files in a folder there, by their paths here."""
    system, name = _system(there)
    with _told(there, "cannot be reached"):
        system.invalidate_cache()
        details = system.find(name, detail=True) if system.exists(name) else {}
    start = len(name.rstrip("/")) + 1
    return {folder / key[start:]: each for key, each in sorted(details.items())}


def _each(work: Callable[[Path], None], paths: Iterable[Path]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(work, paths):
            pass


@contextmanager
def _told(there: str, what: str, right: str = "check the URL and your access to it") -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever the library of that kind of URL raises
        raise DataError(f"{there}: {what} ({type(error).__name__}: {error}): {right}") from error


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
