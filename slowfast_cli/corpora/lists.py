"""Annotation lists: csv and text files, times, held-out items and duplicates."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path

from slowfast_cli.types import DataError, Seconds

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


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
