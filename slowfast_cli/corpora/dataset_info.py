"""Descriptions of the data sets, read from datasets.yaml, and the error for a data set that is not found."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from slowfast_cli.corpora.media_files import first_file
from slowfast_cli.types import AbsentError, DataError, did_you_mean


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
    recipe: str  # bundled recipe for this data set
    note: str = ""  # what limits a comparison with published scores
    heads: Mapping[str, int] = field(default_factory=dict)  # number of classes by label set; empty: read from the data
    all_splits: tuple[str, ...] = ("train", "val", "test")  # splits that together contain every recording
    audio_or_video: bool = False  # each file may be either

    def not_found(self, root: Path, lacks: str = "") -> AbsentError:
        """Return the error for a data set that is not at ``root``, or for one that ``lacks`` a file."""
        beside = did_you_mean(root.name, _folders(root.parent)) if not root.exists() else ""
        empty = not root.is_dir() or not any(root.iterdir())
        problem = f"contains {'none of the expected files' if empty or not lacks else f'no {lacks}'}"
        problem = problem if root.is_dir() else f"does not exist{beside}"
        expected = "".join(f"\n  {name}" if name.startswith("or ") else f"\n  {root}/{name}" for name in self.files)
        return AbsentError(
            f"{root}: {problem}{'' if beside else ';'} {self.name} expects{expected}\n"
            f"get it from {self.homepage} (license: {self.license}), or set its folder: data.root=FOLDER, or --root "
            "FOLDER for `slowfast extract` and `slowfast data check`"
        )

    def find_list(self, root: Path, places: Iterable[str], name: str) -> Path:
        """Return the first ``root/<place>/<name>`` that exists; raise `not_found` if there is none."""
        path = first_file(root / place / name for place in places)
        if path is None:
            raise self.not_found(root, name)
        return path

    def check_split(self, split: str) -> None:
        """Raise `DataError` if ``split`` is not one of `splits`."""
        if split not in self.splits:
            raise DataError(f"{self.name}: no split '{split}': choose one of {', '.join(self.splits)}")


def _folders(parent: Path) -> list[str]:
    try:
        return [path.name for path in parent.iterdir() if path.is_dir()]
    except OSError:
        return []


def _load(path: Path) -> dict[str, DatasetInfo]:
    fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # 5 instead of 29 ms at start-up
    table = yaml.load(path.read_text(encoding="utf-8"), fast)
    tuples = ("splits", "all_splits", "files")
    return {
        name: DatasetInfo(**{"name": name, **row, **{key: tuple(row[key]) for key in tuples if key in row}})
        for name, row in table.items()
    }


DATASETS = _load(Path(__file__).with_name("datasets.yaml"))
