"""UCF101 reader, on lines of the official lists."""

import shutil
from pathlib import Path

import pytest

from slowfast_cli.corpora import labels, ucf101
from slowfast_cli.types import DataError

LISTS = Path(__file__).parents[1] / "assets" / "lists" / "ucf101"


def lines(name):
    return (LISTS / f"{name}.txt").read_bytes().decode().split("\r\n")[:-1]


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture(params=["ucfTrainTestlist", "annotations", ""])
def root(request, tmp_path):
    shutil.copytree(LISTS, tmp_path / request.param, dirs_exist_ok=True)
    for path in LISTS.glob("*list0*.txt"):
        for line in lines(path.stem):
            touch(tmp_path / "UCF-101" / line.split()[0])
    return tmp_path


def test_class_order_is_that_of_the_official_list():
    official = [line.split()[1] for line in lines("classInd")]
    assert list(labels.names("ucf101")) == official
    assert len(official) == 101
    assert official != sorted(official)
    assert official[34:36] == ["Hammering", "HammerThrow"]
    assert [int(row["class_id"]) for row in labels.table("ucf101")] == list(range(1, 102))


def test_train_and_test(root):
    for number in "123":
        train, test = ucf101.read(root, f"train{number}"), ucf101.read(root, f"test{number}")
        assert [segment.targets["label"] + 1 for segment in train.segments] == [
            int(line.split()[1]) for line in lines(f"trainlist0{number}")
        ]
        assert [segment.id for segment in test.segments] == [Path(line).stem for line in lines(f"testlist0{number}")]
        for segment in test.segments:
            assert segment.id.lower().startswith(f"v_{test.classes['label'][segment.targets['label']].lower()}_g")
        assert train.missing == test.missing == ()
        groups = [{segment.group for segment in corpus.segments} for corpus in (train, test)]
        assert not groups[0] & groups[1]  # clips of one video are in one part
    assert train.segments[0].group == "v_ApplyEyeMakeup_g01"
    assert train.segments[0].recording.id == "v_ApplyEyeMakeup_g01_c01"


def test_all(root):
    assert ucf101.read(root, "all").listed == len(lines("trainlist01")) + len(lines("testlist01"))


@pytest.mark.parametrize("folder", ["HandstandPushups", "HandStandPushups", "37"])
@pytest.mark.parametrize("file", ["v_HandStandPushups_g07_c02.avi", "v_HandstandPushups_g07_c02.mp4"])
def test_the_class_with_two_spellings(tmp_path, folder, file):
    (tmp_path / "testlist01.txt").write_text("HandstandPushups/v_HandStandPushups_g07_c02.avi\r\n", newline="")
    touch(tmp_path / "videos" / folder / file)
    (segment,) = ucf101.read(tmp_path, "test1").segments
    assert segment.targets == {"label": 36}
    assert segment.recording.path == tmp_path / "videos" / folder / file


def test_missing_clips_are_counted(root):
    name = lines("testlist02")[3]
    (root / "UCF-101" / name).unlink()
    corpus = ucf101.read(root, "test2")
    assert [(failure.id, failure.path, failure.reason) for failure in corpus.missing] == [
        (Path(name).stem, root / "UCF-101" / name, "not on disk")
    ]
    assert corpus.listed == 60


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("NoSuchClass/v_x_g01_c01.avi 1", "row 2: 'NoSuchClass/v_x_g01_c01.avi 1' is not a file"),
        ("YoYo/v_YoYo_g01_c01.avi 100", "row 2: YoYo has number 100, expected 101"),
        ("YoYo/v_YoYo_g01_c01.avi 101 x", "row 2: .* is not a file"),
        ("Archery/v_Archery_g01_c01.avi 3", "v_Archery_g01_c01 is listed twice"),
    ],
)
def test_errors_name_the_row(tmp_path, line, words):
    (tmp_path / "trainlist01.txt").write_text(f"Archery/v_Archery_g01_c01.avi 3\r\n{line}\r\n", newline="")
    with pytest.raises(DataError, match=words):
        ucf101.read(tmp_path, "train1")


def test_missing_data_set(tmp_path):
    with pytest.raises(DataError, match="contains none of the expected files"):
        ucf101.read(tmp_path, "train1")
    with pytest.raises(DataError, match="no split 'train4'"):
        ucf101.read(tmp_path, "train4")
