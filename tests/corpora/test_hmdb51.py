"""HMDB51 reader, on official lists of three classes and synthetic lists of the others."""

import shutil
from pathlib import Path

import pytest

from slowfast_cli.corpora import hmdb51, labels
from slowfast_cli.types import DataError

LISTS = Path(__file__).parents[1] / "assets" / "lists" / "hmdb51"
OFFICIAL = ("cartwheel", "kick", "kick_ball")


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def listed(name, number):
    text = (LISTS / f"{name}_test_split{number}.txt").read_text()
    return [line.split() for line in text.splitlines()]


@pytest.fixture(params=["testTrainMulti_7030_splits", "annotations"])
def root(request, tmp_path):
    folder = tmp_path / request.param
    shutil.copytree(LISTS, folder)
    for name in labels.names("hmdb51"):
        for number in "123":
            path = folder / f"{name}_test_split{number}.txt"
            if not path.is_file():
                path.write_text(f"made_up_{name}_1.avi 1 \nmade_up_{name}_2.avi 2 \nmade_up_{name}_3.avi 0 \n")
            for line in path.read_text().splitlines():
                touch(tmp_path / "hmdb51_org" / name / line.split()[0])
    return tmp_path


def test_class_list():
    names = labels.names("hmdb51")
    assert len(names) == 51
    assert list(names) == sorted(names)


def test_train_and_test(root):
    for number in "12":
        for part, code in (("train", "1"), ("test", "2")):
            corpus = hmdb51.read(root, f"{part}{number}")
            assert corpus.missing == ()
            for name in OFFICIAL:
                index = corpus.classes["label"].index(name)
                own = [segment for segment in corpus.segments if segment.targets["label"] == index]
                assert [segment.recording.path.name for segment in own] == [
                    file for file, listed_code in listed(name, number) if listed_code == code
                ]
                assert {segment.recording.path.parent.name for segment in own} == {name}
    assert len({segment.targets["label"] for segment in hmdb51.read(root, "train3").segments}) == 51


def test_classes_whose_name_begins_with_another(root):
    corpus = hmdb51.read(root, "all")
    names = corpus.classes["label"]
    for segment in corpus.segments:
        assert segment.id.partition("/")[0] == names[segment.targets["label"]]
    assert {"kick", "kick_ball", "climb", "climb_stairs", "sword", "sword_exercise"} <= {
        names[segment.targets["label"]] for segment in corpus.segments
    }


def test_all_contains_unused_clips(root):
    everything = {segment.id for segment in hmdb51.read(root, "all").segments}
    used = {segment.id for part in ("train1", "test1") for segment in hmdb51.read(root, part).segments}
    unused = {f"{name}/{file[:-4]}" for name in OFFICIAL for file, code in listed(name, "1") if code == "0"}
    assert unused
    assert everything - used >= unused
    assert used < everything


@pytest.mark.parametrize("name", ["(Rad)Schlag_die_Bank!_cartwheel.avi", "a[1]#&;+~@_{x}.avi", "-x.b.c.avi"])
def test_names_with_shell_metacharacters(root, name):
    path = next(root.glob("*/wave_test_split3.txt"))
    path.write_text(f"{name} 2 \n")
    clip = root / "hmdb51_org" / "wave" / name
    touch(clip)
    own = [segment for segment in hmdb51.read(root, "test3").segments if segment.id.startswith("wave/")]
    assert [(segment.id, segment.recording.path) for segment in own] == [(f"wave/{name[:-4]}", clip)]
    clip.unlink()
    assert [failure.path for failure in hmdb51.read(root, "test3").missing] == [clip]


def test_official_names_contain_shell_metacharacters():
    assert any(set(file) & set("()[]!#&+;~@") for name in OFFICIAL for file, _ in listed(name, "1"))


def test_one_missing_list(root):
    next(root.glob("*/wave_test_split2.txt")).unlink()
    with pytest.raises(DataError, match=r"wave_test_split2\.txt: not found, and 0 more"):
        hmdb51.read(root, "train2")
    hmdb51.read(root, "train1")


@pytest.mark.parametrize("line", ["x.avi 3", "x.avi", "noending 1"])
def test_errors_name_the_row(root, line):
    next(root.glob("*/wave_test_split1.txt")).write_text(f"y.avi 1 \n{line}\n")
    with pytest.raises(DataError, match=r"wave_test_split1\.txt: row 2"):
        hmdb51.read(root, "train1")


def test_missing_data_set(tmp_path):
    with pytest.raises(DataError, match="contains none of the expected files"):
        hmdb51.read(tmp_path, "train1")
    with pytest.raises(DataError, match="no split 'train'"):
        hmdb51.read(tmp_path, "train")
