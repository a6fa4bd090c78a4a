"""Annotation lists: csv and text files, timestamps, held-out items and duplicates."""

import csv
import re
import unicodedata
from collections import Counter, deque
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
    """Read a csv file: quoted fields, any line endings, with or without a byte order mark.

    Args:
        path: CSV file.
        header: Column names, if the file has no header line.
        delimiter: Column separator.

    Yields:
        Line number, from 1, and stripped values by column.

    Raises:
        DataError: The file is not UTF-8, or the number of columns in a row differs from the header.
    """
    table = records(path, delimiter=delimiter)
    names = [*header] if header else next(table, (0, []))[1]
    for number, row in table:
        if len(row) != len(names):
            raise DataError(f"{path}: row {number}: {len(row)} columns, expected {len(names)}: fix it")
        yield number, dict(zip(names, row, strict=True))


def records(path: Path, *, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield the line number, from 1, and the stripped values of each row that is not blank, the header included.

    Raises:
        DataError: The file cannot be read, or is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
            for row in reader:
                if row:
                    yield reader.line_num, [value.strip() for value in row]
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: {error}: is a quote not closed?") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a csv file in UTF-8 ({error}): save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def class_name(text: str, where: str) -> str:
    """Return the name of a class or label set in Unicode normal form C, as one name may be stored in two forms.

    Raises:
        DataError: It contains bytes that are not UTF-8, or control characters; prefixed with ``where``.
    """
    name = unicodedata.normalize("NFC", text)
    if not name.isprintable():
        shown = name.encode("unicode_escape", "surrogateescape").decode("ascii", "backslashreplace")
        raise DataError(f"{where}: '{shown}' is not printable text in UTF-8: rename it")
    return name


def label_file(label_set: str) -> str:
    """Name of a label set as a part of a file name, with percent-escapes for characters that file systems refuse.

    >>> label_file("verb"), label_file("event/type")
    ('verb', 'event%2Ftype')
    """
    return re.sub(r'[/\\:*?"<>|%]', lambda match: f"%{ord(match[0]):02X}", label_set)


def column_chunks(path: Path, header: Sequence[str], *, size: int = 1 << 11) -> Iterator[list[tuple[str, ...]]]:
    """Read a csv file without a header line in chunks of columns, several times as fast as `rows`.

    Args:
        path: CSV file.
        header: Column names.
        size: Rows per chunk. With larger chunks, Python's garbage collection takes longer than reading.

    Yields:
        Stripped values of each column.

    Raises:
        DataError: As for `rows`.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = filter(None, csv.reader(file, skipinitialspace=True))
            while chunk := list(islice(reader, size)):
                if set(map(len, chunk)) != {len(header)}:
                    break
                yield [tuple(map(str.strip, column)) for column in zip(*chunk, strict=True)]
            else:
                return
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a csv file in UTF-8 ({error}): save it as UTF-8") from error
    deque(rows(path, header), maxlen=0)  # raises with the row number


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the non-blank lines of a UTF-8 text file, stripped, with their line numbers from 1."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.strip()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8 ({error}): save it as UTF-8") from error


def parse_time(text: str, where: str) -> Seconds:
    """Parse seconds, ``MM:SS`` or ``HH:MM:SS`` with any decimals; raise `DataError`, prefixed with ``where``."""
    total = 0.0
    try:
        parts = [float(part) for part in text.split(":")]
        for part in parts:
            total = total * 60 + part
        if len(parts) > 3 or not all(0 <= part < float("inf") for part in parts):
            raise ValueError
    except ValueError:
        raise DataError(f"{where}: '{text}' is not a time: write seconds or HH:MM:SS.ff") from None
    return total


HELD_OUT = "none, a fifth is held out for each of val and test"
THREE_PARTS = 10  # items of each class from which on validation and test are apart


def held_out_parts(strata: dict[str, str]) -> dict[str, frozenset[str]]:
    """Choose ``val`` and ``test``, a fifth of each class each; the same fifth if a class has too few items."""
    counts = Counter(strata.values())
    test = held_out(strata)
    apart = bool(counts) and min(counts.values()) >= THREE_PARTS
    return {"val": held_out(strata, part=1) if apart else test, "test": test}


def held_out(strata: dict[str, str], share: float = 0.2, *, part: int = 0) -> frozenset[str]:
    """Choose items, stratified by class, by hashing names: identical on every machine.

    Args:
        strata: Class of each item, by item name.
        share: Fraction of each class; at least one item of each class with two or more.
        part: Number of the part; the items of parts differ.

    Returns:
        Names of the held-out items.
    """
    by_class: dict[str, list[str]] = {}
    for name, stratum in strata.items():
        by_class.setdefault(stratum, []).append(name)
    chosen: list[str] = []
    for members in by_class.values():
        members.sort(key=lambda name: sha256(name.encode("utf-8", "surrogateescape")).digest())
        size = max(1, round(share * len(members))) if len(members) > 1 else 0
        last = (part + 1) * share > 0.999  # the parts of a cross-validation cover everything
        chosen += members[part * size : None if last else (part + 1) * size]
    return frozenset(chosen)


def check_unique(where: Path, ids: Iterable[str]) -> None:
    """Raise `DataError` if an id occurs twice."""
    known: set[str] = set()
    for id in ids:
        if id in known:
            raise DataError(f"{where}: {id} is listed twice: remove one of the rows")
        known.add(id)
