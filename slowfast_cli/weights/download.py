"""Download of weight files into a cache: resumed, checked, and never half there."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from ssl import SSLError
from typing import TypeAlias
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from slowfast_cli.storage.atomic import file_hash
from slowfast_cli.storage.lock import file_lock
from slowfast_cli.types import WeightsError
from slowfast_cli.weights.catalogue_entry import Entry

Progress: TypeAlias = Callable[[int, "int | None"], None]  # bytes here, bytes in all if known

BLOCK = 1 << 18  # bytes read at a time
SECONDS = 30.0  # without a byte before the connection is given up


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is fetched, and the files it passes through on the way.

    Attributes:
        url: Where it comes from.
        path: The finished file.
        md5: Of the right file, where that is known.
        sha256: Likewise.
    """

    url: str
    path: Path
    md5: str = ""
    sha256: str = ""

    @property
    def part(self) -> Path:
        """The file while it is incomplete."""
        return self.path.with_name(self.path.name + ".part")

    @property
    def tag(self) -> Path:
        """What the server called the version in ``part``."""
        return self.path.with_name(self.path.name + ".part.json")

    @property
    def digest(self) -> Path:
        """SHA-256 of the finished file, as ``sha256sum`` writes it."""
        return self.path.with_name(self.path.name + ".sha256")

    @property
    def by_hand(self) -> str:
        """The way out when the network is none."""
        return f"download {self.url} with a browser and save it as {self.path}"


def default_cache() -> Path:
    """``$SLOWFAST_CACHE``, else ``slowfast`` in ``$XDG_CACHE_HOME``, else ``~/.cache/slowfast``."""
    own = os.environ.get("SLOWFAST_CACHE")
    if own:
        return Path(own).expanduser()
    xdg = os.environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "slowfast"


def target(source: Entry | str, cache: Path | None = None) -> Target:
    """Where a file comes from and where it goes, without touching either.

    Args:
        source: An entry of the catalogue, or an http(s) address.
        cache: Folder of the files; `default_cache` if None.

    Raises:
        WeightsError: The address is not http or https, or names no file.
    """
    folder = cache or default_cache()
    if isinstance(source, Entry):
        return Target(url=source.url, path=folder / source.file, md5=source.md5, sha256=source.sha256)
    parts = urlsplit(source)
    # Without its query, so that ?dl=1 is no part of the name; with a digest, since many addresses end in model.pth.
    name = re.sub(r"[^\w.=-]", "_", unquote(parts.path.rsplit("/", 1)[-1]))
    if parts.scheme not in {"http", "https"} or not parts.hostname or not name.strip("."):
        raise WeightsError(
            f"weights: {source!r} is no address of a file; give a file, a name of the catalogue or https://..."
        )
    return Target(url=source, path=folder / f"{hashlib.sha256(source.encode()).hexdigest()[:8]}-{name}")


def download(
    source: Entry | str, cache: Path | None = None, *, offline: bool = False, progress: Progress | None = None
) -> Path:
    """The file in the cache, fetched first if it is not there.

    An interrupted download goes on where it stopped; a second process waits for the first. The file gets its name only
    when all of it is there; its SHA-256 is recorded beside it and checked whenever the file is asked for again. A file
    put there by hand is taken as it is.

    Args:
        source: An entry of the catalogue, or an http(s) address.
        cache: Folder of the files; `default_cache` if None.
        offline: Do not use the network.
        progress: Called with the bytes here and in all (None if the server does not say).

    Raises:
        WeightsError: Not there and offline; no network; refused by the server; a web page in place of the file;
            incomplete; changed since it was downloaded; or the cache cannot be written.
    """
    goal = target(source, cache)
    try:
        if goal.path.is_file():
            return _checked(goal)
        if offline:
            raise WeightsError(
                f"{goal.path}: not there, and --offline forbids the network; drop --offline, or {goal.by_hand}"
            )
        goal.path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(goal.path.with_name(goal.path.name + ".lock"), wait=True):
            if not goal.path.is_file():
                _fetch(goal, progress or (lambda here, total: None))
                _refuse_other(goal)
                goal.digest.write_text(f"{file_hash(goal.part)}  {goal.path.name}\n", encoding="utf-8")
                goal.part.replace(goal.path)
                goal.tag.unlink(missing_ok=True)
    except (URLError, TimeoutError, ConnectionError, HTTPException, SSLError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise WeightsError(
            f"{goal.url}: no connection ({reason or type(error).__name__}); run the same command again to go on, "
            f"or {goal.by_hand}"
        ) from error
    except OSError as error:
        raise WeightsError(
            f"{goal.path}: cannot be written ({error.strerror or error}); free some space or set SLOWFAST_CACHE to "
            "another folder"
        ) from error
    return goal.path


def _checked(goal: Target) -> Path:
    """The finished file, unless it differs from what was downloaded."""
    if goal.digest.is_file():
        recorded = goal.digest.read_text(encoding="utf-8").split()[:1]
        if recorded != [file_hash(goal.path)]:
            raise WeightsError(
                f"{goal.path}: does not match the SHA-256 recorded when it was downloaded; delete it and its .sha256 "
                "file, then run the same command again"
            )
    return goal.path


def _refuse_other(goal: Target) -> None:
    """A file that came whole, but is not the one that was published."""
    for kind, right in (("md5", goal.md5), ("sha256", goal.sha256)):
        found = file_hash(goal.part, kind) if right else right
        if found != right:
            _forget(goal)
            raise WeightsError(
                f"{goal.url}: another file than was published, its {kind} is {found}, not {right}; try again, and if "
                f"it stays so, {goal.by_hand} if you trust it"
            )


def _fetch(goal: Target, progress: Progress) -> None:
    """Fill the ``.part`` file up to its end."""
    try:
        _receive(goal, progress)
    except HTTPError as error:
        if error.code != 416 or not goal.part.is_file():
            raise WeightsError(_refusal(goal, error)) from error
        # Nothing is left to send: either the part is whole, or it is of something else.
        complete = _total(error.headers) == goal.part.stat().st_size
        if not complete:
            _forget(goal)
            _fetch(goal, progress)
    _refuse_page(goal, "")


def _receive(goal: Target, progress: Progress) -> None:
    here = goal.part.stat().st_size if goal.part.is_file() else 0
    request = Request(goal.url, headers={"User-Agent": "slowfast", "Accept-Encoding": "identity"})
    if here:
        request.add_header("Range", f"bytes={here}-")
        version = _version(goal)
        if version:
            request.add_header("If-Range", version)  # a file that has changed is sent whole
    with urlopen(request, timeout=SECONDS) as response:
        resumed = response.status == 206 and _first_byte(response.headers) == here
        if response.status == 206 and not resumed:
            raise WeightsError(
                f"{goal.url}: the server sent another range than asked for; delete {goal.part} and try again"
            )
        _refuse_page(goal, response.headers.get_content_type())
        tag = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        goal.tag.write_text(json.dumps({"version": tag}), encoding="utf-8")
        start = here if resumed else 0
        total = _total(response.headers)
        with goal.part.open("ab" if resumed else "wb") as file:
            _copy(response, file.write, lambda received: progress(start + received, total))
            file.flush()
            os.fsync(file.fileno())
    size = goal.part.stat().st_size
    if total is not None and size != total:
        _refuse_page(goal, "")
        raise WeightsError(
            f"{goal.url}: incomplete, {size} of {total} bytes came; run the same command again to go on from there"
        )


def _copy(response: HTTPResponse, write: Callable[[bytes], object], progress: Callable[[int], None]) -> None:
    received = 0
    progress(received)
    while block := response.read(BLOCK):
        write(block)
        received += len(block)
        progress(received)


def _version(goal: Target) -> str:
    """What the server called the version in the part; a weak tag is no proof of equal bytes, so none."""
    try:
        version = str(json.loads(goal.tag.read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return "" if version.startswith("W/") else version


def _first_byte(headers: Message) -> int | None:
    found = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _total(headers: Message) -> int | None:
    """Bytes of the whole file, from a whole or a partial answer."""
    found = re.search(r"/(\d+)$", headers.get("Content-Range", ""))
    size = found[1] if found else headers.get("Content-Length")
    return int(size) if size and size.isdigit() else None


def _refuse_page(goal: Target, content_type: str) -> None:
    """A web page where the file should be is what a host sends that wants a click, a login or less traffic."""
    start = b""
    if goal.part.is_file():
        with goal.part.open("rb") as file:
            start = file.read(256).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    page_here = start.startswith((b"<!doctype", b"<html", b"<?xml"))
    if page_here:
        _forget(goal)
    if page_here or content_type in {"text/html", "application/xhtml+xml"}:
        raise WeightsError(f"{goal.url}: the server sent a web page instead of the file; {goal.by_hand}")


def _refusal(goal: Target, error: HTTPError) -> str:
    reasons = {
        401: "needs a login",
        403: "is forbidden",
        404: "is not there",
        410: "was removed",
        429: "is over its limit",
    }
    what = reasons.get(error.code, "failed")
    return f"{goal.url}: {what} (HTTP {error.code} {error.reason}); try later, or {goal.by_hand}"


def _forget(goal: Target) -> None:
    goal.part.unlink(missing_ok=True)
    goal.tag.unlink(missing_ok=True)
