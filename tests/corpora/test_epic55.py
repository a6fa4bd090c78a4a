"""EPIC-KITCHENS-55 reader, on lines of the official lists."""

import csv
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from slowfast_cli.corpora import epic55, labels
from slowfast_cli.types import DataError

LISTS = Path(__file__).parents[1] / "assets" / "lists" / "epic55"
HEADER = "uid,participant_id,video_id,narration,start_timestamp,stop_timestamp,verb_class,noun_class\n"


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def published():
    with (LISTS / "EPIC_train_action_labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(params=["", "annotations", "epic-kitchens-55-annotations"])
def root(request, tmp_path):
    shutil.copytree(LISTS, tmp_path / request.param, dirs_exist_ok=True)
    return tmp_path


def test_class_lists_and_splits():
    assert (len(labels.names("epic55_verbs")), len(labels.names("epic55_nouns"))) == (125, 352)
    assert labels.names("epic55_nouns")[0] == "Nothing"
    for name, many in (("verbs", 26), ("nouns", 71)):
        assert sum(row["is_many_shot"] == "1" for row in labels.table(f"epic55_{name}")) == many
    # Baradel et al.: 23,191 and 5,281 segments; EPIC-Fusion: 26,074 in 258 videos and 2,398 in 14.
    for table, sizes in (
        ("epic55_baradel_split", {"train": (22, 23191), "val": (6, 5281)}),
        ("epic55_tbn_split", {"train": (258, 26074), "val": (14, 2398)}),
    ):
        for subset, (count, segments) in sizes.items():
            rows = [row for row in labels.table(table) if row["subset"] == subset]
            assert (len(rows), sum(int(row["segments"]) for row in rows)) == (count, segments)
    train = {row["participant_id"] for row in labels.table("epic55_baradel_split") if row["subset"] == "train"}
    assert max(train) == "P25"


def test_all_labeled_segments(root):
    touch(root / "P01" / "videos" / "P01_01.MP4")
    corpus = epic55.read(root, "all")
    rows = published()
    assert corpus.listed == len(rows) == 30
    assert [segment.id for segment in corpus.segments] == [row["uid"] for row in rows]
    first = corpus.segments[0]
    assert (first.start, first.stop, first.group) == (0.14, 3.37, "P01")
    assert corpus.classes["verb"][first.targets["verb"]] == rows[0]["verb"] == "open"
    assert corpus.classes["noun"][first.targets["noun"]] == "cupboard"  # a door belongs to this class
    assert first.targets == {"verb": 2, "noun": 8}
    assert len(corpus.recordings) == 1


@pytest.mark.parametrize(
    "place",
    [
        "P01/videos/P01_01.MP4",
        "EPIC-KITCHENS/P01/videos/P01_01.MP4",
        "videos/train/P01/P01_01.MP4",
        "videos/P01_01.MP4",
        "P01/P01_01.mp4",
    ],
)
def test_both_folder_layouts(tmp_path, place):
    shutil.copytree(LISTS, tmp_path, dirs_exist_ok=True)
    touch(tmp_path / place)
    corpus = epic55.read(tmp_path, "train")
    assert [recording.path for recording in corpus.recordings] == [tmp_path / place]
    assert corpus.missing == ()


def split_root(tmp_path):
    videos = ["P01_01", "P01_03", "P25_01", "P26_01", "P31_14", "P02_01"]
    rows = [f"{7 * i},{v[:3]},{v},x,00:00:01.00,00:00:02.50,1,2\n" for i, v in enumerate(videos)]
    (tmp_path / "EPIC_train_action_labels.csv").write_text(HEADER + "".join(rows))
    touch(*(tmp_path / video[:3] / "videos" / f"{video}.MP4" for video in videos))
    return videos


def test_splits_by_participant_and_by_video(tmp_path):
    videos = split_root(tmp_path)
    ids = {
        split: [segment.recording.id for segment in epic55.read(tmp_path, split).segments]
        for split in ("train", "val", "train-tbn", "val-tbn", "all")
    }
    assert ids["train"] == ["P01_01", "P01_03", "P25_01", "P02_01"]
    assert ids["val"] == ["P26_01", "P31_14"]
    subset = {row["video_id"]: row["subset"] for row in labels.table("epic55_tbn_split")}
    for part in ("train", "val"):
        assert ids[f"{part}-tbn"] == [video for video in videos if subset[video] == part]
    assert ids["all"] == videos


def test_rows_without_a_split(tmp_path):
    (tmp_path / "EPIC_train_action_labels.csv").write_text(HEADER + "0,P40,P40_01,x,0,1,1,2\n")
    with pytest.raises(DataError, match="participant_id 'P40' is in no split"):
        epic55.read(tmp_path, "val")
    with pytest.raises(DataError, match="video_id 'P40_01' is in no split"):
        epic55.read(tmp_path, "val-tbn")
    assert epic55.read(tmp_path, "all").listed == 1


@pytest.mark.parametrize(("split", "video"), [("test_s1", "P01_11"), ("test_s2", "P09_01")])
def test_test_has_no_labels(tmp_path, split, video):
    shutil.copytree(LISTS, tmp_path, dirs_exist_ok=True)
    touch(tmp_path / "videos" / "test" / video[:3] / f"{video}.MP4")
    corpus = epic55.read(tmp_path, split)
    assert corpus.listed == 8
    assert corpus.segments[0].targets == {}
    assert corpus.segments[0].recording.id == video


def test_invalid_rows_of_train(tmp_path):
    shutil.copyfile(LISTS / "EPIC_train_invalid_labels.csv", tmp_path / "EPIC_train_action_labels.csv")
    with pytest.raises(DataError, match="row 2: missing or invalid column"):
        epic55.read(tmp_path, "train")


def test_videos_are_preferred_and_use_separate_audio(tmp_path):
    split_root(tmp_path)
    touch(tmp_path / "audio" / "P01_01.wav", tmp_path / "audio" / "P01_77.wav")
    with h5py.File(tmp_path / "audio" / "EPIC_audio.hdf5", "w") as file:
        file["P01_01"] = np.zeros(9, np.int16)
        file["P02_01"] = np.zeros(9, np.int16)
    (tmp_path / "P02" / "videos" / "P02_01.MP4").unlink()
    recordings = {recording.id: recording for recording in epic55.read(tmp_path, "all").recordings}
    assert recordings["P01_01"].path == tmp_path / "P01" / "videos" / "P01_01.MP4"
    assert recordings["P01_01"].sound == tmp_path / "audio" / "P01_01.wav"
    assert recordings["P01_03"].sound is None
    assert recordings["P02_01"].dataset == "P02_01"  # no video: audio only


def test_missing_videos_and_odd_times(tmp_path):
    rows = "0,P01,P01_01,x,00:00:01.00,00:00:01.00,1,2\n3,P01,P01_99,x,00:00:01.00,00:00:02.00,1,2\n"
    (tmp_path / "EPIC_train_action_labels.csv").write_text(HEADER + rows)
    touch(tmp_path / "P01_01.mp4")
    corpus = epic55.read(tmp_path, "all")
    assert [(failure.id, failure.reason) for failure in corpus.missing] == [
        ("0", "it starts at 1.0 s and stops at 1.0 s"),
        ("3", "not on disk"),
    ]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("0,P01,P01_01,x,0,1,125,2", "row 2: verb_class 125"),
        ("0,P01,P01_01,x,0,1,1,352", "row 2: noun_class 352"),
        ("0,P01,P01_01,x,nine,1,1,2", "row 2: 'nine' is not a time"),
        ("0,P01,P01_01,x,0,1,1,2\n0,P01,P01_01,x,0,1,1,2", "0 is listed twice"),
    ],
)
def test_errors_name_the_row(tmp_path, row, words):
    (tmp_path / "EPIC_train_action_labels.csv").write_text(HEADER + row + "\n")
    with pytest.raises(DataError, match=words):
        epic55.read(tmp_path, "all")


def test_missing_data_set(tmp_path):
    with pytest.raises(DataError, match="contains none of the expected files") as error:
        epic55.read(tmp_path, "train")
    assert epic55.INFO.homepage in str(error.value)
    with pytest.raises(DataError, match="no split 'nope'"):
        epic55.read(tmp_path, "nope")


def test_the_labeled_list_needs_both_classes(tmp_path):
    name = "EPIC_train_action_labels.csv"
    text = (LISTS / name).read_text()
    (tmp_path / name).write_text(text.replace("noun_class", "class", 1))
    with pytest.raises(DataError, match=f"{name}: no column noun_class: the split has labels"):
        epic55.read(tmp_path, "all")
    (tmp_path / name).write_text(text.splitlines()[0])
    with pytest.raises(DataError, match=f"{name}: no row of the split"):
        epic55.read(tmp_path, "train")
