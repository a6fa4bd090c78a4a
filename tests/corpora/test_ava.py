"""AVA reader, on lines of the official lists."""

import csv
import re
import shutil
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from slowfast_cli.corpora import ava, labels
from slowfast_cli.metrics.scores import score
from slowfast_cli.types import DataError, Prediction

LISTS = Path(__file__).parents[1] / "assets" / "lists" / "ava"
LABEL_MAP = Path(__file__).parents[1] / "assets" / "reference" / "metrics" / "ava_label_map.pbtxt"
DETECTIONS = "annotations/person_box_67091280_iou90/ava_detection_val_boxes_and_labels.csv"
FILMS = ("1j20qq1JyX4", "5BDj0ow5hnA")


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def official(name):
    with (LISTS / name).open(newline="") as file:
        return list(csv.reader(file))


def write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture(params=["annotations", ""])
def root(request, tmp_path):
    shutil.copytree(LISTS, tmp_path / request.param, dirs_exist_ok=True)
    touch(tmp_path / "videos" / "1j20qq1JyX4.mkv", tmp_path / "videos" / "5BDj0ow5hnA.mp4")
    touch(tmp_path / "videos" / "-5KQ66BBWC4.mkv")
    return tmp_path


@pytest.fixture
def small(tmp_path):
    """One annotated film, without detections."""
    write(
        tmp_path / "annotations" / "ava_val_v2.2.csv",
        "f-1,0902,0.1,0.1,0.5,0.9,12,0",
        "f-1,0902,0.1,0.1,0.5,0.9,80,0",
        "f-1,0904,0.2,0.1,0.5,0.9,11,0",
        "f-1,0906,0.2,0.1,0.5,0.9,11,0",
    )
    write(tmp_path / "annotations" / "ava_val_excluded_timestamps_v2.2.csv", "f-1,0906", "other,0902")
    touch(tmp_path / "videos" / "f-1.mkv")
    return tmp_path


def test_class_list():
    rows = labels.table("ava80")
    assert [int(row["action_id"]) for row in rows] == list(range(1, 81))
    assert len(set(labels.names("ava80"))) == 80
    counted = {int(row["action_id"]): row["name"] for row in rows if row["evaluated60"] == "1"}
    text = LABEL_MAP.read_text()
    of_map = dict(zip(map(int, re.findall(r"label_id: (\d+)", text)), re.findall(r'name: "(.*)"', text), strict=True))
    assert counted == of_map
    assert len(counted) == 60
    assert {row["type"] for row in rows[:14]} == {"PERSON_MOVEMENT"}


@pytest.mark.parametrize(("split", "name"), [("val", "ava_val_v2.2.csv"), ("val-v2.1", "ava_val_v2.1.csv")])
def test_val_on_annotated_boxes(root, split, name):
    corpus = ava.read(root, split)
    merged = defaultdict(lambda: defaultdict(list))
    for film, second, *box, action, _ in official(name):
        merged[f"{film},{second}"][tuple(float(x) for x in box)].append(int(action) - 1)
    assert [segment.id for segment in corpus.segments] == sorted(merged)
    for segment in corpus.segments:
        boxes = {box.place: list(box.targets) for box in segment.boxes}
        assert boxes == merged[segment.id]
        assert segment.boxes == segment.truth
        film, second = segment.id.split(",")
        assert segment.recording.id == segment.group == film
        assert segment.center == int(second)
        assert len(second) == 4
        assert {box.score for box in segment.boxes} == {1.0}
    assert len(corpus.classes["label"]) == 80
    assert len(corpus.scored["label"]) == 60
    assert corpus.missing == ()


def test_labels_added_in_version_22(root):
    old, new = ({segment.id: segment for segment in ava.read(root, split).segments} for split in ("val-v2.1", "val"))
    added = [
        (id_, set(box.targets) - set(before.targets))
        for id_, segment in new.items()
        for box, before in zip(segment.boxes, old[id_].boxes, strict=True)
        if box.targets != before.targets
    ]
    assert added == [("1j20qq1JyX4,0916", {78})]


def test_train(root):
    corpus = ava.read(root, "train-v2.1")
    (segment,) = corpus.segments
    assert segment.id == "-5KQ66BBWC4,0902"
    assert [(box.place, box.targets) for box in segment.boxes] == [
        ((0.077, 0.151, 0.283, 0.811), (79, 8)),
        ((0.226, 0.032, 0.366, 0.497), (11, 16)),
    ]
    assert segment.truth == ()
    assert segment.targets == {}
    with pytest.raises(DataError, match="expects"):
        ava.read(root, "train")


def test_every_fourth_second(root):
    seconds = [int(segment.id[-4:]) for segment in ava.read(root, "val-mini").segments]
    assert seconds
    assert all(second % 4 == 0 for second in seconds)
    whole = [int(segment.id[-4:]) for segment in ava.read(root, "val").segments]
    assert seconds == [second for second in whole if second % 4 == 0]
    assert ava.read(root, "val-mini-v2.1").split == "val-mini-v2.1"


@pytest.mark.parametrize(
    "name",
    [
        DETECTIONS,
        DETECTIONS.replace("iou90", "iou75"),
        DETECTIONS.replace("labels.csv", "labels_include_negative_v2.2.csv"),
        "annotations/ava_detection_val_boxes_and_labels_include_negative.csv",
        "annotations/ava_val_predicted_boxes.csv",
        "ava_val_predicted_boxes.csv",
    ],
)
def test_val_on_detected_boxes(small, name):
    write(
        small / name,
        "f-1,902,0.11,0.1,0.5,0.9,,0.95",  # not padded, no action
        "f-1,0902,0.3,0.2,0.4,0.8,-1,0.80",
        "f-1,0902,0.11,0.1,0.5,0.9,80,0.95",  # a repeated box
        "f-1,0902,0.0,0.0,0.1,0.1,12,0.79",  # score too low
        "f-1,903,0.059,0.06,0.896,1.02,-1,0.99",  # no annotation
        "f-1,0906,0.1,0.1,0.5,0.9,-1,0.99",  # excluded
        "other,0902,0.1,0.1,0.5,0.9,-1,0.99",  # film of another split
    )
    corpus = ava.read(small, "val")
    assert [segment.id for segment in corpus.segments] == ["f-1,0902", "f-1,0903", "f-1,0904"]
    first, second, third = corpus.segments
    assert [(box.place, box.targets, box.score) for box in first.boxes] == [
        ((0.11, 0.1, 0.5, 0.9), (), 0.95),
        ((0.3, 0.2, 0.4, 0.8), (), 0.8),
    ]
    assert [(box.place, box.targets) for box in first.truth] == [((0.1, 0.1, 0.5, 0.9), (11, 79))]
    assert (len(second.boxes), second.truth) == (1, ())
    assert (third.boxes, len(third.truth)) == ((), 1)  # missed by the detector
    assert len(ava.read_boxes(small, "val", min_score=0.5).segments[0].boxes) == 3
    assert [segment.id for segment in ava.read(small, "val-mini").segments] == ["f-1,0904"]


def test_rows_of_a_published_list_of_detections(small):
    rows = official("ava_train_predicted_boxes.csv")
    write(small / DETECTIONS, *(",".join(["f-1", *row[1:]]) for row in rows))
    boxes = {segment.id: segment.boxes for segment in ava.read(small, "val").segments}
    assert len(boxes["f-1,0902"]) == 4
    assert len(boxes["f-1,0916"]) == 2
    assert boxes["f-1,0902"][0].score == 0.996382


def test_excluded_seconds_are_left_out(small):
    assert [segment.id for segment in ava.read(small, "val").segments] == ["f-1,0902", "f-1,0904"]
    write(small / DETECTIONS, "f-1,0902,0.1,0.1,0.5,0.9,,0.9")
    next(small.glob("*/*excluded*")).unlink()
    with pytest.raises(DataError, match=r"ava_val_excluded_timestamps_v2\.2\.csv: not found"):
        ava.read(small, "val")


def test_official_exclusions_have_no_annotations(root):
    listed = {(row[0], int(row[1])) for row in official("ava_val_excluded_timestamps_v2.1.csv")}
    assert len(listed) == 37
    assert not listed & {(row[0], int(row[1])) for row in official("ava_val_v2.1.csv")}
    assert ava.read(root, "val-v2.1").listed == len({tuple(row[:2]) for row in official("ava_val_v2.1.csv")})


def test_scores_of_perfect_detections(small):
    write(small / DETECTIONS, "f-1,0902,0.1,0.1,0.5,0.9,,0.9", "f-1,0903,0.1,0.1,0.5,0.9,,0.9")
    corpus = ava.read(small, "val")
    predictions = [
        Prediction(id=segment.id, scores={"label": np.full(80, 0.5 if segment.truth else 0.1)}, place=box.place)
        for segment in corpus.segments
        for box in segment.boxes
    ]
    scores = score(predictions, corpus)
    # Classes 12 and 80 are detected; 11 is missed by the detector.
    assert scores.values["map"] == pytest.approx((1 + 1 + 0) / 3)
    assert (scores.found, scores.listed) == (3, 3)


def test_center(small):
    whole = ava.read(small, "val").segments[0]
    assert (whole.center, whole.recording.path, whole.recording.fps) == (902.0, small / "videos" / "f-1.mkv", None)

    touch(small / "frames" / "f-1" / "f-1_000001.jpg")
    pictures = ava.read(small, "val").segments[0]
    assert (pictures.center, pictures.recording.path) == (2.0, small / "frames" / "f-1")
    assert (pictures.recording.fps, pictures.recording.sound) == (30.0, small / "videos" / "f-1.mkv")
    assert pictures.recording.sound_start == 900  # the frame images begin there, the film at 0

    touch(small / "videos_15min" / "f-1.mp4")
    pictures = ava.read(small, "val").segments[0]
    assert (pictures.recording.sound, pictures.recording.sound_start) == (small / "videos_15min" / "f-1.mp4", 0)

    shutil.rmtree(small / "frames")
    cut = ava.read(small, "val").segments[0]
    assert (cut.center, cut.recording.path) == (2.0, small / "videos_15min" / "f-1.mp4")
    assert (cut.recording.fps, cut.recording.sound) == (None, None)


def test_frame_images_without_audio(small):
    (small / "videos" / "f-1.mkv").unlink()
    touch(small / "rawframes" / "f-1" / "img_00001.jpg")
    recording = ava.read(small, "val").recordings[0]
    assert (recording.fps, recording.sound) == (30.0, None)


@pytest.mark.parametrize("place", ["trainval", "videos/trainval", ""])
def test_film_folders(small, place):
    (small / place).mkdir(exist_ok=True)
    (small / "videos" / "f-1.mkv").rename(small / place / "f-1.webm")
    assert ava.read(small, "val").recordings[0].path == small / place / "f-1.webm"


def test_missing_films_are_counted(small):
    (small / "videos" / "f-1.mkv").unlink()
    corpus = ava.read(small, "val")
    assert [(failure.id, failure.reason) for failure in corpus.missing] == [
        ("f-1,0902", "not on disk"),
        ("f-1,0904", "not on disk"),
    ]
    assert corpus.segments == ()


def test_a_second_without_persons(small):
    write(small / "annotations" / "ava_val_v2.2.csv", "f-1,0910")
    (segment,) = ava.read(small, "val").segments
    assert (segment.boxes, segment.truth) == ((), ())


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("f-1,0902,0.1,0.1,0.5,0.9,80,3_", "row 2: person '3_' is not an integer"),
        ("f-1,0902,0.1,0.1,0.5,0.9,80.0,3", "row 2: action '80.0'"),
        ("f-1,0902,0.1,0.1,0.5,0.9,81,3", "row 2: action 81 is not from 1 to 80"),
        ("f-1,0902,0.1,0.1,0.5,0.9,0,3", "row 2: action 0"),
        ("f-1,902.0,0.1,0.1,0.5,0.9,1,3", "row 2: second '902.0'"),
        ("f-1,0901,0.1,0.1,0.5,0.9,1,3", "row 2: second 901 is not from 902 to 1798"),
        ("f-1,0902,0.5,0.1,0.1,0.9,1,3", "row 2: box 0.5"),
        ("f-1,0902,0.1,0.1,320,240,1,3", "row 2: box 0.1.*relative to the size of the frame"),
        ("f-1,0902,0.1,nan,0.5,0.9,1,3", "row 2: box"),
        ("f-1,0902,0.1,x,0.5,0.9,1,3", "row 2: '0.1,x,0.5,0.9' is not a box"),
        ("f-1,0902,0.1,0.1,0.5", "row 2: 5 columns, expected 2 or 7 or 8"),
    ],
)
def test_errors_name_the_row(small, row, words):
    write(small / "annotations" / "ava_val_v2.2.csv", "f-1,0902,0.1,0.1,0.5,0.9,12,0", row)
    with pytest.raises(DataError, match=words):
        ava.read(small, "val")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("f-1,0902,0.1,0.1,0.5,0.9,12", "row 1: 7 columns, expected 8"),
        ("f-1,0902,0.1,0.1,0.5,0.9,12,sure", "row 1: score 'sure' is not a number"),
        ("f-1,0902,0.1,0.1,0.5,0.9,12,7", "row 1: score 7.0 is not from 0 to 1"),
    ],
)
def test_errors_of_detections(small, row, words):
    write(small / DETECTIONS, row)
    with pytest.raises(DataError, match=words):
        ava.read(small, "val")


def test_missing_data_set(tmp_path):
    with pytest.raises(DataError, match="contains none of the expected files") as error:
        ava.read(tmp_path, "val")
    assert ava.INFO.homepage in str(error.value)
    with pytest.raises(DataError, match="no split 'nope'"):
        ava.read(tmp_path, "nope")


def test_a_long_list_is_read_fast(tmp_path):
    path = tmp_path / "annotations" / "ava_train_v2.2.csv"
    lines = [
        f"film{film},{second:04d},0.{person}1,0.1,0.{person}9,0.9,{action},{person}"
        for film in range(20)
        for second in range(902, 1802 - 4)
        for person in (1, 2)
        for action in (12, 79)
    ]
    write(path, *lines)
    touch(*(tmp_path / "videos" / f"film{film}.mkv" for film in range(20)))
    start = time.process_time()
    corpus = ava.read(tmp_path, "train")
    assert time.process_time() - start < 6  # 0.6 s of CPU time; 837,318 rows take 7 s
    assert sum(len(segment.boxes) for segment in corpus.segments) == len(lines) / 2
