"""AVA: who does what, where and when in films; 80 atomic actions, 60 of them scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from slowfast_cli.corpora import labels
from slowfast_cli.corpora.ava_files import Key, annotated, detected, excluded, find, find_detections
from slowfast_cli.corpora.dataset_info import DatasetInfo
from slowfast_cli.corpora.media_files import media_index, subfolders
from slowfast_cli.types import VIDEO_SUFFIXES, Box, Corpus, DataError, Failure, Recording, Seconds, Segment

INFO = DatasetInfo(
    name="ava",
    task="what each person in a picture does, several labels a box",
    classes="80, of which 60 are scored",
    splits=("train", "val", "val-mini", "train-v2.1", "val-v2.1", "val-mini-v2.1"),
    files=(
        "annotations/ava_{train,val}_v2.{1,2}.csv and ava_val_excluded_timestamps_v2.{1,2}.csv",
        "annotations/person_box_67091280_iou90/ava_detection_val_boxes_and_labels.csv, to test on detected boxes",
        "videos/<film>.{mkv,mp4,webm}, or videos_15min/<film>.*, or frames/<film>/<film>_000001.jpg",
    ),
    homepage="https://github.com/cvdfoundation/ava-dataset",
    license="annotations CC BY 4.0; films belong to their uploaders",
)
THRESHOLD = 0.8  # least score of a detected box, of most of PySlowFast's recipes (AVSlowFast tests with detected boxes)
CUT = 900  # second of the film where the 15 minutes begin
FPS = 30.0  # of the pictures: PySlowFast's preparation
FILMS = ("videos", "trainval", "videos/trainval", "")
CUTS = ("videos_15min", "videos_cut")
PICTURES = ("frames", "rawframes")


def read(root: Path, split: str) -> Corpus:
    """Read a split of AVA, version 2.2, or 2.1 where the split's name says so.

    On disk::

        root/[annotations/]ava_{train,val}_v2.{1,2}.csv                       official: one row a box and action
        root/[annotations/]ava_{train,val}_excluded_timestamps_v2.{1,2}.csv   official
        root/[annotations/][person_box_67091280_iou90/]ava_detection_val_boxes_and_labels[...].csv
        root/[annotations/]ava_val_predicted_boxes.csv                        or this: persons found by a detector

        root/videos/<film>.{mkv,mp4,webm}           whole films; or
        root/videos_15min/<film>.*                  cut with `ffmpeg -ss 900 -t 901`; or
        root/frames/<film>/<film>_000001.jpg        30 pictures a second of the cut; sound from the others

    Pictures are preferred to cuts, cuts to films. A segment is an annotated second of a film: its id is
    ``<film>,<second in 4 digits>``, its only clip is centred on it. Pickled proposals are not read.

    The boxes of train are those that people drew, the labels of one box together. Those of val are a detector's with a
    score of at least 0.8, with the annotated ones in ``truth``; without a list of detections they are the annotated
    ones. Seconds without a box in them are in it too: what the detector missed counts. Excluded seconds are left out of
    both. ``val-mini`` has every fourth second.

    Args:
        root: The folder.
        split: ``train``, ``val`` or ``val-mini``, or one of them with ``-v2.1`` behind it.

    Raises:
        DataError: A list is not there or does not hold together.
    """
    return read_boxes(root, split, least=THRESHOLD)


def read_boxes(root: Path, split: str, *, least: float) -> Corpus:
    """As `read`, with another threshold for detected boxes.

    Args:
        root: The folder.
        split: As for `read`.
        least: Score below which detected boxes are left out; they are not even built.

    Raises:
        DataError: A list is not there or does not hold together.
    """
    INFO.check_split(split)
    part = split.partition("-")[0]
    version = "2.1" if split.endswith("-v2.1") else "2.2"
    path = find(root, f"ava_{part}_v{version}.csv")
    if path is None:
        raise INFO.not_found(root)
    truth = annotated(path)
    boxes = dict(truth)
    exclusions = f"ava_{part}_excluded_timestamps_v{version}.csv"
    left_out = excluded(find(root, exclusions))
    detections = find_detections(root, version) if part == "val" else None
    if detections is not None:
        if find(root, exclusions) is None:
            raise DataError(
                f"{path.parent / exclusions}: not there; persons detected in the seconds that it lists would count as "
                f"wrong: get it from {INFO.homepage}"
            )
        boxes = detected(detections, least, frozenset(film for film, _ in truth))
    every = 4 if "mini" in split else 1
    keys = sorted(key for key in (truth.keys() | boxes.keys()) - left_out if key[1] % every == 0)
    segments, missing = _segments(keys, boxes, truth if part == "val" else {}, root)
    scored = frozenset(int(row["index"]) for row in labels.table("ava80") if row["evaluated60"] == "1")
    return Corpus(
        has_video=True,
        name="ava",
        split=split,
        segments=segments,
        classes={"label": labels.names("ava80")},
        missing=missing,
        scored={"label": scored},
    )


def _segments(
    keys: list[Key], boxes: Mapping[Key, tuple[Box, ...]], truth: Mapping[Key, tuple[Box, ...]], root: Path
) -> tuple[tuple[Segment, ...], tuple[Failure, ...]]:
    recordings = _recordings(root)
    segments: list[Segment] = []
    missing: list[Failure] = []
    for film, second in keys:
        id = f"{film},{second:04d}"
        if film not in recordings:
            missing.append(Failure(id=id, path=root / FILMS[0] / film, reason="not on disk"))
            continue
        recording, begins = recordings[film]
        segments.append(
            Segment(
                id=id,
                recording=recording,
                group=film,
                center=second - begins,
                boxes=boxes.get((film, second), ()),
                truth=truth.get((film, second), ()),
            )
        )
    return tuple(segments), tuple(missing)


def _recordings(root: Path) -> dict[str, tuple[Recording, Seconds]]:
    """Every film by its id, and the second of the film where its recording begins."""
    films = media_index([root / place for place in FILMS], VIDEO_SUFFIXES)
    cuts = media_index([root / place for place in CUTS], VIDEO_SUFFIXES)
    found = {id: (Recording(id=id, path=path), 0.0) for id, path in films.items()}
    found |= {id: (Recording(id=id, path=path), float(CUT)) for id, path in cuts.items()}
    for place in reversed(PICTURES):
        for folder in subfolders(root / place) if (root / place).is_dir() else ():
            recording = Recording(id=folder.name, path=folder, fps=FPS)
            if folder.name in cuts:
                recording = replace(recording, sound=cuts[folder.name])
            elif folder.name in films:
                recording = replace(recording, sound=films[folder.name], sound_start=float(CUT))
            found[folder.name] = (recording, float(CUT))
    return found
