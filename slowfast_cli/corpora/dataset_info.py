"""What a data set is, where to get it, and the error when it is not there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slowfast_cli.types import DataError


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """A data set as ``slowfast data ls`` shows it, and as an error does when it is not there.

    Attributes:
        name: As in ``--dataset``.
        task: What is recognised.
        classes: How many, in words.
        splits: What `read` takes.
        files: What has to be on disk.
        page: Where to get it.
        licence: Of annotations and media.
        note: What to know before its scores are compared with others'.
    """

    name: str
    task: str
    classes: str
    splits: tuple[str, ...]
    files: tuple[str, ...]
    page: str
    licence: str
    note: str = ""

    def absent(self, root: Path) -> DataError:
        """The error of a data set that is not at ``root``."""
        found = "holds none of its lists" if root.is_dir() else "does not exist"
        expected = "".join(f"\n  {name}" if name.startswith("or ") else f"\n  {root}/{name}" for name in self.files)
        return DataError(
            f"{root}: {found}; {self.name} needs there{expected}\n"
            f"get it from {self.page} (licence: {self.licence}), or name its folder: --root, or data.root= in a recipe"
        )

    def split(self, split: str) -> str:
        """Check a split's name.

        Raises:
            DataError: There is no such split.
        """
        if split not in self.splits:
            raise DataError(f"{self.name}: no split '{split}': choose one of {', '.join(self.splits)}")
        return split
