"""MkDocs hook: in the navigation, a folder (``guides/datasets/``) stands for its pages."""

from pathlib import Path
from typing import Any


def on_config(config: Any) -> None:
    """Replace each folder in the navigation by the pages in it; their titles are those of the pages."""
    config.nav = [_expand(entry, Path(config.docs_dir)) for entry in config.nav]


def _expand(entry: Any, docs: Path) -> Any:
    if isinstance(entry, dict):
        return {title: _expand(value, docs) for title, value in entry.items()}
    if isinstance(entry, list):
        return [_expand(value, docs) for value in entry]
    if entry.endswith("/"):
        return [page.relative_to(docs).as_posix() for page in sorted((docs / entry).glob("*.md"))]
    return entry
