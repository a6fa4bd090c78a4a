"""A self-contained HTML page: tables, pictures, sounds; it loads nothing from the network and works from disk."""

import base64
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, Template, select_autoescape

TEMPLATE = "page.html.j2"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text; columns after the first ``left`` are numbers, set to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture, embedded as a data URL."""

    url: str
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A recording with its pictures and a player."""

    title: str
    lines: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    sound: str = ""
    """Data URL; empty without a player."""
    movie: str = ""
    """Likewise, of frames."""


@dataclass(frozen=True, kw_only=True)
class Download:
    """A file embedded in the page."""

    name: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading and what stands below it."""

    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    samples: Sequence[Sample] = ()
    downloads: Sequence[Download] = ()
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A report."""

    title: str
    facts: Sequence[tuple[str, str]] = ()
    """Names and values at the head of the page."""
    sections: Sequence[Section] = field(default_factory=tuple)


def render(page: Page) -> str:
    """Return the HTML of a page; all texts are escaped."""
    return _template().render(page=page)


def data_url(content: bytes, kind: str) -> str:
    """Embed bytes of a MIME type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def picture(path: Path, caption: str = "") -> Picture:
    """Embed a picture file."""
    kind = mimetypes.guess_type(path.name)[0] or "image/png"
    return Picture(url=data_url(path.read_bytes(), kind), caption=caption)


@lru_cache(maxsize=1)
def _template() -> Template:
    loader = FileSystemLoader(Path(__file__).parent)
    return Environment(loader=loader, autoescape=select_autoescape(["j2"])).get_template(TEMPLATE)
