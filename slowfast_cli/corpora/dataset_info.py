"""Description of a data set: what it contains, where to get it, and the error when it is not found."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from slowfast_cli.corpora.media_files import first_file
from slowfast_cli.types import DataError


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """Description of a data set, shown by ``slowfast data ls`` and in the error when it is not found."""

    name: str  # as in --dataset
    task: str
    classes: str  # number of classes, as text
    splits: tuple[str, ...]  # accepted by the reader
    files: tuple[str, ...]  # required files, relative to the root; "or ..." is an alternative
    homepage: str
    license: str  # of annotations and media
    note: str = ""  # what limits a comparison with published scores

    def not_found(self, root: Path) -> DataError:
        """Return the error for a data set that is not at ``root``."""
        problem = "contains none of the expected files" if root.is_dir() else "does not exist"
        expected = "".join(f"\n  {name}" if name.startswith("or ") else f"\n  {root}/{name}" for name in self.files)
        return DataError(
            f"{root}: {problem}; {self.name} expects{expected}\n"
            f"get it from {self.homepage} (license: {self.license}), or set its folder with --root or data.root="
        )

    def find_list(self, root: Path, places: Iterable[str], name: str) -> Path:
        """Return the first ``root/<place>/<name>`` that exists; raise `not_found` if there is none."""
        path = first_file(root / place / name for place in places)
        if path is None:
            raise self.not_found(root)
        return path

    def check_split(self, split: str) -> None:
        """Raise `DataError` if ``split`` is not one of `splits`."""
        if split not in self.splits:
            raise DataError(f"{self.name}: no split '{split}': choose one of {', '.join(self.splits)}")
