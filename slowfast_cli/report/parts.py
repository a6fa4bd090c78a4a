"""Parts that the reports of all commands share."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from slowfast_cli import __version__
from slowfast_cli.report.page import Page, Section, picture, render
from slowfast_cli.storage.atomic import write_bytes

REPORT = "report.html"
PICTURES = (
    ("curves", "Curves"),
    ("confusion-", "Confusion matrix"),
    ("confused-", "Most confused pairs"),
    ("classes-", "Classes"),
    ("calibration-", "Calibration"),
    ("precision-recall-", "Precision and recall"),
    ("bars-", "Classes beside the other model"),
    ("comparison-", "Classes that differ"),
    ("feature-maps", "Feature maps"),
)


def write_page(folder: Path, title: str, facts: Sequence[tuple[str, str]], sections: Sequence[Section]) -> Path:
    """Write ``report.html`` with the given facts, the command, the version and the time; return its path."""
    path = folder / REPORT
    now = datetime.now().astimezone().isoformat(timespec="minutes", sep=" ")
    command = ("Command", shlex.join(["slowfast", *sys.argv[1:]]))
    named = [*facts, command, ("Version", f"slowfast {__version__}"), ("Written", now)]
    html = render(Page(title=title, facts=named, sections=sections)).encode("utf-8", "surrogateescape")
    write_bytes(path, html)
    return path


def picture_sections(folder: Path) -> Iterator[Section]:
    """The pictures of a folder, by kind."""
    for start, title in PICTURES:
        paths = sorted(folder.glob(f"{start}*.png"))
        if paths:
            captions = [path.stem.removeprefix(start) if len(paths) > 1 else "" for path in paths]
            yield Section(title=title, pictures=[picture(*pair) for pair in zip(paths, captions, strict=True)])
