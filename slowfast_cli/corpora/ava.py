"""AVA: actions of each person in a video frame; 80 atomic actions, 60 of them scored."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.dataset_info import DATASETS
from slowfast_cli.corpora.items import NOT_ON_DISK
from slowfast_cli.corpora.media_files import first_file, media_index, subfolders
from slowfast_cli.types import VIDEO_SUFFIXES, Box, Corpus, DataError, Failure, Place, Recording, Seconds, Segment

INFO = DATASETS["ava"]
MIN_SCORE = 0.8  # of detected boxes, as in most of PySlowFast's recipes (AVSlowFast tests with detected boxes)
CUT_START = 900  # second of the film where the annotated 15 minutes begin
FPS = 30.0  # of frame images extracted by PySlowFast's preparation
FIRST, LAST = 902, 1798  # annotated seconds of a film
MAX_OUTSIDE = 1.0  # how far a detected box may reach out of the frame, relative to its size
FILMS = ("videos", "trainval", "videos/trainval", "")
CUTS = ("videos_15min", "videos_cut")
FRAME_IMAGES = ("frames", "rawframes")
LISTS = ("annotations", "", "annotations/person_box_67091280_iou90", "ava_v2.2", "ava_v2.1")
DETECTIONS = (
    "person_box_67091280_iou90/ava_detection_val_boxes_and_labels",
    "person_box_67091280_iou75/ava_detection_val_boxes_and_labels",
    "ava_detection_val_boxes_and_labels",
    "ava_val_predicted_boxes",
)
Key = tuple[str, int]  # film, second


@dataclass
class BoxRows:
    """The rows of one box."""

    score: float = 1.0  # detector confidence; 1 for annotated boxes
    actions: list[int] = field(default_factory=list)  # class indices, in list order


def read(root: Path, split: str) -> Corpus:
    """Read a split of AVA version 2.2, or 2.1 if the name of the split ends with ``-v2.1``.

    On disk::

        root/[annotations/]ava_{train,val}_v2.{1,2}.csv                       official: one row per box and action
        root/[annotations/]ava_{train,val}_excluded_timestamps_v2.{1,2}.csv   official
        root/[annotations/][person_box_67091280_iou90/]ava_detection_val_boxes_and_labels[...].csv
        root/[annotations/]ava_val_predicted_boxes.csv                        or this: detected persons

        root/videos/<film>.{mkv,mp4,webm}           whole films; or
        root/videos_15min/<film>.*                  cut with `ffmpeg -ss 900 -t 901`; or
        root/frames/<film>/<film>_000001.jpg        30 frames per second of the cut; audio from the others

    Frame images are preferred to cuts, cuts to films. A segment is an annotated second of a film: its id is
    ``<film>,<second in 4 digits>``, its only clip is centered on it. Pickled proposals are not supported.

    The boxes of train are annotated; the labels of a box are merged. Those of val are detections with a score of at
    least 0.8, with the annotated boxes in ``truth``; without a list of detections they are the annotated boxes. Seconds
    without any box are kept, because what the detector missed counts. Excluded seconds are left out of both.
    ``val-mini`` has every fourth second.
    """
    return read_boxes(root, split, min_score=MIN_SCORE)


def read_boxes(root: Path, split: str, *, min_score: float) -> Corpus:
    """Read a split as `read` does, with another minimum score of detected boxes."""
    INFO.check_split(split)
    part = split.partition("-")[0]
    version = "2.1" if split.endswith("-v2.1") else "2.2"
    path = _find(root, f"ava_{part}_v{version}.csv")
    if path is None:
        raise INFO.not_found(root)
    truth = _annotated(path)
    boxes = dict(truth)
    exclusions_name = f"ava_{part}_excluded_timestamps_v{version}.csv"
    exclusions = _find(root, exclusions_name)
    endings = ("", f"_v{version}", "_include_negative", f"_include_negative_v{version}")
    names = (f"{name}{ending}.csv" for name in DETECTIONS for ending in endings)
    detections = _find(root, *names) if part == "val" else None
    if detections is not None:
        if exclusions is None:
            raise DataError(
                f"{path.parent / exclusions_name}: not found; without it, detections in excluded seconds would count "
                f"as false positives: get it from {INFO.homepage}"
            )
        boxes = _detected(detections, min_score, frozenset(film for film, _ in truth))
    every = 4 if "mini" in split else 1
    keys = sorted(key for key in (truth.keys() | boxes.keys()) - _excluded(exclusions) if key[1] % every == 0)
    segments, missing = _segments(keys, boxes, truth if part == "val" else {}, root)
    scored = frozenset(int(row["index"]) for row in labels.table("ava80") if row["evaluated60"] == "1")
    return Corpus(
        has_video=True, name="ava", split=split, segments=segments, classes={"label": labels.names("ava80")},
        missing=missing, scored={"label": scored},
    )  # fmt: skip


def _segments(
    keys: list[Key], boxes: Mapping[Key, tuple[Box, ...]], truth: Mapping[Key, tuple[Box, ...]], root: Path
) -> tuple[tuple[Segment, ...], tuple[Failure, ...]]:
    recordings = _recordings(root)
    segments: list[Segment] = []
    missing: list[Failure] = []
    for film, second in keys:
        id = f"{film},{second:04d}"
        if film not in recordings:
            missing.append(Failure(id=id, path=root / FILMS[0] / film, reason=NOT_ON_DISK))
            continue
        recording, begins = recordings[film]
        segments.append(
            Segment(
                id=id, recording=recording, group=film, center=second - begins, boxes=boxes.get((film, second), ()),
                truth=truth.get((film, second), ()),
            )
        )  # fmt: skip
    return tuple(segments), tuple(missing)


def _recordings(root: Path) -> dict[str, tuple[Recording, Seconds]]:
    """Recordings by film, with the second of the film at which each begins."""
    films = media_index([root / place for place in FILMS], VIDEO_SUFFIXES)
    cuts = media_index([root / place for place in CUTS], VIDEO_SUFFIXES)
    recordings = {id: (Recording(id=id, path=path), 0.0) for id, path in films.items()}
    recordings |= {id: (Recording(id=id, path=path), float(CUT_START)) for id, path in cuts.items()}
    for place in reversed(FRAME_IMAGES):
        for folder in subfolders(root / place) if (root / place).is_dir() else ():
            recording = Recording(id=folder.name, path=folder, fps=FPS)
            if folder.name in cuts:
                recording = replace(recording, sound=cuts[folder.name])
            elif folder.name in films:
                recording = replace(recording, sound=films[folder.name], sound_start=float(CUT_START))
            recordings[folder.name] = (recording, float(CUT_START))
    return recordings


def _find(root: Path, *names: str) -> Path | None:
    return first_file(root / place / name for name in names for place in LISTS)


def _annotated(path: Path) -> dict[Key, tuple[Box, ...]]:
    """Read annotated boxes by film and second; the rows of one box are merged.

    Rows are ``film,second,x1,y1,x2,y2,action,person`` without a header; a row of only film and second is a second
    without any person.
    """
    boxes: dict[Key, dict[Place, BoxRows]] = {}
    for number, row in _rows(path, (2, 7, 8)):
        where = f"{path}: row {number}"
        in_second = boxes.setdefault((row[0], _second(row[1], where)), {})
        if len(row) == 2:
            continue
        if len(row) == 8:
            _integer(row[7], "person", where)
        action = _integer(row[6], "action", where)
        if not 1 <= action <= len(labels.names("ava80")):
            raise DataError(f"{where}: action {action} is not from 1 to 80: take the official list")
        actions = in_second.setdefault(_place(row, where), BoxRows()).actions
        if action - 1 not in actions:
            actions.append(action - 1)
    return _boxes(boxes)


def _detected(path: Path, min_score: float, films: frozenset[str]) -> dict[Key, tuple[Box, ...]]:
    """Read detected boxes of some films by film and second, in file order; repeated rows of a box are merged.

    Rows are ``film,second,x1,y1,x2,y2,action,score``, the second zero-padded or not. The action is ignored: it is
    empty, -1, or that of a nearby annotated box.
    """
    boxes: dict[Key, dict[Place, BoxRows]] = {}
    for number, row in _rows(path, (8,)):
        where = f"{path}: row {number}"
        try:
            score = float(row[7])
        except ValueError:
            raise DataError(f"{where}: score '{row[7]}' is not a number: fix or remove the row") from None
        if not 0 <= score <= 1:
            raise DataError(f"{where}: score {score} is not from 0 to 1: take a list of detections, not of annotations")
        if score < min_score or row[0] not in films:
            continue
        in_second = boxes.setdefault((row[0], _second(row[1], where)), {})
        box = in_second.setdefault(_place(row, where), BoxRows(score=score))
        box.score = max(box.score, score)
    return _boxes(boxes)


def _excluded(path: Path | None) -> frozenset[Key]:
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
                        f"{path}: row {number}: {len(row)} columns, expected {' or '.join(map(str, columns))}: fix it"
                    )
                yield number, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a csv file in UTF-8 ({error}): fetch it again") from error


def _integer(text: str, name: str, where: str) -> int:
    """Parse an integer; ``3_`` and ``3.0`` are refused."""
    if not (text.isascii() and text.strip().isdecimal()):
        raise DataError(f"{where}: {name} '{text}' is not an integer: take the official list")
    return int(text)


def _second(text: str, where: str) -> int:
    second = _integer(text, "second", where)
    if not FIRST <= second <= LAST:
        raise DataError(f"{where}: second {second} is not from {FIRST} to {LAST}: take the official list")
    return second


def _place(row: list[str], where: str) -> Place:
    try:
        x1, y1, x2, y2 = float(row[2]), float(row[3]), float(row[4]), float(row[5])
    except ValueError:
        raise DataError(f"{where}: '{','.join(row[2:6])}' is not a box: fix or remove the row") from None
    low, high = -MAX_OUTSIDE, 1 + MAX_OUTSIDE
    if not (low <= x1 <= x2 <= high and low <= y1 <= y2 <= high):
        raise DataError(
            f"{where}: box {x1}, {y1}, {x2}, {y2}; expected x1 <= x2, y1 <= y2, relative to the size of the frame"
        )
    return x1, y1, x2, y2


def _boxes(boxes: Mapping[Key, Mapping[Place, BoxRows]]) -> dict[Key, tuple[Box, ...]]:
    return {
        key: tuple(Box(place=place, targets=tuple(box.actions), score=box.score) for place, box in in_second.items())
        for key, in_second in boxes.items()
    }
