"""Files elsewhere (``s3://``, ``gs://``, whatever fsspec reads), kept under a folder here as they are asked for.

A URL stands for a path below the cache, see `slowfast_cli.storage.places`, and everything else works on paths. A
file that is not here yet has its name and its size, and may not be read. Nothing keeps two machines from writing to the
same URL.

Nothing is imported or asked for unless a path lies below the cache.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from slowfast_cli.storage.places import cache as cache
from slowfast_cli.storage.places import display as display
from slowfast_cli.storage.places import local_path as local_path
from slowfast_cli.storage.places import url as url
from slowfast_cli.types import DataError

LISTS = frozenset({".csv", ".tsv", ".txt", ".json", ".jsonl", ".pkl", ".md", ".yaml", ".yml", ".pbtxt"})
ABSENT = stat.S_IWUSR  # the mode of a file that is not here yet
AT_ONCE = 16  # files fetched at the same time
NOTES = ".remote"  # a folder beside files: for each what it was here and there when both were the same
TELLING = ("size", "ETag", "etag", "LastModified", "updated", "generation", "mtime", "created", "md5Hash")


def mirror(folder: Path) -> Path:
    """The folder, with all that is in it by name; lists are fetched, other files when `here` is asked for them.

    Raises:
        DataError: It cannot be reached, or a file has changed both here and there.
    """
    if url(folder) is not None:
        with _alone(folder):
            new = _new(folder)
            for path, told in new.items():
                if path.suffix.lower() not in LISTS:
                    _promise(path, told)
            _each(_fetch, [path for path in new if path.suffix.lower() in LISTS])
    return folder


def ensure_local(path: Path) -> Path:
    """The file, fetched if it is not here yet.

    Raises:
        DataError: It cannot be reached.
    """
    if url(path) is not None and (not path.exists() or _absent(path)):
        _fetch(path)
    return path


def download(folder: Path) -> Path:
    """The folder with all its files, or the one file, as there now; what is not there any more is not here either.

    Raises:
        DataError: It cannot be reached, or a file has changed both here and there.
    """
    if url(folder) is not None:
        with _alone(folder):
            new = _new(folder)
            _each(_fetch, [*new, *(path for path in folder.rglob("*") if path.is_file() and _absent(path))])
    return folder


def exists(path: Path) -> bool:
    """Whether there is something of that name, here or there.

    Raises:
        DataError: It cannot be reached.
    """
    if path.exists() or (there := url(path)) is None:
        return path.exists()
    system, name = _system(there)
    with _told(there, "cannot be reached"):
        return bool(system.exists(name))


def upload(path: Path) -> None:
    """Bring a file, or all that changed in a folder, to where it belongs.

    Raises:
        DataError: It cannot be written there.
    """
    if url(path) is not None:
        _each(_send, [each for each in _files(path) if _known(each).get("here") != _stamp(each)])


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
    download(folder).rename(new)
    if (there := url(folder)) is None:
        return
    for note in new.rglob(f"{NOTES}/*"):
        note.unlink()
    upload(new)
    system, name = _system(there)
    with _told(there, "cannot be removed"):
        if system.exists(name):
            system.rm(name, recursive=True)


def _files(path: Path) -> Iterator[Path]:
    """What is written to the end, below a path."""
    for where, folders, names in os.walk(path) if path.is_dir() else ((path.parent, list[str](), [path.name]),):
        folders[:] = [name for name in folders if not name.startswith(".")]
        seen = (Path(where, name) for name in names if not name.startswith("."))
        yield from (each for each in seen if not _absent(each))


def _send(path: Path) -> None:
    stamp, there = _stamp(path), display(path)
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
    there, before = display(path), _identity(path)
    system, name = _system(there)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("ab") as target:
        fcntl.flock(target, fcntl.LOCK_EX)
        if _identity(path) != before:  # another one has fetched it meanwhile
            return
        with _told(there, "cannot be fetched"):
            token = _token(system.info(name))
            source = system.open(name, "rb")
        with source:
            target.truncate(0)
            _copied(source, target, there)
        part.replace(path)
    _write_note(path, here=_stamp(path), there=token)


def _copied(source: Any, target: Any, there: str) -> None:
    while True:
        with _told(there, "cannot be fetched"):
            block = source.read(1 << 20)
        if not block:
            break
        try:
            target.write(block)
        except OSError as error:
            raise DataError(f"{cache()}: {there} does not fit there ({error.strerror}): make room") from error
    target.flush()


def _promise(path: Path, told: Mapping[str, Any]) -> None:
    """A file of that name and size that may not be read yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f".{path.name}.{os.getpid()}.absent")
    os.close(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, ABSENT))
    os.truncate(made, int(told.get("size") or 0))
    made.replace(path)
    _write_note(path, here=_stamp(path), there=_token(told))


def _absent(path: Path) -> bool:
    return path.exists() and stat.S_IMODE(path.stat().st_mode) == ABSENT


def _identity(path: Path) -> tuple[int, int]:
    with suppress(OSError):
        return (told := path.stat()).st_ino, told.st_mode
    return 0, 0


def _stamp(path: Path) -> str:
    told = path.stat()
    return f"{told.st_size} {told.st_mtime_ns}"


def _token(told: Mapping[str, Any]) -> str:
    """What tells a file there from what it was before."""
    values = {name: told[name] for name in TELLING if told.get(name) is not None}
    plain = {name: each.timestamp() if isinstance(each, datetime) else each for name, each in values.items()}
    return json.dumps(plain)


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
    part = note.with_name(f"{note.name}.{os.getpid()}.part")
    part.write_text(json.dumps(told), encoding="utf-8")
    part.replace(note)


def _new(folder: Path) -> dict[Path, Mapping[str, Any]]:
    """What there is that is not here as it is now; what was fetched, and is not there any more, is removed here."""
    there = display(folder)
    system, name = _system(there)
    with _told(there, "cannot be reached"):
        system.invalidate_cache()
        details = system.find(name, detail=True) if system.exists(name) else {}
    start = len(name.rstrip("/")) + 1
    found = {folder / key[start:]: each for key, each in sorted(details.items())}
    for note in [*folder.rglob(f"{NOTES}/*")]:
        path = note.parents[1] / note.name
        if path not in found and _known(path).get("here") == (_stamp(path) if path.exists() else None):
            path.unlink(missing_ok=True)
            note.unlink(missing_ok=True)
    new = {path: told for path, told in found.items() if _known(path).get("there") != _token(told)}
    for path in new:
        if (known := _known(path)) and known["here"] != _stamp(path):
            raise DataError(f"{display(path)}: has changed both there and in {path}: remove the one that is wrong")
    return new


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process of this machine at a time looks at what is new in a folder."""
    lock = cache() / ".locks" / sha256(str(folder).encode()).hexdigest()[:16]
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _each(work: Callable[[Path], None], paths: Iterable[Path]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(work, paths))


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
            f"{there}: nothing here reads such URLs ({error}): `pip install s3fs` reads s3://, gcsfs gs://"
        ) from error
    return system, str(name)
