"""What a corpus is made from on disk: annotation lists, media files, and where to get both."""

from __future__ import annotations

import csv
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

from slowfast_cli.types import AUDIO_SUFFIXES, MEDIA_SUFFIXES, DataError, Seconds

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


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


def first_file(candidates: Iterable[Path]) -> Path | None:
    """The first of some paths that is a file."""
    return next((path for path in candidates if path.is_file()), None)


def rows(
    path: Path, header: Sequence[str] | None = None, *, delimiter: str = ","
) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a csv file: quoting, any line ends, with or without a byte order mark.

    Args:
        path: The file.
        header: Names of the columns when the file has no header line.
        delimiter: Between columns.

    Yields:
        The line number, from 1, and the values by column, without outer spaces.

    Raises:
        DataError: It is not UTF-8, or a row has too few or too many columns.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
            names = [name.strip() for name in header or next(reader, ())]
            for row in reader:
                if len(row) == len(names):
                    yield reader.line_num, dict(zip(names, map(str.strip, row), strict=True))
                elif row:  # not a blank line
                    raise DataError(
                        f"{path}: row {reader.line_num}: it has not {len(names)} columns: mend or remove it"
                    )
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a csv file in UTF-8 ({error}): save it as one") from error


def row_pieces(path: Path, header: Sequence[str], *, size: int = 1 << 11) -> Iterator[list[tuple[str, ...]]]:
    """Read a csv file without a header line, many rows at a time by columns: several times as fast as `rows`.

    Args:
        path: The file.
        header: Names of its columns.
        size: Of a piece, in rows. Of more, Python's search for garbage takes longer than reading them.

    Yields:
        The values of each column, without outer spaces.

    Raises:
        DataError: As `rows`.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = filter(None, csv.reader(file, skipinitialspace=True))
            while piece := list(islice(reader, size)):
                if set(map(len, piece)) != {len(header)}:
                    break
                yield [tuple(map(str.strip, column)) for column in zip(*piece, strict=True)]
            else:
                return
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a csv file in UTF-8 ({error}): save it as one") from error
    deque(rows(path, header), maxlen=0)  # which says what row it is


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file that are not blank, each with its number, from 1, and without outer spaces.

    Raises:
        DataError: It is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8 ({error}): save it as one") from error


def media_index(folders: Iterable[Path], suffixes: frozenset[str] = MEDIA_SUFFIXES) -> dict[str, Path]:
    """Media files directly in some folders, by name without suffix; sound before video, earlier folders first.

    Args:
        folders: Those that are there are listed once; no file is looked at.
        suffixes: Of the files wanted, in lower case.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            continue
        with os.scandir(folder) as entries:
            for entry in entries:
                stem, suffix = os.path.splitext(entry.name)  # noqa: PTH122  (hundreds of thousands of entries)
                if suffix.lower() not in suffixes:
                    continue
                held = found.get(stem)
                better = held is None or (_sound(suffix) and held.parent == folder and not _sound(held.suffix))
                if better and entry.is_file():
                    found[stem] = Path(entry.path)
    return found


def _sound(suffix: str) -> bool:
    return suffix.lower() in AUDIO_SUFFIXES


def media_in(folder: Path) -> list[Path]:
    """Media files directly in a folder, hidden ones left out, sorted."""
    with os.scandir(folder) as entries:
        names = [each.name for each in entries if not each.name.startswith(".") and each.is_file()]
    return [folder / name for name in sorted(names) if os.path.splitext(name)[1].lower() in MEDIA_SUFFIXES]  # noqa: PTH122


def media_below(folder: Path) -> Iterator[Path]:
    """Media files in a folder and everything below it, hidden ones left out, in sorted order."""
    for where, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in MEDIA_SUFFIXES:  # noqa: PTH122
                yield Path(where) / name


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder, hidden ones left out, sorted by name."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def seconds(text: str, where: str) -> Seconds:
    """Read a time: seconds, ``MM:SS`` or ``HH:MM:SS``, with any number of decimals.

    Args:
        text: Such as ``00:01:02.5``.
        where: What an error starts with.

    Raises:
        DataError: It is no time, or negative.
    """
    total = 0.0
    try:
        parts = [float(part) for part in text.split(":")]
        for part in parts:
            total = total * 60 + part
        if len(parts) > 3 or not all(0 <= part < float("inf") for part in parts):
            raise ValueError
    except ValueError:
        raise DataError(f"{where}: '{text}' is no time: write seconds or HH:MM:SS.ff") from None
    return total


def held_out(strata: dict[str, str], share: float = 0.2) -> frozenset[str]:
    """Choose what validates when a data set has no split of its own: the same choice on every machine.

    Args:
        strata: The class of each item, by the item's name.
        share: Of each class, at least one item of those with two or more.

    Returns:
        Names of the items that validate.
    """
    by_class: dict[str, list[str]] = {}
    for name, stratum in strata.items():
        by_class.setdefault(stratum, []).append(name)
    chosen: list[str] = []
    for members in by_class.values():
        members.sort(key=lambda name: sha256(name.encode("utf-8", "surrogateescape")).digest())
        chosen += members[: max(1, round(share * len(members))) if len(members) > 1 else 0]
    return frozenset(chosen)


def refuse_twice(where: Path, ids: Iterable[str]) -> None:
    """Check that nothing is listed twice.

    Raises:
        DataError: Something is.
    """
    seen: set[str] = set()
    for id in ids:
        if id in seen:
            raise DataError(f"{where}: {id} is listed twice: remove one of the rows")
        seen.add(id)
