"""Speech Commands readers, on lines of the official lists of v0.02; recordings of train are synthetic."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from slowfast_cli.corpora import labels, speech_commands
from slowfast_cli.types import DataError

LISTS = Path(__file__).parents[1] / "assets" / "lists" / "speech_commands"
TWELVE = ("down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", "_silence_", "_unknown_")


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def listed(part):
    return (LISTS / f"{part}_list.txt").read_text().split()


def unpack(top, *, older=False):
    """Create an unpacked archive, of v0.01 if ``older``."""
    rows = [row for row in labels.table("speech_commands_v2_35") if not older or row["in_v1"] == "1"]
    for row in rows:
        touch(*(top / row["name"] / f"{speaker}_nohash_0.wav" for speaker in ("0a0b0c0d", "00000001")))
        touch(top / row["name"] / "._0a0b0c0d_nohash_0.wav", top / row["name"] / ".DS_Store")
    words = {row["name"] for row in rows}
    for part in ("validation", "testing"):
        lines = [line for line in listed(part) if line.split("/")[0] in words]
        (top / f"{part}_list.txt").write_text("\n".join(lines) + "\n")
        touch(*(top / line for line in lines))
    for name, seconds in (("running_tap", 2.0), ("white_noise", 3.2), ("doing_the_dishes", 1.0), ("pink_noise", 0.4)):
        (top / "_background_noise_").mkdir(exist_ok=True)
        soundfile.write(top / "_background_noise_" / f"{name}.wav", np.zeros(round(16000 * seconds)), 16000)
    touch(top / "_background_noise_" / "README.md", top / "_background_noise_" / "._white_noise.wav")
    return top


def names(corpus):
    return {segment.id: corpus.classes["label"][segment.targets["label"]] for segment in corpus.segments}


def test_class_lists():
    words = labels.names("speech_commands_v2_35")
    assert len(words) == 35
    assert list(words) == sorted(words)
    assert sum(row["in_v1"] == "1" for row in labels.table("speech_commands_v2_35")) == 30
    assert labels.names("speech_commands_12") == TWELVE


def test_the_official_lists_follow_the_hash_rule():
    """The rule in the README of the data set: by the SHA-1 of the speaker."""
    for part, low, high in (("validation", 0, 10), ("testing", 10, 20)):
        for line in listed(part):
            speaker = line.split("/")[1].split("_nohash_")[0]
            percent = int(hashlib.sha1(speaker.encode()).hexdigest(), 16) % (1 << 27) * (100 / ((1 << 27) - 1))
            assert low <= percent < high


@pytest.mark.parametrize("place", ["", "speech_commands_v0.02"])
def test_35_words(tmp_path, place):
    top = unpack(tmp_path / place)
    train, val, test = (speech_commands.read_v2(tmp_path, split) for split in ("train", "val", "test"))
    assert [f"{segment.id}.wav" for segment in val.segments] == listed("validation")
    assert [f"{segment.id}.wav" for segment in test.segments] == listed("testing")
    assert len(train.segments) == 2 * 35
    assert not names(train).keys() & {*names(val), *names(test)}
    for corpus in (train, val, test):
        assert len(corpus.classes["label"]) == 35
        for id, name in names(corpus).items():
            assert id.split("/")[0] == name
    assert {segment.group for segment in train.segments} == {"0a0b0c0d", "00000001"}
    assert [segment.id for segment in train.segments] == sorted(names(train))
    (top / listed("testing")[0]).unlink()
    missing = speech_commands.read_v2(tmp_path, "test").missing
    assert [(failure.path, failure.reason) for failure in missing] == [(top / listed("testing")[0], "not on disk")]


def test_lists_with_bom_and_carriage_returns(tmp_path):
    top = unpack(tmp_path)
    before = speech_commands.read_v2(tmp_path, "val")
    text = "\ufeff" + "\r\n".join(listed("validation")) + "\r\n\r\n"
    (top / "validation_list.txt").write_text(text, newline="", encoding="utf-8")
    assert speech_commands.read_v2(tmp_path, "val") == before


def test_v1_is_not_v2(tmp_path):
    unpack(tmp_path, older=True)
    with pytest.raises(
        DataError, match=r"5 of the 35 words of v0\.02 have no folder, such as 'backward' \(v0\.01 has 30"
    ):
        speech_commands.read_v2(tmp_path, "train")


@pytest.mark.parametrize("older", [False, True])
def test_12_labels(tmp_path, older):
    unpack(tmp_path, older=older)
    version = "v0.01" if older else "v0.02"
    train, val, test = (speech_commands.read_v1(tmp_path, split) for split in ("train", "val", "test"))
    assert train.note == val.note == f"words of Speech Commands {version}"
    assert test.note == f"{train.note}, tested on testing_list.txt, without silence: " + (
        f"speech_commands_test_set_{version} not found"
    )
    for corpus in (train, val, test):
        assert corpus.classes["label"] == TWELVE
        for id, name in names(corpus).items():
            word = id.split("/")[0]
            expected = "_silence_" if word == "_background_noise_" else word if word in TWELVE else "_unknown_"
            assert name == expected
    assert len(train.segments) == 2 * (30 if older else 35) + 5
    assert "_silence_" not in names(test).values()


def test_noise_segments(tmp_path):
    """TensorFlow Datasets uses range(0, samples - 16000, 8000) for every noise."""
    unpack(tmp_path)
    for split, noises in (
        ("train", {"white_noise": 51200, "doing_the_dishes": 16000}),
        ("val", {"running_tap": 32000}),
    ):
        corpus = speech_commands.read_v1(tmp_path, split)
        segments = [segment for segment in corpus.segments if segment.id.startswith("_background_noise_")]
        expected = [(name, first) for name, size in noises.items() for first in range(0, size - 16000, 8000)]
        assert [(segment.group, segment.start * 16000) for segment in segments] == expected
        assert all(segment.stop == segment.start + 1 for segment in segments)
        assert [segment.id for segment in segments] == [
            f"_background_noise_/{name}_{first}" for name, first in expected
        ]
        assert {segment.recording.id for segment in segments} == {f"_background_noise_/{name}" for name, _ in expected}


@pytest.mark.parametrize("name", ["speech_commands_test_set_v0.02", "test"])
def test_the_archive_of_the_test_set(tmp_path, name):
    unpack(tmp_path / "speech_commands_v0.02")
    for label in TWELVE:
        touch(*(tmp_path / name / label / f"{label}{number}_nohash_0.wav" for number in range(3)))
        touch(tmp_path / name / label / f"._{label}0_nohash_0.wav")
    corpus = speech_commands.read_v1(tmp_path, "test")
    assert len(corpus.segments) == 36
    assert all(id.split("/")[1] == label for id, label in names(corpus).items())
    assert corpus.note == f"words of Speech Commands v0.02, test set of {name}"
    recordings = {
        recording.id: recording.path
        for split in ("train", "val", "test")
        for recording in speech_commands.read_v1(tmp_path, split).recordings
    }
    assert len(set(recordings.values())) == len(recordings)


@pytest.mark.parametrize("line", ["right", "right/a.mp3", "cello/a_nohash_0.wav", "/right/a.wav"])
def test_errors_name_the_row(tmp_path, line):
    unpack(tmp_path)
    (tmp_path / "testing_list.txt").write_text(f"right/a_nohash_0.wav\n{line}\n")
    with pytest.raises(DataError, match=r"testing_list\.txt: row 2"):
        speech_commands.read_v2(tmp_path, "train")


def test_a_noise_that_cannot_be_read(tmp_path):
    unpack(tmp_path)
    (tmp_path / "_background_noise_" / "white_noise.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"white_noise\.wav"):
        speech_commands.read_v1(tmp_path, "train")


@pytest.mark.parametrize("read", [speech_commands.read_v1, speech_commands.read_v2])
def test_missing_data_set(tmp_path, read):
    with pytest.raises(DataError, match="contains none of the expected files"):
        read(tmp_path, "train")
    with pytest.raises(DataError, match="no split 'dev'"):
        read(tmp_path, "dev")
    shutil.copyfile(LISTS / "validation_list.txt", tmp_path / "validation_list.txt")
    with pytest.raises(DataError, match="contains none of the expected files"):
        read(tmp_path, "train")
