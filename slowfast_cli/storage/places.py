"""URLs and the paths that stand for them, below the cache: what is beside a folder there is beside it here.

Nothing is looked at or fetched here: see `slowfast_cli.storage.remote`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from slowfast_cli.types import DataError

URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://(?P<rest>.*)")
ALMOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/+.*")  # a URL that something has taken for a path
ROOTED = ("file", "local")  # schemes whose paths begin at the root


def cache() -> Path:
    """The folder that files elsewhere are kept under."""
    given = os.environ.get("SLOWFAST_CACHE")
    base = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slowfast"
    return (base / "remote").absolute()


def local_path(text: str | Path) -> Path:
    """The path that words stand for: that of a URL lies below the cache.

    >>> local_path("sounds/a"), local_path("s3://bucket/a").relative_to(cache())
    (PosixPath('sounds/a'), PosixPath('s3/bucket/a'))
    """
    found = URL.fullmatch(str(text))
    if not found:
        if ALMOST.fullmatch(str(text)):
            raise DataError(f"{text}: neither a path nor a URL: write scheme://bucket/folder")
        return Path(text)
    parts = [part for part in found["rest"].rstrip("/").split("/") if part != "."]
    parts = parts[1:] if found["scheme"] in ROOTED and not parts[0] else parts
    if ".." in parts or "" in parts or "::" in str(text) or "@" in parts[0]:
        raise DataError(f"{text}: a URL here has no '..', no empty parts, no '::' and no password: write it without")
    return cache().joinpath(found["scheme"].lower(), *parts)


def url(path: Path) -> str | None:
    """The URL that a path stands for; None of a path that is only here."""
    root = cache()
    if not path.is_absolute() or root not in path.parents:
        return None
    scheme, *rest = path.relative_to(root).parts
    return f"{scheme}://{'/' if scheme in ROOTED else ''}{'/'.join(rest)}"


def display(path: Path) -> str:
    """A path as the user wrote it."""
    return url(path) or str(path)
