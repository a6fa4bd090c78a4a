"""Read box lists for prediction: which region of which video to classify, and when."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from slowfast_cli.corpora.lists import parse_time, rows
from slowfast_cli.media.audio_source import printable
from slowfast_cli.types import Box, DataError, Place, Seconds

SIDES = ("x1", "y1", "x2", "y2")
REQUIRED = ("time", *SIDES)
VIDEO = ("path", "video")  # names of the column of the file
AVA = ("video", *REQUIRED, "action", "last")  # names given here to the columns of AVA's own lists
MAX_FRACTION = 1.5  # coordinates up to this are fractions of the frame: detectors exceed 1 a little
LATE = 0.5  # seconds that a box may lie past the end of the video: container headers round the length
EXPECTED = "expected a header with time,x1,y1,x2,y2 (and score; path for several files), or the columns of AVA's lists"


@dataclass(frozen=True, kw_only=True)
class BoxRow:
    """A row of a box list."""

    where: str  # file and row, for error messages
    time: Seconds  # from the start of the video
    sides: Place  # left, top, right, bottom, as written
    score: float  # of the person detector; 1 if the list has none


@dataclass(frozen=True, kw_only=True)
class BoxList:
    """The boxes of a list."""

    path: Path  # of the list
    rows: Mapping[str, Sequence[BoxRow]]  # by video; under "" if the list has no such column
    pixels: bool  # coordinates are pixels, not fractions of the frame

    @property
    def names_videos(self) -> bool:
        """Whether the rows say which video they belong to."""
        return "" not in self.rows

    def of(self, video: Path, *, size: tuple[int, int], length: Seconds) -> dict[Seconds, tuple[Box, ...]]:
        """Boxes of a video by time, in order; of duplicates one with the best score.

        Args:
            video: The file; rows may name it by its path, or by its name with or without suffix.
            size: Width and height of the video.
            length: Length of the video.

        Raises:
            DataError: No row belongs to the video, or a box lies after its end or outside the frame.
        """
        chosen = self._chosen(video)
        if not chosen:
            videos = sorted(self.rows)
            raise DataError(
                f"{printable(self.path)}: no box is of {printable(video)}; they are of "
                f"{', '.join(map(printable, videos[:3]))}"
                f"{', ...' if len(videos) > 3 else ''}: let them name the file, or its name without suffix"
            )
        by_time: dict[Seconds, dict[Place, Box]] = {}
        for row in sorted(chosen, key=lambda row: row.time):
            if row.time > length + LATE:
                raise DataError(
                    f"{row.where}: time {row.time:g} s is after the end of {printable(video)} ({length:.2f} s): "
                    "correct or remove the row"
                )
            place = self._place(row, size)
            boxes = by_time.setdefault(row.time, {})
            score = max(row.score, boxes[place].score) if place in boxes else row.score
            boxes[place] = Box(place=place, score=score)
        return {time: tuple(boxes.values()) for time, boxes in by_time.items()}

    def _chosen(self, video: Path) -> list[BoxRow]:
        if not self.names_videos:
            return list(self.rows[""])
        absolute = video.absolute()
        return [
            row
            for name, own in self.rows.items()
            if name in (video.name, video.stem)
            or absolute in (Path(name).absolute(), (self.path.parent / name).absolute())
            for row in own
        ]

    def _place(self, row: BoxRow, size: tuple[int, int]) -> Place:
        width, height = size if self.pixels else (1, 1)
        x1, y1, x2, y2 = row.sides
        place = (x1 / width, y1 / height, x2 / width, y2 / height)
        if place[0] >= 1 or place[1] >= 1 or place[2] <= 0 or place[3] <= 0:
            raise DataError(
                f"{row.where}: box {_format(row.sides)} lies outside the frame"
                f"{f' of {width} x {height} pixels' if self.pixels else ''}: correct or remove the row"
            )
        return place


def read(path: Path) -> BoxList:
    """Read a box list.

    A CSV file with a header: ``time,x1,y1,x2,y2`` in any order, optionally ``score`` and ``path`` or ``video``; other
    columns are ignored. Or one of AVA's own lists, without a header: ``video,second,x1,y1,x2,y2``, an action, and a
    score or a person. Times are seconds of the video; sides are fractions of the frame, or pixels if any is greater
    than 1.5.

    Raises:
        DataError: The file is missing or malformed; the message names the row.
    """
    by_video: dict[str, list[BoxRow]] = {}
    for video, row in _rows(path):
        by_video.setdefault(video, []).append(row)
    all_rows = [row for own in by_video.values() for row in own]
    if not all_rows:
        raise DataError(f"{printable(path)}: no box in it; {EXPECTED}")
    widest = max(all_rows, key=lambda row: max(row.sides))
    pixels = max(widest.sides) > MAX_FRACTION
    for row in all_rows if pixels else ():
        if max(row.sides) <= MAX_FRACTION:
            raise DataError(
                f"{row.where}: box {_format(row.sides)} is in fractions of the frame, but {_format(widest.sides)} "
                f"({widest.where.rpartition(': ')[2]}) is in pixels: use one of the two for all rows"
            )
    return BoxList(path=path, rows=by_video, pixels=pixels)


def _rows(path: Path) -> Iterator[tuple[str, BoxRow]]:
    first = _first_line(path)
    names = [name.strip().lower() for name in first]
    header = None
    if not set(REQUIRED) <= set(names):
        if len(first) not in (len(AVA) - 1, len(AVA)) or not _is_number(first[1]):
            raise DataError(f"{printable(path)}: row 1: '{','.join(first)}'; {EXPECTED}")
        header = AVA[: len(first)]
    for number, row in rows(path, header):
        values = {name.lower(): value for name, value in row.items()}
        where = f"{printable(path)}: row {number}"
        video = next((values[name] for name in VIDEO if name in values), None)
        if video == "":
            raise DataError(f"{where}: names no video: fill the column, or leave it out for a list of one video")
        yield video or "", _row(values, where)


def _first_line(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), [])
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{printable(path)}: not a csv file in UTF-8 ({error}): save it as one") from error


def _row(values: Mapping[str, str], where: str) -> BoxRow:
    x1, y1, x2, y2 = (_number(values[name], name, where) for name in SIDES)
    sides = (x1, y1, x2, y2)
    if not (x1 < x2 and y1 < y2):
        raise DataError(f"{where}: box {_format(sides)}: expected x1 < x2 and y1 < y2: correct or remove the row")
    return BoxRow(where=where, time=parse_time(values["time"], where), sides=sides, score=_score(values, where))


def _score(values: Mapping[str, str], where: str) -> float:
    """Score of the detector; in AVA's lists the last column, unless it is an integer: a person's number."""
    text = values.get("score", "")
    if not text and _is_number(values.get("last", "")) and not values["last"].isdecimal():
        text = values["last"]
    score = _number(text, "score", where) if text else 1.0
    if not 0 <= score <= 1:
        raise DataError(f"{where}: score {score:g}, expected 0 to 1: correct it, or leave the column out")
    return score


def _number(text: str, name: str, where: str) -> float:
    if not _is_number(text):
        raise DataError(f"{where}: {name} '{text}' is not a number: correct or remove the row")
    return float(text)


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False


def _format(sides: Place) -> str:
    return ", ".join(f"{side:g}" for side in sides)
