"""The lists of Kinetics in all their spellings, and where on disk its clips may lie."""

from __future__ import annotations

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
# Columns of official lists without a header line, by how many there are.
COLUMNS = {
    4: ("youtube_id", "time_start", "time_end", "split"),
    5: ("label", "youtube_id", "time_start", "time_end", "split"),
    6: ("label", "youtube_id", "time_start", "time_end", "split", "is_cc"),
}
PATH_LINE = re.compile(r"(?P<path>.+\.(?:" + "|".join(suffix[1:] for suffix in sorted(MEDIA_SUFFIXES)) + r"))"
                       r"(?:[ ,;\t]+(?P<label>\S+))?", re.IGNORECASE)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One row of a list.

    Attributes:
        where: What an error about it starts with.
        names: The file names without suffix that its clip may have, the usual one first.
        label: The class: its name, its index in digits, or nothing.
        path: Where the list says that the clip is, if it does.
    """

    where: str
    names: tuple[str, ...]
    label: str
    path: str = ""


def find_list(root: Path, name: str, split: str) -> Path | None:
    """The list of a split: the official csv, PySlowFast's or OpenMMLab's.

    Args:
        root: The data set's folder.
        name: ``kinetics400`` or ``kinetics600``.
        split: ``train``, ``val`` or ``test``.
    """
    family, size = name[:8], name[8:]
    suffixes = ("txt", "csv") if size == "600" else ("csv", "txt")  # CVDF's csv of Kinetics-600 are not complete
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


def read_list(path: Path) -> Iterator[Listed]:
    """The rows of a list, whatever its kind: its first line tells.

    - official csv, with or without a header line, with or without ``is_cc``: label, YouTube id, start and end second;
      without labels: id, start and end;
    - ``path label`` lines with a blank, comma, semicolon or tab between them, the label a class index.

    Raises:
        DataError: A row does not hold together, with its number.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = next((line.strip() for line in file if line.strip()), "")
            if PATH_LINE.fullmatch(first):
                file.seek(0)
                yield from _paths(path, file.read().splitlines())
                return
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a list in UTF-8 ({error}): save it as one") from error
    top = next(csv.reader([first]), [])
    header = None if "youtube_id" in [cell.strip() for cell in top] else COLUMNS.get(len(top), ())
    if header == ():
        raise DataError(
            f"{path}: row 1: '{first[:80]}' is neither label,youtube_id,time_start,time_end,split nor 'path label': "
            "take the official list"
        )
    for number, row in rows(path, header):
        yield _official(f"{path}: row {number}", row)


def _paths(path: Path, lines: list[str]) -> Iterator[Listed]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        match = PATH_LINE.fullmatch(line.strip())
        if match is None or not (match["label"] or "0").isdecimal():
            raise DataError(
                f"{path}: row {number}: '{line.strip()[:80]}' is no path and class index: mend or remove it"
            )
        stem = os.path.splitext(os.path.basename(match["path"]))[0]  # noqa: PTH119, PTH122  (hundreds of thousands)
        yield Listed(where=f"{path}: row {number}", names=(stem,), label=match["label"] or "", path=match["path"])


def _official(where: str, row: Mapping[str, str]) -> Listed:
    try:
        id, start, end = row["youtube_id"], row["time_start"], row["time_end"]
    except KeyError as error:
        raise DataError(f"{where}: no column {error}: take the official list") from error
    if not (id and start.isdecimal() and end.isdecimal()):
        raise DataError(
            f"{where}: '{id}' from {start} s to {end} s is no clip of whole seconds: take the official list"
        )
    names = (f"{id}_{int(start):06d}_{int(end):06d}", f"{id}_{int(start)}_{int(end)}", id)
    return Listed(where=where, names=names, label=row.get("label", ""))


@dataclass(frozen=True)
class Clips:
    """The clips of a split on disk, found by name; every folder is listed once, no file is looked at.

    Attributes:
        root: The data set's folder.
        split: ``train``, ``val`` or ``test``.
    """

    root: Path
    split: str
    _by_name: dict[str, str] = field(default_factory=dict, init=False)
    _folders: dict[str, dict[str, str]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        words = "|".join(
            (*SPLIT_WORDS[self.split], {"train": "training", "val": "valid", "test": "testing"}[self.split])
        )
        own = re.compile(rf"(?:videos?_)?(?:{words})(?:[_-].+)?", re.IGNORECASE)
        tops = [self.root, *(self.root / name for name in ("k400", "k600", "kinetics400", "kinetics600", "videos"))]
        for top in tops:
            for clip in media_below(top / "replacement"):  # re-issued by CVDF for clips that were broken
                self._by_name.setdefault(clip.stem, str(clip))
        for top in tops:
            for folder in sorted(_folders_in(str(top))):
                if own.fullmatch(os.path.basename(folder)):  # noqa: PTH119
                    self._add(folder)
                    for inside in sorted(_folders_in(folder)):
                        self._add(inside)
        for top in (self.root, self.root / "videos"):
            self._add(str(top))

    def _add(self, folder: str) -> None:
        for name, path in self._in(folder).items():
            self._by_name.setdefault(name, path)

    def _in(self, folder: str) -> dict[str, str]:
        """The media files of a folder by name without suffix."""
        if folder not in self._folders:
            self._folders[folder] = {}
            if os.path.isdir(folder):  # noqa: PTH112
                with os.scandir(folder) as entries:
                    for entry in entries:
                        stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122
                        if suffix.lower() in MEDIA_SUFFIXES:
                            self._folders[folder][stem] = entry.path
        return self._folders[folder]

    def find(self, item: Listed) -> Path | None:
        """Where the clip of a row is: where its list says, or wherever it is found by its name."""
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
