"""Remote files (``s3://``, ``gs://``, any URL that fsspec reads), mirrored in a local cache on demand.

A URL is represented by a path below the cache, so that all other code works on paths; `local_path` and `url`
translate. A mirrored folder shows every remote file with its name and size; a file that was not downloaded yet is a
sparse, unreadable placeholder. fsspec's own file cache hashes names, has no listing and does not track local changes:
only its transfers are used. Nothing keeps two machines from writing to the same URL.

All functions raise `DataError` with the URL where a remote file cannot be reached or written, and if a file changed
both locally and remotely. fsspec is imported only if a path lies below the cache.
"""

import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from slowfast_cli.storage.lock import file_lock
from slowfast_cli.types import DataError

URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://(?P<rest>.*)")
COLLAPSED = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/+.*")  # a URL whose slashes a path library has merged
ROOTED = ("file", "local")  # schemes with absolute paths
LISTS = frozenset({".csv", ".tsv", ".txt", ".json", ".jsonl", ".pkl", ".md", ".yaml", ".yml", ".pbtxt"})
PLACEHOLDER = stat.S_IWUSR  # mode of a file that was not downloaded yet
TRANSFERS = 16  # concurrent downloads or uploads
NOTES = ".remote"  # folder of sync records: for each file its local and remote version when both were equal
VERSION_KEYS = ("size", "ETag", "etag", "LastModified", "updated", "generation", "mtime", "created", "md5Hash")


def cache() -> Path:
    """Folder of the local copies: $SLOWFAST_CACHE or the user's cache folder."""
    given = os.environ.get("SLOWFAST_CACHE")
    base = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slowfast"
    return (base / "remote").absolute()


def local_path(text: str | Path) -> Path:
    """Path of a file name or URL; that of a URL lies below the cache.

    >>> local_path("sounds/a"), local_path("s3://bucket/a").relative_to(cache())
    (PosixPath('sounds/a'), PosixPath('s3/bucket/a'))

    Raises:
        DataError: The text is a malformed URL.
    """
    match = URL.fullmatch(str(text))
    if not match:
        if COLLAPSED.fullmatch(str(text)) and not Path(text).drive:
            raise DataError(f"{text}: neither a path nor a URL: write scheme://bucket/folder")
        return Path(text)
    parts = [part for part in match["rest"].rstrip("/").split("/") if part != "."]
    parts = parts[1:] if match["scheme"] in ROOTED and not parts[0] else parts
    if ".." in parts or "" in parts or "::" in str(text) or "@" in parts[0]:
        raise DataError(f"{text}: URLs must not contain '..', empty parts, '::' or a password")
    return cache().joinpath(match["scheme"].lower(), *parts)


def url(path: Path) -> str | None:
    """URL of a path below the cache; None for a local path."""
    root = cache()
    if not path.is_absolute() or root not in path.parents:
        return None
    scheme, *rest = path.relative_to(root).parts
    return f"{scheme}://{'/' if scheme in ROOTED else ''}{'/'.join(rest)}"


def display(path: Path) -> str:
    """A path or URL as the user wrote it."""
    return url(path) or str(path)


def mirror(folder: Path) -> Path:
    """List a folder: download annotation lists, and make placeholders of other files, see `ensure_local`."""
    if url(folder) is not None:
        with _exclusive(folder / NOTES):  # not the lock of a file, which `_fetch` takes
            changed = _changed(folder)
            for path, info in changed.items():
                if path.suffix.lower() not in LISTS:
                    _make_placeholder(path, info)
            _parallel(_fetch, [path for path in changed if path.suffix.lower() in LISTS])
    return folder


def ensure_local(path: Path) -> Path:
    """Download a file if that has not happened yet."""
    if url(path) is not None and (not path.exists() or _is_placeholder(path)):
        _fetch(path)
    return path


def download(folder: Path) -> Path:
    """Bring a folder with all its files, or one file, to its remote state."""
    if url(folder) is not None:
        with _exclusive(folder / NOTES):  # not the lock of a file, which `_fetch` takes
            changed = _changed(folder)
            missing = [path for path in folder.rglob("*") if path.is_file() and _is_placeholder(path)]
            _parallel(_fetch, [*changed, *missing])
    return folder


def exists(path: Path) -> bool:
    """Whether a file or folder exists, locally or remotely."""
    if path.exists() or (address := url(path)) is None:
        return path.exists()
    system, name = _file_system(address)
    with _errors(address, "cannot be reached"):
        return bool(system.exists(name))


def upload(path: Path) -> None:
    """Upload a file, or everything that changed in a folder, if the path is remote."""
    if url(path) is not None:
        _parallel(_send, [file for file in _files(path) if _record(file).get("here") != _local_version(file)])


def remove(path: Path) -> None:
    """Remove a file, if it exists, locally and remotely."""
    path.unlink(missing_ok=True)
    if (address := url(path)) is None:
        return
    _record_path(path).unlink(missing_ok=True)
    system, name = _file_system(address)
    with _errors(address, "cannot be removed"):
        if system.exists(name):
            system.rm_file(name)


def move(folder: Path, new: Path) -> None:
    """Rename a folder, locally and remotely."""
    download(folder).rename(new)
    if (address := url(folder)) is None:
        return
    for record in new.rglob(f"{NOTES}/*"):
        record.unlink()
    upload(new)
    system, name = _file_system(address)
    with _errors(address, "cannot be removed"):
        if system.exists(name):
            system.rm(name, recursive=True)


def _files(path: Path) -> Iterator[Path]:
    """Complete, visible files at or below a path."""
    for where, folders, names in os.walk(path) if path.is_dir() else ((path.parent, list[str](), [path.name]),):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files = (Path(where, name) for name in names if not name.startswith("."))
        yield from (file for file in files if not _is_placeholder(file))


def _send(path: Path) -> None:
    version, address = _local_version(path), display(path)
    system, name = _file_system(address)
    with _errors(address, "cannot be written", f"it is kept in {path}, run the same command again"):
        system.makedirs(str(PurePosixPath(name).parent), exist_ok=True)
        system.put_file(str(path), name)
        system.invalidate_cache(str(PurePosixPath(name).parent))
        _write_record(path, here=version, there=_remote_version(system.info(name)))


def _fetch(path: Path) -> None:
    """Download a file under a temporary name, then rename it; of several processes one downloads, the others wait."""
    address, before = display(path), _identity(path)
    system, name = _file_system(address)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _exclusive(path):
        if _identity(path) != before:  # another process has downloaded it
            return
        part = path.with_name(f".{path.name}.part")
        with _errors(address, "cannot be fetched", f"check the URL, your access to it and the space in {cache()}"):
            version = _remote_version(system.info(name))
            system.get_file(name, str(part))
        part.replace(path)
    _write_record(path, here=_local_version(path), there=version)


def _make_placeholder(path: Path, info: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.absent")
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PLACEHOLDER))
    os.truncate(temporary, int(info.get("size") or 0))
    temporary.replace(path)
    _write_record(path, here=_local_version(path), there=_remote_version(info))


def _is_placeholder(path: Path) -> bool:
    return path.exists() and stat.S_IMODE(path.stat().st_mode) == PLACEHOLDER


def _identity(path: Path) -> tuple[int, int]:
    with suppress(OSError):
        status = path.stat()
        return status.st_ino, status.st_mode
    return 0, 0


def _local_version(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


def _remote_version(info: Mapping[str, Any]) -> str:
    """What distinguishes a remote file from its earlier versions."""
    values = {name: info[name] for name in VERSION_KEYS if info.get(name) is not None}
    return json.dumps({name: v.timestamp() if isinstance(v, datetime) else v for name, v in values.items()})


def _record_path(path: Path) -> Path:
    return path.parent / NOTES / path.name


def _record(path: Path) -> dict[str, str]:
    """Local and remote version of a file when both were equal; empty if it is not local."""
    with suppress(OSError, ValueError):
        return dict(json.loads(_record_path(path).read_text(encoding="utf-8"))) if path.exists() else {}
    return {}


def _write_record(path: Path, **versions: str) -> None:
    record = _record_path(path)
    record.parent.mkdir(exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")  # not among the records, which another process lists
    part.write_text(json.dumps(versions), encoding="utf-8")
    part.replace(record)


def _changed(folder: Path) -> dict[Path, Mapping[str, Any]]:
    """Remote files that differ from their local copies; local copies of files removed remotely are removed."""
    address = display(folder)
    system, name = _file_system(address)
    with _errors(address, "cannot be reached"):
        system.invalidate_cache()
        details = system.find(name, detail=True) if system.exists(name) else {}
    start = len(name.rstrip("/")) + 1
    remote = {folder / key[start:]: info for key, info in sorted(details.items())}
    for record in [*folder.rglob(f"{NOTES}/*")]:
        path = record.parents[1] / record.name
        if path not in remote and _record(path).get("here") == (_local_version(path) if path.exists() else None):
            path.unlink(missing_ok=True)
            record.unlink(missing_ok=True)
    changed = {path: info for path, info in remote.items() if _record(path).get("there") != _remote_version(info)}
    for path in changed:
        if (record_ := _record(path)) and record_["here"] != _local_version(path):
            raise DataError(f"{display(path)}: changed both remotely and in {path}: remove the one that is wrong")
    return changed


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Let one process of this machine at a time work on a file or folder."""
    lock = cache() / ".locks" / sha256(str(path).encode()).hexdigest()[:16]
    lock.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(lock, wait=True) as obtained:
        if not obtained:
            raise DataError(f"{display(path)}: {lock} cannot be locked: put $SLOWFAST_CACHE on a local disk")
        yield


def _parallel(work: Callable[[Path], None], paths: Iterable[Path]) -> None:
    with ThreadPoolExecutor(TRANSFERS) as pool:
        list(pool.map(work, paths))


@contextmanager
def _errors(address: str, problem: str, remedy: str = "check the URL and your access to it") -> Iterator[None]:
    try:
        yield
    except Exception as error:  # each file system raises its own
        raise DataError(f"{address}: {problem} ({type(error).__name__}: {error}): {remedy}") from error


def _file_system(address: str) -> tuple[Any, str]:
    """Fsspec's file system of a URL, and the name in it."""
    import fsspec  # noqa: PLC0415  (only if there is a URL)

    try:
        system, name = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise DataError(
            f"{address}: no file system for this URL ({error}): `pip install s3fs` reads s3://, gcsfs gs://, "
            "aiohttp and requests https://"
        ) from error
    return system, str(name)
