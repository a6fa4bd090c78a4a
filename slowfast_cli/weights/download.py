"""Download of weight files into a cache: resumable, verified, and visible only once complete.

`torch.hub.download_url_to_file` is not used because it cannot resume and takes a web page for the file.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from ssl import SSLError
from typing import TypeAlias
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from slowfast_cli.storage.atomic import file_hash
from slowfast_cli.storage.lock import file_lock
from slowfast_cli.types import Seconds, WeightsError
from slowfast_cli.weights.catalog_entry import CatalogEntry

Progress: TypeAlias = Callable[[int, "int | None"], None]  # bytes received, total if known

BLOCK = 1 << 18  # bytes per read
TIMEOUT: Seconds = 30.0  # longest wait for a byte
HTTP_REASONS = {
    401: "needs a login",
    403: "is forbidden",
    404: "is not there",
    410: "was removed",
    429: "has exceeded its download limit",
}


@dataclass(frozen=True, kw_only=True)
class Target:
    """URL of a download, and the files that it uses in the cache."""

    url: str
    path: Path  # the complete file
    md5: str = ""  # expected hash, if published
    sha256: str = ""

    @property
    def part(self) -> Path:
        """The file while it is incomplete."""
        return self.path.with_name(self.path.name + ".part")

    @property
    def tag(self) -> Path:
        """JSON with the server's version (ETag) of ``part``."""
        return self.path.with_name(self.path.name + ".part.json")

    @property
    def digest(self) -> Path:
        """SHA-256 of the complete file, in the format of ``sha256sum``."""
        return self.path.with_name(self.path.name + ".sha256")

    @property
    def manual_advice(self) -> str:
        """How to get the file without this program."""
        return f"download {self.url} with a browser and save it as {self.path}"

    def discard(self) -> None:
        """Delete what has been received."""
        self.part.unlink(missing_ok=True)
        self.tag.unlink(missing_ok=True)


def default_cache() -> Path:
    """``$SLOWFAST_CACHE``, else ``slowfast`` in ``$XDG_CACHE_HOME``, else ``~/.cache/slowfast``."""
    own = os.environ.get("SLOWFAST_CACHE")
    if own:
        return Path(own).expanduser()
    xdg = os.environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "slowfast"


def target(source: CatalogEntry | str, cache: Path | None = None) -> Target:
    """Determine URL and cache file of a download, without accessing either.

    Args:
        source: A catalog entry, or an http(s) URL.
        cache: Cache folder; None: `default_cache`.

    Raises:
        WeightsError: The URL is not http or https, or contains no file name.
    """
    folder = cache or default_cache()
    if isinstance(source, CatalogEntry):
        return Target(url=source.url, path=folder / source.file, md5=source.md5, sha256=source.sha256)
    parts = urlsplit(source)
    # Without the query, as in ?dl=1; with a hash of the URL, since many URLs end in model.pth.
    name = re.sub(r"[^\w.=-]", "_", unquote(parts.path.rsplit("/", 1)[-1]))
    if parts.scheme not in {"http", "https"} or not parts.hostname or not name.strip("."):
        raise WeightsError(
            f"weights: {source!r} is not the URL of a file; expected a file, a catalog name or https://..."
        )
    return Target(url=source, path=folder / f"{hashlib.sha256(source.encode()).hexdigest()[:8]}-{name}")


def download(
    source: CatalogEntry | str, cache: Path | None = None, *, offline: bool = False, progress: Progress | None = None
) -> Path:
    """Download a file into the cache, unless it is there.

    An interrupted download is resumed; concurrent processes wait for the first one. The file gets its final name when
    it is complete. Its SHA-256 is stored beside it and checked on each use; files placed there manually have none.

    Args:
        source: A catalog entry, or an http(s) URL.
        cache: Cache folder; None: `default_cache`.
        offline: Do not use the network.
        progress: Called with the number of bytes received and the total (None if unknown).

    Raises:
        WeightsError: The file is not cached and ``offline`` is set; the network or the server fails; the server sends
            a web page, an incomplete file or one with another hash; the cached file has changed; or the cache cannot
            be written.
    """
    file = target(source, cache)
    try:
        if file.path.is_file():
            _verify_cached(file)
            return file.path
        if offline:
            raise WeightsError(
                f"{file.path}: not there, and --offline forbids the network; drop --offline, or {file.manual_advice}"
            )
        file.path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(file.path.with_name(file.path.name + ".lock"), wait=True):
            if not file.path.is_file():
                _fetch(file, progress or (lambda received, total: None))
                _verify_published(file)
                file.digest.write_text(f"{file_hash(file.part)}  {file.path.name}\n", encoding="utf-8")
                file.part.replace(file.path)
                file.tag.unlink(missing_ok=True)
    except (URLError, TimeoutError, ConnectionError, HTTPException, SSLError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise WeightsError(
            f"{file.url}: no connection ({reason or type(error).__name__}): try again, or {file.manual_advice}"
        ) from error
    except OSError as error:
        raise WeightsError(
            f"{file.path}: cannot be written ({error.strerror or error}): free some space or set SLOWFAST_CACHE"
        ) from error
    return file.path


def recorded_hash(file: Target) -> str:
    """SHA-256 that was recorded when a cached file was downloaded; empty for files placed there manually."""
    if not file.digest.is_file():
        return ""
    return (file.digest.read_text(encoding="utf-8", errors="replace").split() or ["?"])[0]


def _verify_cached(file: Target) -> None:
    """Refuse a cached file that has changed since its download."""
    recorded = recorded_hash(file)
    if recorded and recorded != file_hash(file.path):
        raise WeightsError(
            f"{file.path}: does not match the SHA-256 of its download; delete it and its .sha256 file, and try again"
        )


def _verify_published(file: Target) -> None:
    """Refuse a complete download whose hash is not the published one."""
    for kind, expected in (("md5", file.md5), ("sha256", file.sha256)):
        if expected and (actual := file_hash(file.part, kind)) != expected:
            file.discard()
            raise WeightsError(
                f"{file.url}: not the published file: its {kind} is {actual}, expected {expected}; try again; "
                f"if you trust the file nevertheless, {file.manual_advice}"
            )


def _fetch(file: Target, progress: Progress) -> None:
    """Complete the ``.part`` file."""
    try:
        _receive(file, progress)
    except HTTPError as error:
        if error.code != 416 or not file.part.is_file():
            reason = f"{HTTP_REASONS.get(error.code, 'failed')} (HTTP {error.code} {error.reason})"
            raise WeightsError(f"{file.url}: {reason}; try later, or {file.manual_advice}") from error
        # The requested range is empty: the part is complete, or belongs to another file.
        if _total(error.headers) != file.part.stat().st_size:
            file.discard()
            _fetch(file, progress)
    _refuse_page(file)


def _receive(file: Target, progress: Progress) -> None:
    """Request the missing bytes and append them; the server may send the whole file instead."""
    offset = file.part.stat().st_size if file.part.is_file() else 0
    request = Request(file.url, headers={"User-Agent": "slowfast", "Accept-Encoding": "identity"})
    if offset:
        request.add_header("Range", f"bytes={offset}-")
        if version := _stored_version(file):
            request.add_header("If-Range", version)  # a file that has changed is sent whole
    with urlopen(request, timeout=TIMEOUT) as response:
        resumed = response.status == 206
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            raise WeightsError(f"{file.url}: sent another range than requested: delete {file.part} and try again")
        _refuse_page(file, response.headers.get_content_type())
        version = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        file.tag.write_text(json.dumps({"version": version}), encoding="utf-8")
        received, total = offset if resumed else 0, _total(response.headers)
        with file.part.open("ab" if resumed else "wb") as part:
            progress(received, total)
            while block := response.read(BLOCK):
                part.write(block)
                received += len(block)
                progress(received, total)
            part.flush()
            os.fsync(part.fileno())
    if total not in (None, received):
        _refuse_page(file)
        raise WeightsError(f"{file.url}: incomplete, {received} of {total} bytes: run the same command again to resume")


def _stored_version(file: Target) -> str:
    """Read the server's version of the part; empty for a weak ETag, which does not imply equal bytes."""
    try:
        version = str(json.loads(file.tag.read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return "" if version.startswith("W/") else version


def _total(headers: Message) -> int | None:
    """Return the size of the whole file, from a full or a partial response."""
    match = re.search(r"/(\d+)$", headers.get("Content-Range", ""))
    size = match[1] if match else headers.get("Content-Length")
    return int(size) if size and size.isdigit() else None


def _refuse_page(file: Target, content_type: str = "") -> None:
    """Refuse HTML, which hosts send to ask for a click or a login, or when a download limit is exceeded."""
    start = b""
    if file.part.is_file():
        with file.part.open("rb") as part:
            start = part.read(256).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    is_page = start.startswith((b"<!doctype", b"<html", b"<?xml"))
    if is_page:
        file.discard()
    if is_page or content_type in {"text/html", "application/xhtml+xml"}:
        raise WeightsError(f"{file.url}: the server sent a web page instead of the file; {file.manual_advice}")
