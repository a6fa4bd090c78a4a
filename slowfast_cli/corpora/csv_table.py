"""User recordings listed in a csv file."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path

from slowfast_cli.corpora.csv_columns import ROLES, Columns, assign_columns
from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.items import NOT_ON_DISK
from slowfast_cli.corpora.lists import (
    SPLIT_NAMES,
    class_name,
    held_out_parts,
    label_file,
    lines,
    parse_time,
    records,
)
from slowfast_cli.corpora.media_files import is_file
from slowfast_cli.types import AbsentError, Corpus, DataError, Failure, Recording, Seconds, Segment

INFO = DATASETS["csv"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A row of the table, or what is wrong with it."""

    number: int  # line of the file
    split: str = ""  # canonical name; empty without a split column, and if the row does not say
    path: Path = Path()
    name: str = ""  # path as listed, with slashes
    start: Seconds = 0.0
    stop: Seconds | None = None
    span: str = ""  # times as listed; empty for a whole file
    labels: Mapping[str, str] = field(default_factory=dict)  # value by label set
    problem: str = ""  # why the row cannot be used

    @property
    def id(self) -> str:
        """Id of the segment."""
        return f"{self.name}:{self.span}" if self.span else self.name


def read(root: Path, split: str, labels: Sequence[str] = ()) -> Corpus:
    """Read a csv file of segments: ``root``, or ``root/segments.csv``.

    Columns, separated by comma, tab or semicolon, their names in any case::

        path          or file, filename, filepath: relative to the csv file, or absolute
        start, stop   or begin/onset and end/offset; optional: seconds or HH:MM:SS.ff; empty: start and end of the file
        split         optional: train, val or test
        other columns are label sets, with any name, see `slowfast_cli.corpora.csv_columns`

    The classes of a label set are its sorted values, or the lines of ``classes.<set>.txt`` beside the csv file. Without
    a split column, a fifth of the recordings of each class of the first label set is held out for ``val`` and another
    for ``test``, chosen by a hash of the path (of the segments, if that would hold out nothing); the same fifth if a
    class has fewer than 10. If ``val`` or ``test`` has no rows, the other one is used for both. Labels may be empty in
    rows of ``test``.

    A row that cannot be used is counted as missing, in ``train`` if its split is unknown. The note says which columns
    are read as what.

    Args:
        root: The csv file, or its folder.
        split: Split name.
        labels: Columns to read as label sets; by default all that look like it.

    Raises:
        DataError: There is no csv file, a column is missing, a segment is listed twice, or no row of the split can be
            used.
        UsageError: ``labels`` names a column that does not exist.
    """
    INFO.check_split(split)
    path = root / "segments.csv" if root.is_dir() else root
    if not path.is_file():
        if root.suffix:
            raise DataError(f"{root}: no such file: name a csv file with columns path and at least one label set")
        raise INFO.not_found(root)
    versions = tuple(_version(file) for file in (path, *sorted(path.parent.glob("classes.*.txt"))))
    columns, rows, names = _table(path, versions, tuple(labels))
    indices = {name: {value: index for index, value in enumerate(values)} for name, values in names.items()}
    chosen = _rows_of_split(path, columns, rows, split)
    chosen = _without_repeats(chosen)
    usable = [row for row in chosen if not row.problem]
    if chosen and not usable:
        where = f"{path}: row {chosen[0].number}"
        raise DataError(f"{where}: {chosen[0].problem}; no row of split '{split}' can be used")
    exists = lru_cache(maxsize=None)(is_file)
    items = [_segment(row, indices, exists) for row in usable]
    bad = tuple(Failure(id=f"row {row.number}", path=path, reason=row.problem) for row in chosen if row.problem)
    return Corpus(
        name="csv",
        split=split,
        segments=tuple(item for item in items if isinstance(item, Segment)),
        classes=names,
        missing=(*(item for item in items if isinstance(item, Failure)), *bad),
        note=columns.note,
    )


def _version(path: Path) -> tuple[Path, int, int]:
    stat = path.stat()
    return path, stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=1)  # every split is read from the same rows
def _table(
    path: Path, _versions: tuple[tuple[Path, int, int], ...], labels: tuple[str, ...]
) -> tuple[Columns, tuple[Row, ...], Mapping[str, tuple[str, ...]]]:
    """Read the columns, the rows, and the class names by label set, of this version of the files."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first_line = next(filter(str.strip, file), "")
    table = list(records(path, delimiter=max(",\t;", key=first_line.count)))
    columns = assign_columns(path, table[0][1] if table else [], [cells for _, cells in table[1:]], labels)
    classes = {name: _classes(path, name) for name in columns.label_sets}
    find = lru_cache(maxsize=None)(partial(_find, path.parent))
    rows = tuple(_parse(number, columns, cells, classes, find) for number, cells in table[1:])
    return columns, rows, {name: known or _values(rows, name) for name, known in classes.items()}


def _without_repeats(rows: Sequence[Row]) -> list[Row]:
    """Mark the rows that name a segment for a second time."""
    seen: set[str] = set()
    result = []
    for row in rows:
        twice = not row.problem and row.id in seen
        seen.add(row.id)
        result.append(replace(row, problem=f"{row.id} is listed twice") if twice else row)
    return result


def _classes(path: Path, label_set: str) -> tuple[str, ...]:
    """Read the class names of a label set from its file; empty without one."""
    classes_path = path.parent / f"classes.{label_file(label_set)}.txt"
    if not is_file(classes_path):
        return ()
    names = tuple(class_name(line, f"{classes_path}: line {number}") for number, line in lines(classes_path))
    if len(set(names)) != len(names):
        raise DataError(f"{classes_path}: a class is listed twice: list each class once, one per line")
    return names


def _values(rows: Sequence[Row], label_set: str) -> tuple[str, ...]:
    return tuple(sorted({row.labels[label_set] for row in rows if not row.problem} - {""}))


def _parse(
    number: int,
    columns: Columns,
    cells: Sequence[str],
    classes: Mapping[str, Sequence[str]],
    find: Callable[[str], tuple[str, Path]],
) -> Row:
    """Parse a row; what is wrong with it becomes its `problem`."""
    split, where = "", f"row {number}"
    try:
        cells = columns.cells(cells, where)
        listed, start_text, stop_text, length_text, split_text = (
            cells[columns.roles[role]] if role in columns.roles else "" for role in ROLES
        )
        if "split" in columns.roles:
            split = SPLIT_NAMES.get(split_text.lower(), "")
            if not split:
                raise DataError(f"{where}: unknown split '{split_text}': expected train, val or test")
        if not listed:
            raise DataError(f"{where}: empty path: name a file")
        start = parse_time(start_text or "0", where)
        stop = parse_time(stop_text, where) if stop_text else None
        if stop is None and length_text and "start" in columns.roles:
            stop = start + parse_time(length_text, where)
        if stop is not None and stop <= start:
            raise DataError(f"{where}: stop {stop} s is not after start {start} s")
        labels = {name: class_name(cells[place], f"{where}: {name}") for name, place in columns.label_sets.items()}
        for name, value in labels.items():
            if value and classes[name] and value not in classes[name]:
                raise DataError(f"{where}: {name} '{value}' is not one of its {len(classes[name])} classes")
            if not value and split != "test":
                raise DataError(f"{where}: {name} '' is empty: every row outside test needs a label")
        name, path = find(listed)
    except DataError as error:
        return Row(number=number, split=split, problem=str(error).removeprefix(f"{where}: "))
    stop_text = stop_text or ("" if stop is None else f"{stop:g}")
    span = f"{start_text}-{stop_text}" if start_text or stop_text else ""
    return Row(number=number, split=split, path=path, name=name, start=start, stop=stop, span=span, labels=labels)


def _find(folder: Path, text: str) -> tuple[str, Path]:
    """Return a listed path and its file: Windows writes backslashes; names may be in another Unicode normal form."""
    slashes = text.replace("\\", "/")
    forms = dict.fromkeys((text, slashes, *(unicodedata.normalize(form, slashes) for form in ("NFC", "NFD"))))
    name = next((form for form in forms if is_file(folder / form)), slashes) if len(forms) > 1 else text
    name = os.path.normpath(name)  # ./a.wav is a.wav, also for the choice of the held-out files
    return name, folder / name


def _rows_of_split(path: Path, columns: Columns, rows: Sequence[Row], split: str) -> list[Row]:
    """Select the rows of a split; those that do not say theirs belong to train."""
    if "split" in columns.roles:
        splits = {row.split for row in rows} - {""}
        chosen = split if split in splits else {"val": "test", "test": "val"}.get(split, split)
        selected = [row for row in rows if row.split == chosen or (not row.split and split == "train")]
        if not selected:
            raise AbsentError(f"{path}: no row has split '{split}', only {', '.join(sorted(splits)) or 'unknown ones'}")
        return selected
    first_label_set = next(iter(columns.label_sets))
    key: Callable[[Row], str]
    for key in (lambda row: row.name, lambda row: row.id):
        parts = held_out_parts({key(row): row.labels[first_label_set] for row in reversed(rows) if not row.problem})
        if parts["test"]:
            break
    if split != "train":
        return [row for row in rows if not row.problem and key(row) in parts[split]]
    held_out = parts["val"] | parts["test"]
    return [row for row in rows if row.problem or key(row) not in held_out]


def _segment(row: Row, indices: Mapping[str, Mapping[str, int]], exists: Callable[[Path], bool]) -> Segment | Failure:
    if not exists(row.path):
        return Failure(id=row.id, path=row.path, reason=NOT_ON_DISK)
    targets = {name: indices[name][value] for name, value in row.labels.items() if value}
    recording = Recording(id=row.name, path=row.path)
    return Segment(id=row.id, recording=recording, start=row.start, stop=row.stop, targets=targets)
