"""A list of boxes that a user names: where in which video to look, and when."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from slowfast_cli.corpora.lists import parse_time, rows
from slowfast_cli.media.audio_source import printable
from slowfast_cli.types import Box, DataError, Place, Seconds

SIDES = ("x1", "y1", "x2", "y2")
NEEDED = ("time", *SIDES)
VIDEO = ("path", "video")  # names of the column that says which file
AVA = ("video", *NEEDED, "action", "last")  # what the columns of AVA's own lists are called here
SHARES = 1.5  # coordinates up to which they are shares of the frame: detectors reach out of it a little
LATE = 0.5  # seconds that a box may lie past the end: headers round
RIGHT = "right are a header with time,x1,y1,x2,y2 (and score; path for several files), or the columns of AVA's lists"


@dataclass(frozen=True, kw_only=True)
class Given:
    """A row of the list.

    Attributes:
        where: What an error about it starts with.
        time: In seconds of its video.
        sides: Left, top, right and bottom as they are written.
        score: The detector's; 1 where there is none.
    """

    where: str
    time: Seconds
    sides: Place
    score: float


@dataclass(frozen=True, kw_only=True)
class BoxList:
    """The boxes of a file.

    Attributes:
        path: The file.
        rows: By the video they name; under "" where there is no such column.
        pixels: They are written in pixels, not as shares of the frame.
    """

    path: Path
    rows: Mapping[str, Sequence[Given]]
    pixels: bool

    @property
    def named(self) -> bool:
        """The rows say which video they are about."""
        return "" not in self.rows

    def of(self, video: Path, *, size: tuple[int, int], length: Seconds) -> dict[Seconds, tuple[Box, ...]]:
        """The boxes of a video by their times, in order; the same box is there once, with its best score.

        Args:
            video: The file; it may be named in full, or by its name with or without suffix.
            size: Its width and height.
            length: In seconds.

        Raises:
            DataError: There are none, or one lies past its end or outside its picture.
        """
        chosen = self._chosen(video)
        if not chosen:
            videos = sorted(self.rows)
            raise DataError(
                f"{printable(self.path)}: no box is of {printable(video)}; they are of "
                f"{', '.join(map(printable, videos[:3]))}"
                f"{', ...' if len(videos) > 3 else ''}: let them name the file, or its name without suffix"
            )
        found: dict[Seconds, dict[Place, Box]] = {}
        for row in sorted(chosen, key=lambda each: each.time):
            if row.time > length + LATE:
                raise DataError(
                    f"{row.where}: time {row.time:g} s, and {printable(video)} is {length:.2f} s long: "
                    "mend or remove it"
                )
            place = self._place(row, size)
            held = found.setdefault(row.time, {})
            score = max(row.score, held[place].score) if place in held else row.score
            held[place] = Box(place=place, score=score)
        return {time: tuple(boxes.values()) for time, boxes in found.items()}

    def _chosen(self, video: Path) -> list[Given]:
        if not self.named:
            return list(self.rows[""])
        whole = video.absolute()
        return [
            row
            for name, own in self.rows.items()
            if name in (video.name, video.stem)
            or whole in (Path(name).absolute(), (self.path.parent / name).absolute())
            for row in own
        ]

    def _place(self, row: Given, size: tuple[int, int]) -> Place:
        width, height = size if self.pixels else (1, 1)
        x1, y1, x2, y2 = row.sides
        place = (x1 / width, y1 / height, x2 / width, y2 / height)
        if place[0] >= 1 or place[1] >= 1 or place[2] <= 0 or place[3] <= 0:
            raise DataError(
                f"{row.where}: box {_written(row.sides)} lies outside the picture"
                f"{f' of {width} x {height} pixels' if self.pixels else ''}: mend or remove it"
            )
        return place


def read(path: Path) -> BoxList:
    """Read a list of boxes.

    A csv file with a header: ``time,x1,y1,x2,y2`` in any order, ``score`` and ``path`` or ``video`` if they are there;
    other columns are not read. Or one of AVA's own lists, which have none: ``video,second,x1,y1,x2,y2``, an action, and
    a score or a person. Times are seconds of the video; sides are shares of the frame from 0 to 1, or pixels where any
    is greater than 1.5.

    Raises:
        DataError: It is not there, or not such a list; with the number of the row.
    """
    found: dict[str, list[Given]] = {}
    for video, row in _given(path):
        found.setdefault(video, []).append(row)
    every = [row for own in found.values() for row in own]
    if not every:
        raise DataError(f"{printable(path)}: no box in it; {RIGHT}")
    widest = max(every, key=lambda row: max(row.sides))
    pixels = max(widest.sides) > SHARES
    for row in every if pixels else ():
        if max(row.sides) <= SHARES:
            raise DataError(
                f"{row.where}: box {_written(row.sides)} is written in shares of the frame, and "
                f"{_written(widest.sides)} ({widest.where.rpartition(': ')[2]}) in pixels: write all of them alike"
            )
    return BoxList(path=path, rows=found, pixels=pixels)


def _given(path: Path) -> Iterator[tuple[str, Given]]:
    first = _first(path)
    names = [name.strip().lower() for name in first]
    header = None
    if not set(NEEDED) <= set(names):
        if len(first) not in (len(AVA) - 1, len(AVA)) or not _is_number(first[1]):
            raise DataError(f"{printable(path)}: row 1: '{','.join(first)}'; {RIGHT}")
        header = AVA[: len(first)]
    for number, row in rows(path, header):
        plain = {name.lower(): value for name, value in row.items()}
        where = f"{printable(path)}: row {number}"
        named = next((plain[name] for name in VIDEO if name in plain), None)
        if named == "":
            raise DataError(f"{where}: names no video: fill the column, or leave it out for a list of one video")
        yield named or "", _row(plain, where)


def _first(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), [])
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{printable(path)}: not a csv file in UTF-8 ({error}): save it as one") from error


def _row(plain: Mapping[str, str], where: str) -> Given:
    values = [_number(plain[name], name, where) for name in SIDES]
    x1, y1, x2, y2 = values
    if not (x1 < x2 and y1 < y2):
        raise DataError(
            f"{where}: box {_written((x1, y1, x2, y2))}: right and bottom have to lie after left and top: mend it"
        )
    return Given(where=where, time=parse_time(plain["time"], where), sides=(x1, y1, x2, y2), score=_score(plain, where))


def _score(plain: Mapping[str, str], where: str) -> float:
    """The detector's; the last column of AVA's lists is a whole number where it is a person."""
    text = plain.get("score", "")
    if not text and _is_number(plain.get("last", "")) and not plain["last"].isdecimal():
        text = plain["last"]
    score = _number(text, "score", where) if text else 1.0
    if not 0 <= score <= 1:
        raise DataError(f"{where}: score {score:g} is not from 0 to 1: mend it, or leave the column out")
    return score


def _number(text: str, what: str, where: str) -> float:
    if not _is_number(text):
        raise DataError(f"{where}: {what} '{text}' is no number: mend or remove the row")
    return float(text)


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False


def _written(sides: Place) -> str:
    return ", ".join(f"{side:g}" for side in sides)
