"""Readers of VGG-Sound, EPIC-KITCHENS-100, ESC-50 and ESC-10, on lines of the official lists."""

import csv
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from slowfast_cli.corpora import epic, esc, labels, media_files, vggsound
from slowfast_cli.types import DataError

LISTS = Path(__file__).parents[1] / "assets" / "annotations"


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_published_class_counts():
    assert len(labels.names("vggsound")) == 309
    assert list(labels.names("vggsound")) == sorted(labels.names("vggsound"))
    assert (len(labels.names("epic100_verbs")), len(labels.names("epic100_nouns"))) == (97, 300)
    assert (len(labels.tail("epic100_tail_verbs")), len(labels.tail("epic100_tail_nouns"))) == (86, 228)
    assert labels.tail("epic100_tail_verbs") == set(range(97)) - {*range(10), 11}
    assert labels.unseen("validation") == {"P18", "P32"}
    assert labels.unseen("test") == {"P33", "P34", "P36"}
    assert len(labels.names("esc50")) == 50
    for name in ("vggsound", "epic100_verbs", "epic100_nouns", "esc50"):
        assert [int(row["index"]) for row in labels.table(name)] == list(range(len(labels.names(name))))


def test_vggsound_counts_missing_clips(tmp_path):
    shutil.copyfile(LISTS / "vggsound.csv", tmp_path / "vggsound.csv")
    with (LISTS / "vggsound.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    train = [row for row in rows if row[3] == "train"]
    places = ["", "audio", "video", "clips", "train", "audio/train"]
    suffixes = [".wav", ".flac", ".MP4", ".mp3", ".mkv", ".m4a"]
    for index, row in enumerate(train[:-3]):
        touch(tmp_path / places[index % 6] / f"{row[0]}_{int(row[1]):06d}{suffixes[index % 6]}")
    corpus = vggsound.read(tmp_path, "train")
    assert corpus.listed == len(train)
    assert len(corpus.segments) == len(train) - 3
    assert [failure.id for failure in corpus.missing] == [f"{row[0]}_{int(row[1]):06d}" for row in train[-3:]]
    for segment, row in zip(corpus.segments, train, strict=False):
        assert segment.id == f"{row[0]}_{int(row[1]):06d}" == segment.recording.path.stem
        assert corpus.classes["label"][segment.targets["label"]] == row[2]
        assert (segment.start, segment.stop) == (0.0, None)
    assert any(segment.id.startswith("-") for segment in (*corpus.segments, *vggsound.read(tmp_path, "test").missing))
    assert any("," in row[2] for row in train)


def test_vggsound_older_lists(tmp_path):
    (tmp_path / "data").mkdir()
    shutil.copyfile(LISTS / "test.csv", tmp_path / "data" / "test.csv")
    touch(tmp_path / "glLQrEijrKg_000300.mp4", tmp_path / "audio" / "glLQrEijrKg_000300.wav")
    corpus = vggsound.read(tmp_path, "test")
    assert corpus.listed == 60
    assert [segment.id for segment in corpus.segments] == ["glLQrEijrKg_000300"]
    assert corpus.classes["label"][corpus.segments[0].targets["label"]] == "playing hammond organ"
    with pytest.raises(DataError, match=r"train\.csv"):
        vggsound.read(tmp_path, "train")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a,1,no such class,train", "row 2: 'no such class'"),
        ("a,1,airplane,dev", "row 2: split 'dev'"),
        ("a,x,airplane,train", "row 2: start 'x'"),
        ("a,1,airplane", "row 2: 3 columns, expected 4"),
        ("a,1,airplane,train,more", "row 2: 5 columns, expected 4"),
    ],
)
def test_vggsound_errors_name_the_row(tmp_path, line, reason):
    (tmp_path / "vggsound.csv").write_text(f"b,1,airplane,train\r\n{line}\r\n", newline="")
    with pytest.raises(DataError, match=reason):
        vggsound.read(tmp_path, "train")


def test_vggsound_duplicates_count_once(tmp_path):
    (tmp_path / "vggsound.csv").write_text("a,1,airplane,train\na,1,airplane,train\n")
    touch(tmp_path / "a_000001.wav")
    corpus = vggsound.read(tmp_path, "train")
    assert (len(corpus.segments), len(corpus.missing)) == (1, 1)


def test_vggsound_unpadded_starts_and_preference_for_audio(tmp_path):
    starts = {"aaaaaaaaaaa": 30, "aaaa_aaa_aa": 5, "_1234567890": 120, "no_files_of": 1, "-aaaaa_0000": 0}
    (tmp_path / "vggsound.csv").write_text("".join(f"{id},{start},airplane,train\n" for id, start in starts.items()))
    touch(tmp_path / "aaaaaaaaaaa_30.mp4", tmp_path / "audio" / "aaaaaaaaaaa_000030.wav")  # an earlier folder
    touch(tmp_path / "video" / "aaaa_aaa_aa_5.mp4", tmp_path / "video" / "aaaa_aaa_aa_000005.MP3")
    (tmp_path / "audio" / "no_files_of_000001.wav").symlink_to(tmp_path / "nowhere")
    (tmp_path / "video" / "no_files_of_000001.mp4").mkdir()
    touch(tmp_path / "_1234567890_000120.flac", tmp_path / "-aaaaa_0000_0.wav", tmp_path / "no_files_of_000001.txt")
    names = {segment.id: segment.recording.path.name for segment in vggsound.read(tmp_path, "train").segments}
    assert names == {
        "aaaaaaaaaaa_000030": "aaaaaaaaaaa_30.mp4",
        "aaaa_aaa_aa_000005": "aaaa_aaa_aa_000005.MP3",
        "_1234567890_000120": "_1234567890_000120.flac",
        "-aaaaa_0000_000000": "-aaaaa_0000_0.wav",
    }


def test_vggsound_is_cached_until_a_file_changes(tmp_path, monkeypatch):
    (tmp_path / "vggsound.csv").write_text("a,1,airplane,train\nb,1,airplane,test\na,1,airplane,test\n")
    touch(tmp_path / "audio" / "a_000001.wav")
    for path in (tmp_path / "vggsound.csv", tmp_path / "audio", tmp_path):
        os.utime(path, (1e9, 1e9))
    reads = []
    monkeypatch.setattr(vggsound, "match_files", lambda *words: reads.append(1) or media_files.match_files(*words))
    train, test = (vggsound.read(tmp_path, split) for split in ("train", "test"))
    assert len(reads) == 1
    assert [segment.id for segment in (*train.segments, *test.segments)] == ["a_000001", "a_000001"]
    assert [failure.id for failure in test.missing] == ["b_000001"]
    touch(tmp_path / "audio" / "b_000001.wav")
    assert [segment.id for segment in vggsound.read(tmp_path, "test").segments] == ["b_000001", "a_000001"]
    (tmp_path / "audio" / "a_000001.wav").unlink()  # within one tick of the file system's clock
    assert [segment.id for segment in vggsound.read(tmp_path, "test").segments] == ["b_000001"]


def epic_root(root, place=""):
    (root / place).mkdir(parents=True, exist_ok=True)
    for name in ("EPIC_100_validation.csv", "EPIC_100_test_timestamps.csv"):
        shutil.copyfile(LISTS / name, root / place / name)


@pytest.mark.parametrize("place", ["", "annotations", "epic-kitchens-100-annotations"])
def test_epic_validation(tmp_path, place):
    epic_root(tmp_path, place)
    touch(tmp_path / "P01" / "videos" / "P01_11.MP4", tmp_path / "audio" / "P18_02.wav", tmp_path / "P29_05.MP4")
    corpus = epic.read(tmp_path, "validation")
    assert corpus.listed == 51
    assert len(corpus.missing) == 5
    assert {failure.path for failure in corpus.missing} == {tmp_path / "P32" / "videos" / "P32_01.MP4"}
    first = corpus.segments[0]
    assert (first.id, first.start, first.stop, first.group) == ("P01_11_0", 0.0, 1.89, "P01")
    assert corpus.classes["verb"][first.targets["verb"]] == "take"
    assert corpus.classes["noun"][first.targets["noun"]] == "plate"
    late = next(segment for segment in corpus.segments if segment.id == "P29_05_563")
    assert late.stop == 1821.75
    assert corpus.subsets["unseen"] == {segment.id for segment in corpus.segments if segment.group == "P18"}
    assert len(corpus.subsets["unseen"]) == 5
    assert len(corpus.recordings) == 3
    assert (len(corpus.tail["verb"]), len(corpus.tail["noun"])) == (86, 228)


def test_epic_test_has_no_labels(tmp_path):
    epic_root(tmp_path)
    with h5py.File(tmp_path / "EPIC_audio.hdf5", "w") as file:
        file["P01_101"] = np.zeros(9, np.int16)
    corpus = epic.read(tmp_path, "test")
    assert corpus.listed == 40
    first = corpus.segments[0]
    assert first.targets == {}
    assert (first.start, first.stop) == (2.86, 3.87)
    assert first.recording.dataset == "P01_101"
    assert first.recording.rate == 24000
    assert len(corpus.classes["noun"]) == 300


def test_epic_prefers_hdf5_then_audio_files(tmp_path):
    epic_root(tmp_path)
    touch(tmp_path / "P01" / "videos" / "P01_11.MP4", tmp_path / "audio" / "P01_11.wav")
    recording = epic.read(tmp_path, "validation").recordings[0]
    assert (recording.path.suffix, recording.sound.suffix) == (".MP4", ".wav")
    with h5py.File(tmp_path / "audio" / "EPIC_audio.hdf5", "w") as file:
        file["P01_11"] = np.zeros(9, np.int16)
    assert epic.read(tmp_path, "validation").recordings[0].dataset == "P01_11"
    (tmp_path / "audio" / "EPIC_audio.hdf5").write_bytes(b"broken")
    with pytest.raises(DataError, match="not a readable HDF5"):
        epic.read(tmp_path, "validation")


EPIC_HEADER = "narration_id,participant_id,video_id,start_timestamp,stop_timestamp,verb_class,noun_class\n"


def test_epic_timestamps_of_any_precision_and_odd_rows(tmp_path):
    touch(tmp_path / "P01_01.wav")
    rows = [
        "a,P01,P01_01,00:00:01.089,00:00:02.5,0,0",
        "b,P01,P01_01,01:00:01.08,01:00:02,0,0",
        "c,P01,P01_01,00:00:02.00,00:00:02.00,0,0",
        "d,P01,P01_01,00:00:03.00,00:00:02.00,0,0",
    ]
    (tmp_path / "EPIC_100_train.csv").write_text(EPIC_HEADER + "\n".join(rows) + "\n")
    corpus = epic.read(tmp_path, "train")
    times = [time for segment in corpus.segments for time in (segment.start, segment.stop)]
    assert times == pytest.approx([1.089, 2.5, 3601.08, 3602.0])
    assert [failure.id for failure in corpus.missing] == ["c", "d"]
    assert "starts at 3.0 s and stops at 2.0 s" in corpus.missing[1].reason
    assert corpus.subsets == {}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a,P01,P01_01,xx,00:00:02.5,0,0", "row 2: 'xx' is not a time"),
        ("a,P01,P01_01,-1,00:00:02.5,0,0", "row 2: '-1' is not a time"),
        ("a,P01,P01_01,0,1,97,0", "row 2: verb_class 97"),
        ("a,P01,P01_01,0,1,x,0", "row 2: missing or invalid column"),
        ("a,P01,P01_01,0,1,0,0\na,P01,P01_01,0,1,0,0", "a is listed twice"),
    ],
)
def test_epic_errors_name_the_row(tmp_path, row, reason):
    touch(tmp_path / "P01_01.wav")
    (tmp_path / "EPIC_100_train.csv").write_text(EPIC_HEADER + row + "\n")
    with pytest.raises(DataError, match=reason):
        epic.read(tmp_path, "train")


def esc_rows():
    with (LISTS / "esc50.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("place", ["", "ESC-50-master"])
def test_esc50_repository(tmp_path, place):
    root = tmp_path / place
    (root / "meta").mkdir(parents=True)
    shutil.copyfile(LISTS / "esc50.csv", root / "meta" / "esc50.csv")
    rows = esc_rows()
    touch(*(root / "audio" / row["filename"] for row in rows[1:]))
    corpus = esc.read_esc50(tmp_path, "all")
    assert corpus.listed == 60
    assert [failure.path.name for failure in corpus.missing] == [rows[0]["filename"]]
    for segment, row in zip(corpus.segments, rows[1:], strict=True):
        assert segment.targets["label"] == int(row["target"])
        assert corpus.classes["label"][int(row["target"])] == row["category"]
        assert segment.group == row["src_file"]
    for fold in "12345":
        train, test = esc.read_esc50(tmp_path, f"train{fold}"), esc.read_esc50(tmp_path, f"test{fold}")
        assert train.listed + test.listed == 60
        assert all(segment.id.startswith(fold) for segment in test.segments)
        assert not {segment.id for segment in train.segments} & {segment.id for segment in test.segments}
    ten = esc.read_esc10(tmp_path, "all")
    assert ten.listed == sum(row["esc10"] == "True" for row in rows)
    for segment in ten.segments:
        row = next(row for row in rows if Path(row["filename"]).stem == segment.id)
        assert ten.classes["label"][segment.targets["label"]] == row["category"]


ESC10 = (
    "dog", "rooster", "rain", "sea_waves", "crackling_fire", "crying_baby", "sneezing", "clock_tick", "helicopter",
    "chainsaw",
)  # fmt: skip


def test_esc10_older_layout(tmp_path):
    folders = {
        "001 - Dog bark": "dog", "002 - Rain": "rain", "003 - Sea waves": "sea_waves", "004 - Baby cry": "crying_baby",
        "005 - Clock tick": "clock_tick", "006 - Person sneeze": "sneezing", "007 - Helicopter": "helicopter",
        "008 - Chainsaw": "chainsaw", "009 - Rooster": "rooster", "010 - Fire crackling": "crackling_fire",
    }  # fmt: skip
    for number, folder in enumerate(folders):
        touch(tmp_path / folder / f"1-{number}00-A.ogg", tmp_path / folder / f"5-{number}01-B.ogg")
        touch(tmp_path / folder / "cover.png", tmp_path / folder / "notes.ogg")
    touch(tmp_path / "README.md")
    corpus = esc.read_esc10(tmp_path, "all")
    assert corpus.classes["label"] == ESC10
    assert len(corpus.segments) == 20
    for segment in corpus.segments:
        assert ESC10[segment.targets["label"]] == folders[segment.recording.path.parent.name]
    assert {segment.id[0] for segment in esc.read_esc10(tmp_path, "test5").segments} == {"5"}
    assert {segment.id[0] for segment in esc.read_esc10(tmp_path, "train5").segments} == {"1"}
    fifty = esc.read_esc50(tmp_path, "all")
    assert {fifty.classes["label"][segment.targets["label"]] for segment in fifty.segments} == set(ESC10)


def test_esc50_older_layout(tmp_path):
    touch(tmp_path / "101 - Dog" / "1-1-A.ogg", tmp_path / "210 - Thunderstorm" / "1-2-A.ogg")
    touch(tmp_path / "510 - Hand saw" / "1-3-A.ogg")
    corpus = esc.read_esc50(tmp_path, "all")
    names = [corpus.classes["label"][segment.targets["label"]] for segment in corpus.segments]
    assert names == ["dog", "thunderstorm", "hand_saw"]


def test_unknown_class_in_esc50(tmp_path):
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "esc50.csv").write_text(
        "filename,fold,target,category,esc10,src_file,take\n1-1-A-0.wav,1,0,cicada,False,1,A\n"
    )
    for read in (esc.read_esc50, esc.read_esc10):
        with pytest.raises(DataError, match="'cicada' is not a class"):
            read(tmp_path, "all")


@pytest.mark.parametrize(
    ("read", "info"),
    [
        (vggsound.read, vggsound.INFO),
        (epic.read, epic.INFO),
        (esc.read_esc50, esc.INFO50),
        (esc.read_esc10, esc.INFO10),
    ],
)
def test_missing_data_set(tmp_path, read, info):
    split = info.splits[0]
    for root in (tmp_path, tmp_path / "gone"):
        with pytest.raises(DataError) as error:
            read(root, split)
        text = str(error.value)
        assert str(root) in text
        assert info.homepage in text
        assert info.license in text
        assert str(root / info.files[0]) in text
    with pytest.raises(DataError, match="no split 'nope': choose one of"):
        read(tmp_path, "nope")
