"""Frames and videos of EPIC-KITCHENS-100, on lines of the official lists."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from slowfast_cli.corpora import epic
from slowfast_cli.types import DataError

LISTS = Path(__file__).parents[1] / "assets" / "annotations"


@pytest.fixture
def root(tmp_path):
    for name in ("EPIC_100_validation.csv", "EPIC_100_test_timestamps.csv"):
        shutil.copyfile(LISTS / name, tmp_path / name)
    return tmp_path


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def recordings(corpus):
    return {recording.id: recording for recording in corpus.recordings}


@pytest.mark.parametrize("tree", ["", "EPIC-KITCHENS"])
def test_the_rate_of_frames_follows_from_the_id(root, tree):
    for participant, video in (("P01", "P01_11"), ("P01", "P01_101")):
        touch(root / tree / participant / "rgb_frames" / video / "frame_0000000001.jpg")
    for split, video, fps in (("validation", "P01_11", 60.0), ("test", "P01_101", 50.0)):
        corpus = epic.read(root, split)
        assert corpus.has_video
        assert recordings(corpus)[video].fps == fps
        assert recordings(corpus)[video].path == root / tree / "P01" / "rgb_frames" / video


def test_frames_before_videos_and_sound_apart(root):
    frames = root / "P01" / "rgb_frames" / "P01_11"
    touch(
        frames / "frame_0000000001.jpg", root / "P01" / "videos" / "P01_11.MP4", root / "P18" / "videos" / "P18_02.MP4"
    )
    found = recordings(epic.read(root, "validation"))
    assert (found["P01_11"].path, found["P01_11"].sound) == (frames, root / "P01" / "videos" / "P01_11.MP4")
    assert (found["P18_02"].path.suffix, found["P18_02"].sound, found["P18_02"].fps) == (".MP4", None, None)
    touch(root / "audio" / "P18_02.wav")
    with h5py.File(root / "EPIC_audio.hdf5", "w") as file:
        file["P01_11"] = file["P29_05"] = np.zeros(9, np.int16)
    found = recordings(epic.read(root, "validation"))
    packed = root / "EPIC_audio.hdf5"
    assert (found["P01_11"].path, found["P01_11"].sound, found["P01_11"].dataset) == (frames, packed, "P01_11")
    assert (found["P18_02"].sound, found["P18_02"].dataset) == (root / "audio" / "P18_02.wav", None)
    assert (found["P29_05"].path, found["P29_05"].dataset) == (packed, "P29_05")


def test_sound_alone_is_no_video(root):
    touch(root / "audio" / "P01_11.wav")
    assert not epic.read(root, "validation").has_video


def test_a_data_set_with_mp4_files_is_of_video(root):
    touch(root / "P01" / "videos" / "P01_11.MP4", root / "audio" / "P18_02.wav")
    assert epic.read(root, "validation").has_video


@pytest.mark.parametrize("column", ["verb_class", "noun_class"])
def test_a_labeled_split_needs_both_classes(root, column):
    path = root / "EPIC_100_validation.csv"
    path.write_text(path.read_text().replace(column, "class", 1))
    with pytest.raises(DataError, match=rf"EPIC_100_validation.csv: no column {column}: the split has labels"):
        epic.read(root, "validation")
    (root / "EPIC_100_test_timestamps.csv").write_text("narration_id\n")
    with pytest.raises(DataError, match="no row of the split"):
        epic.read(root, "test")


def test_packed_frames_are_named(root):
    touch(root / "P01" / "rgb_frames" / "P01_11.tar", root / "P18" / "videos" / "P18_02.MP4")
    corpus = epic.read(root, "validation")
    reasons = {failure.path.stem: failure.reason for failure in corpus.missing}
    assert reasons["P01_11"] == "its frames are still packed: unpack the tar file into a folder of its name"
    assert reasons["P29_05"] == "not on disk"
    assert len(corpus.segments) + len(corpus.missing) == corpus.listed == 51


def test_train_and_validation_for_a_submission(root):
    lines = (root / "EPIC_100_validation.csv").read_text().splitlines()
    (root / "EPIC_100_train.csv").write_text(
        "\n".join([lines[0], *(line.replace("P01_11", "P01_01") for line in lines[1:5])])
    )
    corpus = epic.read(root, "trainval")
    assert (corpus.listed, corpus.subsets) == (4 + 51, {})
    (root / "EPIC_100_train.csv").unlink()
    with pytest.raises(DataError, match=r"contains no EPIC_100_train\.csv"):
        epic.read(root, "trainval")
