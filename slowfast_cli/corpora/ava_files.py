"""The csv files of AVA: annotated boxes, detected boxes, and seconds to leave out."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.media_files import first_file
from slowfast_cli.types import Box, DataError, Place

FIRST, LAST = 902, 1798  # seconds of a film that are annotated
FURTHEST = 1.0  # how far out of the frame, in frames, a detector's box may reach
PLACES = ("annotations", "", "annotations/person_box_67091280_iou90", "ava_v2.2", "ava_v2.1")
DETECTIONS = (
    "person_box_67091280_iou90/ava_detection_val_boxes_and_labels",
    "person_box_67091280_iou75/ava_detection_val_boxes_and_labels",
    "ava_detection_val_boxes_and_labels",
    "ava_val_predicted_boxes",
)
Key = tuple[str, int]  # a film, a second of it


@dataclass
class Drawn:
    """A box while its rows are gathered.

    Attributes:
        score: The detector's; 1 where a person drew it.
        actions: Class indices of its rows, in their order.
    """

    score: float = 1.0
    actions: list[int] = field(default_factory=list)


def find(root: Path, *names: str) -> Path | None:
    """The first of some files that is there, in the folder or its ``annotations``."""
    return first_file(root / place / name for name in names for place in PLACES)


def find_detections(root: Path, version: str) -> Path | None:
    """The list of persons that a detector found in the validation films, by any of its usual names.

    Args:
        root: The data set's folder.
        version: ``2.1`` or ``2.2``.
    """
    endings = ("", f"_v{version}", "_include_negative", f"_include_negative_v{version}")
    return find(root, *(f"{name}{ending}.csv" for name in DETECTIONS for ending in endings))


def annotated(path: Path) -> dict[Key, tuple[Box, ...]]:
    """Boxes that people drew, by film and second; the rows of one box are merged.

    Rows are ``film,second,x1,y1,x2,y2,action,person`` without a header; one of film and second alone is a second in
    which nobody does anything.

    Args:
        path: ``ava_{train,val}_v2.{1,2}.csv``.

    Raises:
        DataError: A row does not hold together, with its number.
    """
    found: dict[Key, dict[Place, Drawn]] = {}
    for number, row in _rows(path, (2, 7, 8)):
        where = f"{path}: row {number}"
        drawn = found.setdefault((row[0], _second(row[1], where)), {})
        if len(row) == 2:
            continue
        if len(row) == 8:
            _whole(row[7], "person", where)
        action = _whole(row[6], "action", where)
        if not 1 <= action <= len(labels.names("ava80")):
            raise DataError(f"{where}: action {action} is not from 1 to 80: take the official list")
        actions = drawn.setdefault(_place(row, where), Drawn()).actions
        if action - 1 not in actions:
            actions.append(action - 1)
    return _boxes(found)


def detected(path: Path, least: float, films: frozenset[str]) -> dict[Key, tuple[Box, ...]]:
    """Boxes that a detector found, by film and second, in the order of the file.

    Rows are ``film,second,x1,y1,x2,y2,action,score``, the second padded or not; the action is empty or -1, or what an
    annotated box nearby does: it is not read. Several rows of one box are one box.

    Args:
        path: See `find_detections`.
        least: Boxes of a lower score are left out.
        films: Others are left out.

    Raises:
        DataError: A row does not hold together, with its number.
    """
    found: dict[Key, dict[Place, Drawn]] = {}
    for number, row in _rows(path, (8,)):
        where = f"{path}: row {number}"
        try:
            score = float(row[7])
        except ValueError:
            raise DataError(f"{where}: '{row[7]}' is no score: mend or remove the row") from None
        if not 0 <= score <= 1:
            raise DataError(f"{where}: score {score} is not from 0 to 1: take a list of detections, not of annotations")
        if score < least or row[0] not in films:
            continue
        drawn = found.setdefault((row[0], _second(row[1], where)), {}).setdefault(
            _place(row, where), Drawn(score=score)
        )
        drawn.score = max(drawn.score, score)
    return _boxes(found)


def excluded(path: Path | None) -> frozenset[Key]:
    """Seconds to leave out: rows of film and second; none without a file.

    Raises:
        DataError: A row does not hold together, with its number.
    """
    if path is None:
        return frozenset()
    return frozenset((row[0], _second(row[1], f"{path}: row {number}")) for number, row in _rows(path, (2,)))


def _rows(path: Path, columns: tuple[int, ...]) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(csv.reader(file), 1):
                if not row:
                    continue
                if len(row) not in columns:
                    raise DataError(
                        f"{path}: row {number}: {len(row)} columns; right are {' or '.join(map(str, columns))}: mend "
                        "or remove it"
                    )
                yield number, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a csv file in UTF-8 ({error}): fetch it again") from error


def _whole(text: str, what: str, where: str) -> int:
    """A whole number; ``3_`` and ``3.0`` are none."""
    if not (text.isascii() and text.strip().isdecimal()):
        raise DataError(f"{where}: {what} '{text}' is no whole number: take the official list")
    return int(text)


def _second(text: str, where: str) -> int:
    second = _whole(text, "second", where)
    if not FIRST <= second <= LAST:
        raise DataError(f"{where}: second {second} is not from {FIRST} to {LAST}: take the official list")
    return second


def _place(row: list[str], where: str) -> Place:
    try:
        x1, y1, x2, y2 = float(row[2]), float(row[3]), float(row[4]), float(row[5])
    except ValueError:
        raise DataError(f"{where}: '{','.join(row[2:6])}' is no box: mend or remove the row") from None
    low, high = -FURTHEST, 1 + FURTHEST
    if not (low <= x1 <= x2 <= high and low <= y1 <= y2 <= high):
        raise DataError(
            f"{where}: box {x1}, {y1}, {x2}, {y2}; right are left, top, right and bottom as shares of the frame: "
            "mend or remove the row"
        )
    return x1, y1, x2, y2


def _boxes(found: Mapping[Key, Mapping[Place, Drawn]]) -> dict[Key, tuple[Box, ...]]:
    return {
        key: tuple(Box(place=place, targets=tuple(box.actions), score=box.score) for place, box in boxes.items())
        for key, boxes in found.items()
    }
