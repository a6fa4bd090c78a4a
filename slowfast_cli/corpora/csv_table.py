"""User recordings listed in a csv file."""

from collections.abc import Callable
from pathlib import Path

from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.items import NOT_ON_DISK
from slowfast_cli.corpora.lists import SPLIT_NAMES, check_unique, held_out, parse_time, rows
from slowfast_cli.types import Corpus, DataError, Failure, Recording, Segment

INFO = DATASETS["csv"]
RESERVED = frozenset({"path", "start", "stop", "split"})
Row = tuple[str, dict[str, str]]  # prefix of error messages, values by column


def read(root: Path, split: str) -> Corpus:
    """Read a csv file of segments: ``root``, or ``root/segments.csv``.

    Columns, separated by comma, tab or semicolon::

        path          relative to the csv file, or absolute
        start, stop   optional: seconds or HH:MM:SS.ff; empty: start and end of the file
        split         optional: train, val or test
        other columns are label sets: ``label``, or ``verb`` and ``noun``, or any other name

    The classes of a label set are its sorted values, or the lines of ``classes.<set>.txt`` beside the csv file. Without
    a split column, a fifth of the recordings of each class of the first label set is held out for ``val``, chosen by a
    hash of the path (a fifth of the segments, if that would hold out nothing). If ``val`` or ``test`` has no rows, the
    other one is used for both. Labels may be empty in rows of ``test``.

    Raises:
        DataError: There is no csv file, or a row is invalid.
    """
    INFO.check_split(split)
    path = root / "segments.csv" if root.is_dir() else root
    if not path.is_file():
        if root.suffix:
            raise DataError(f"{root}: no such file: name a csv file with columns path and at least one label set")
        raise INFO.not_found(root)
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        first_line = file.readline()
    delimiter = max(",\t;", key=first_line.count)
    table = [(f"{path}: row {number}", row) for number, row in rows(path, delimiter=delimiter)]
    if not table or "path" not in table[0][1]:
        raise DataError(f"{path}: no column 'path' or no rows: it needs columns path and at least one label set")
    label_sets = [name for name in table[0][1] if name not in RESERVED]
    if not label_sets:
        raise DataError(f"{path}: no label column: add one, such as 'label'")
    classes = {name: _classes(path, name, table) for name in label_sets}
    items = [_segment(path, row, classes) for row in _rows_of_split(table, split, label_sets[0])]
    check_unique(path, (item.id for item in items))
    return Corpus(
        name="csv",
        split=split,
        segments=tuple(item for item in items if isinstance(item, Segment)),
        classes=classes,
        missing=tuple(item for item in items if isinstance(item, Failure)),
    )


def _classes(path: Path, label_set: str, table: list[Row]) -> tuple[str, ...]:
    classes_path = path.parent / f"classes.{label_set}.txt"
    if not classes_path.is_file():
        return tuple(sorted({row[label_set] for _, row in table} - {""}))
    names = tuple(line.strip() for line in classes_path.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    if len(set(names)) != len(names):
        raise DataError(f"{classes_path}: a class is listed twice: list each class once, one per line")
    return names


def _split_of(row: Row) -> str:
    where, values = row
    split = SPLIT_NAMES.get(values["split"].lower())
    if split is None:
        raise DataError(f"{where}: unknown split '{values['split']}': expected train, val or test")
    return split


def _rows_of_split(table: list[Row], split: str, label_set: str) -> list[Row]:
    if "split" in table[0][1]:
        splits = [_split_of(row) for row in table]
        chosen = split if split in splits else {"val": "test", "test": "val"}.get(split, split)
        if chosen not in splits:
            raise DataError(f"{table[0][0]}: no row has split '{split}', only {', '.join(sorted(set(splits)))}")
        return [row for row, name in zip(table, splits, strict=True) if name == chosen]
    key: Callable[[Row], str]
    for key in (lambda row: row[1]["path"], _id):
        validation = held_out({key(row): row[1][label_set] for row in reversed(table)})
        if validation:
            break
    return [row for row in table if (key(row) in validation) == (split != "train")]


def _id(row: Row) -> str:
    values = row[1]
    span = "-".join(values.get(side, "") for side in ("start", "stop"))
    return values["path"] if span == "-" else f"{values['path']}:{span}"


def _segment(csv_path: Path, row: Row, classes: dict[str, tuple[str, ...]]) -> Segment | Failure:
    where, values = row
    if not values["path"]:
        raise DataError(f"{where}: empty path: name a file")
    start = parse_time(values.get("start") or "0", where)
    stop = parse_time(values["stop"], where) if values.get("stop") else None
    if stop is not None and stop <= start:
        raise DataError(f"{where}: stop {stop} s is not after start {start} s")
    may_lack_labels = "split" in values and _split_of(row) == "test"
    targets = {}
    for label_set, names in classes.items():
        value = values[label_set]
        if value in names:
            targets[label_set] = names.index(value)
        elif value or not may_lack_labels:
            raise DataError(f"{where}: {label_set} '{value}' is not one of its {len(names)} classes")
    path = csv_path.parent / values["path"]
    if not path.is_file():
        return Failure(id=_id(row), path=path, reason=NOT_ON_DISK)
    recording = Recording(id=values["path"], path=path)
    return Segment(id=_id(row), recording=recording, start=start, stop=stop, targets=targets)
