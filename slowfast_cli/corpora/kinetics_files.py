"""Kinetics: the formats of its lists, and where its clips may be on disk."""

import csv
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slowfast_cli.corpora.lists import rows
from slowfast_cli.corpora.media_files import first_file, media_below
from slowfast_cli.types import MEDIA_SUFFIXES, DataError

PLACES = ("", "annotations", "lists", "data")
SPLIT_WORDS = {"train": ("train", "training"), "val": ("val", "valid", "validate", "validation"), "test": ("test",)}
FOLDERS = (
    "k400", "k600", "k700", "k700-2020", "kinetics400", "kinetics600", "kinetics700", "kinetics700_2020", "videos",
)  # fmt: skip
# Columns of official lists without a header line, by their number.
COLUMNS = {
    4: ("youtube_id", "time_start", "time_end", "split"),
    5: ("label", "youtube_id", "time_start", "time_end", "split"),
    6: ("label", "youtube_id", "time_start", "time_end", "split", "is_cc"),
}
PATH_LINE = re.compile(r"(?P<path>.+\.(?:" + "|".join(suffix[1:] for suffix in sorted(MEDIA_SUFFIXES)) + r"))"
                       r"(?:[ ,;\t]+(?P<label>\S+))?", re.IGNORECASE)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ListedClip:
    """One row of a list."""

    where: str  # prefix of error messages
    names: tuple[str, ...]  # possible file names without suffix, the usual one first
    label: str  # class name, or class index in digits, or empty
    path: str = ""  # path of the clip, if the list has one


def find_list(root: Path, name: str, split: str) -> Path | None:
    """Find the list of a split of ``kinetics400``, ``600`` or ``700``: official, PySlowFast's or OpenMMLab's."""
    family, size = name[:8], name[8:]  # kinetics, 400
    suffixes = ("txt", "csv") if size == "600" else ("csv", "txt")  # CVDF's csv files of Kinetics-600 are incomplete
    stems = ("", f"{family}{size}_", f"{family}-{size}_", f"{family}_{size}_", f"{family}_")
    return first_file(
        root / place / file
        for place in PLACES
        for word in SPLIT_WORDS[split]
        for file in (
            *(f"{stem}{word}.{suffix}" for stem in stems for suffix in suffixes),
            f"{name}_{word}_list_videos.txt",
        )
    )


def read_list(path: Path) -> Iterator[ListedClip]:
    """Read a list in any format; its first line determines which.

    - official csv, with or without a header line, with or without ``is_cc``: label, YouTube id, start and end second;
      without labels: id, start and end;
    - ``path label`` lines separated by a blank, comma, semicolon or tab, the label being a class index.

    Raises:
        DataError: A row is invalid; the message has its number.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = next((line.strip() for line in file if line.strip()), "")
            if PATH_LINE.fullmatch(first):
                file.seek(0)
                yield from _paths(path, file.read().splitlines())
                return
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8 ({error}): save it as UTF-8") from error
    top = next(csv.reader([first]), [])
    header = None if "youtube_id" in [cell.strip() for cell in top] else COLUMNS.get(len(top), ())
    if header == ():
        raise DataError(f"{path}: row 1: '{first[:80]}' is neither label,youtube_id,time_start,... nor 'path label'")
    for number, row in rows(path, header):
        yield _official(f"{path}: row {number}", row)


def _paths(path: Path, lines: list[str]) -> Iterator[ListedClip]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        match = PATH_LINE.fullmatch(line.strip())
        if match is None or not (match["label"] or "0").isdecimal():
            raise DataError(f"{path}: row {number}: '{line.strip()[:80]}' is not a path and class index: fix it")
        stem = os.path.splitext(os.path.basename(match["path"]))[0]  # noqa: PTH119, PTH122  (hundreds of thousands)
        yield ListedClip(where=f"{path}: row {number}", names=(stem,), label=match["label"] or "", path=match["path"])


def _official(where: str, row: Mapping[str, str]) -> ListedClip:
    try:
        id, start, end = row["youtube_id"], row["time_start"], row["time_end"]
    except KeyError as error:
        raise DataError(f"{where}: no column {error}: take the official list") from error
    if not (id and start.isdecimal() and end.isdecimal()):
        raise DataError(
            f"{where}: '{id}' from {start} s to {end} s is not a clip with whole seconds: take the official list"
        )
    names = (f"{id}_{int(start):06d}_{int(end):06d}", f"{id}_{int(start)}_{int(end)}", id)
    return ListedClip(where=where, names=names, label=row.get("label", ""))


@dataclass(frozen=True)
class ClipFinder:
    """Finds the clips of a split by name; lists every folder once and opens no file."""

    root: Path
    split: str
    _by_name: dict[str, str] = field(default_factory=dict, init=False)
    _folders: dict[str, dict[str, str]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        words = "|".join(
            (*SPLIT_WORDS[self.split], {"train": "training", "val": "valid", "test": "testing"}[self.split])
        )
        split_folder = re.compile(rf"(?:videos?_)?(?:{words})(?:[_-].+)?", re.IGNORECASE)
        tops = [self.root, *(self.root / name for name in FOLDERS)]
        for top in tops:
            for clip in media_below(top / "replacement"):  # re-issued by CVDF for broken clips
                self._by_name.setdefault(clip.stem, str(clip))
        for top in tops:
            for folder in sorted(_folders_in(str(top))):
                if split_folder.fullmatch(os.path.basename(folder)):  # noqa: PTH119
                    self._add(folder)
                    for class_folder in sorted(_folders_in(folder)):
                        self._add(class_folder)
        for top in (self.root, self.root / "videos"):
            self._add(str(top))

    def _add(self, folder: str) -> None:
        for name, path in self._in(folder).items():
            self._by_name.setdefault(name, path)

    def _in(self, folder: str) -> dict[str, str]:
        """Media files of a folder, by name without suffix."""
        if folder not in self._folders:
            self._folders[folder] = {}
            if os.path.isdir(folder):  # noqa: PTH112
                with os.scandir(folder) as entries:
                    for entry in entries:
                        stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122
                        if suffix.lower() in MEDIA_SUFFIXES:
                            self._folders[folder][stem] = entry.path
        return self._folders[folder]

    def find(self, item: ListedClip) -> Path | None:
        """Find the clip of a row: at its listed path, or anywhere by its name."""
        if item.path:
            folder = os.path.join(self.root, os.path.dirname(item.path))  # noqa: PTH118, PTH120
            if item.names[0] in self._in(folder):
                return Path(self._in(folder)[item.names[0]])
        return next((Path(self._by_name[name]) for name in item.names if name in self._by_name), None)


def _folders_in(folder: str) -> list[str]:
    if not os.path.isdir(folder):  # noqa: PTH112
        return []
    with os.scandir(folder) as entries:
        return [entry.path for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
