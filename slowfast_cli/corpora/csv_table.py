"""Your own sounds: a csv file that lists them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from slowfast_cli.corpora.dataset_info import DatasetInfo
from slowfast_cli.corpora.lists import SPLIT_NAMES, held_out, refuse_twice, rows, seconds
from slowfast_cli.types import Corpus, DataError, Failure, Recording, Segment

INFO = DatasetInfo(
    name="csv",
    task="your own sounds or videos, one label or more a segment",
    classes="the values of each label column",
    splits=("train", "val", "test"),
    files=("segments.csv with columns path,start,stop,split,<label set>,... (start, stop and split may be left out)",),
    homepage="your own recordings",
    license="yours",
)
PLACES = frozenset({"path", "start", "stop", "split"})
Row = tuple[str, dict[str, str]]  # where it stands, its values


def read(root: Path, split: str) -> Corpus:
    """Read a csv file of segments.

    Columns, comma, tab or semicolon between them::

        path          relative to the csv file, or absolute
        start, stop   optional: seconds or HH:MM:SS.ff; empty is the start and the end of the file
        split         optional: train, val or test
        every other   a label set: ``label``, or ``verb`` and ``noun``, or whatever you call it

    The classes of a label set are its values, sorted, or the lines of ``classes.<set>.txt`` beside the csv file.
    Without a split column a fifth of the recordings of each class of the first label set is kept for ``val``, chosen by
    a hash of the path (of the segments, where that would keep nothing). A ``val`` or ``test`` without rows is the other
    one of the two. Rows of ``test`` may leave labels empty.

    Args:
        root: The csv file, or a folder with a ``segments.csv``.
        split: ``train``, ``val`` or ``test``.

    Raises:
        DataError: It is not there; a row does not hold together: the text says which.
    """
    INFO.check_split(split)
    path = root / "segments.csv" if root.is_dir() else root
    if not path.is_file():
        if root.suffix:
            raise DataError(f"{root}: no such file: name a csv file with columns path and at least one label set")
        raise INFO.not_found(root)
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        top = file.readline()
    listed = [(f"{path}: row {number}", row) for number, row in rows(path, delimiter=max(",\t;", key=top.count))]
    if not listed or "path" not in listed[0][1]:
        raise DataError(f"{path}: no column 'path' or no rows: it needs columns path and at least one label set")
    sets = [name for name in listed[0][1] if name not in PLACES]
    if not sets:
        raise DataError(f"{path}: no label column: add one, such as 'label'")
    classes = {name: _classes(path, name, listed) for name in sets}
    made = [_segment(path, row, classes) for row in _chosen(listed, split, sets[0])]
    refuse_twice(path, (item.id for item in made))
    return Corpus(
        name="csv",
        split=split,
        segments=tuple(item for item in made if isinstance(item, Segment)),
        classes=classes,
        missing=tuple(item for item in made if isinstance(item, Failure)),
    )


def _classes(path: Path, name: str, listed: list[Row]) -> tuple[str, ...]:
    given = path.parent / f"classes.{name}.txt"
    if not given.is_file():
        return tuple(sorted({row[name] for _, row in listed} - {""}))
    names = tuple(line.strip() for line in given.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    if len(set(names)) != len(names):
        raise DataError(f"{given}: a class is listed twice: list each once, one a line")
    return names


def _split_of(row: Row) -> str:
    where, values = row
    found = SPLIT_NAMES.get(values["split"].lower())
    if found is None:
        raise DataError(f"{where}: split '{values['split']}' is none of train, val, test")
    return found


def _chosen(listed: list[Row], split: str, label: str) -> list[Row]:
    if "split" in listed[0][1]:
        other = {"val": "test", "test": "val"}.get(split, split)
        found = [_split_of(row) for row in listed]
        wanted = split if split in found else other
        if wanted not in found:
            raise DataError(f"{listed[0][0]}: no row has split '{split}': found {', '.join(sorted(set(found)))}")
        return [row for row, name in zip(listed, found, strict=True) if name == wanted]
    name: Callable[[Row], str]
    for name in (lambda row: row[1]["path"], _id):
        kept = held_out({name(row): row[1][label] for row in reversed(listed)})
        if kept:
            break
    return [row for row in listed if (name(row) in kept) == (split != "train")]


def _id(row: Row) -> str:
    values = row[1]
    span = "-".join(values.get(side, "") for side in ("start", "stop"))
    return values["path"] if span == "-" else f"{values['path']}:{span}"


def _segment(csv_path: Path, row: Row, classes: dict[str, tuple[str, ...]]) -> Segment | Failure:
    where, values = row
    if not values["path"]:
        raise DataError(f"{where}: no path: name a file")
    start = seconds(values.get("start") or "0", where)
    stop = seconds(values["stop"], where) if values.get("stop") else None
    if stop is not None and stop <= start:
        raise DataError(f"{where}: stop {stop} s is not after start {start} s")
    unlabelled = "split" in values and _split_of(row) == "test"
    targets = {}
    for name, names in classes.items():
        value = values[name]
        if value in names:
            targets[name] = names.index(value)
        elif value or not unlabelled:
            raise DataError(f"{where}: {name} '{value}' is none of its {len(names)} classes")
    path = csv_path.parent / values["path"]
    if not path.is_file():
        return Failure(id=_id(row), path=path, reason="not on disk")
    recording = Recording(id=values["path"], path=path)
    return Segment(id=_id(row), recording=recording, start=start, stop=stop, targets=targets)
