"""EPIC-SOUNDS reader, on rows of the official lists."""

import csv
import pickle
import shutil
import sys
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest

from slowfast_cli.corpora import epic_sounds, labels
from slowfast_cli.corpora.pickled_table import pickled_rows
from slowfast_cli.types import DataError

LISTS = Path(__file__).parents[1] / "assets" / "lists" / "epic_sounds"
VALIDATION, TEST = "EPIC_Sounds_validation", "EPIC_Sounds_recognition_test_timestamps"
HEADER = (LISTS / f"{VALIDATION}.csv").read_text().splitlines()[0]


def published(name=VALIDATION):
    with (LISTS / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def root(tmp_path):
    shutil.copytree(LISTS, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_classes():
    names = labels.names("epic_sounds44")
    assert len(names) == 44
    assert (names[0], names[13], names[43]) == ("metal-only collision", "background", "drink / eat")
    assert [int(row["index"]) for row in labels.table("epic_sounds44")] == list(range(44))


@pytest.mark.parametrize("place", ["", "annotations", "epic-sounds-annotations"])
@pytest.mark.parametrize("suffix", ["csv", "pkl"])
def test_validation(tmp_path, place, suffix):
    (tmp_path / place).mkdir(exist_ok=True)
    shutil.copyfile(LISTS / f"{VALIDATION}.{suffix}", tmp_path / place / f"{VALIDATION}.{suffix}")
    touch(*(tmp_path / "P01" / "videos" / f"P01_{number}.MP4" for number in (11, 12, 14)), tmp_path / "wav/P32_10.wav")
    corpus = epic_sounds.read(tmp_path, "validation")
    rows = published()
    assert corpus.listed == len(rows) == 30
    assert [failure.id for failure in corpus.missing] == [
        row["annotation_id"] for row in rows if row["video_id"] in ("P01_13", "P08_09", "P12_03", "P28_23")
    ]
    by_id = {row["annotation_id"]: row for row in rows}
    for segment in corpus.segments:
        row = by_id[segment.id]
        assert corpus.classes["label"][segment.targets["label"]] == row["class"]
        assert abs(round(segment.start * 24000) - int(row["start_sample"])) <= 1
        assert abs(round(segment.stop * 24000) - int(row["stop_sample"])) <= 1
        assert (segment.group, segment.recording.id) == (row["participant_id"], row["video_id"])
    first = corpus.segments[0]
    assert (first.id, first.start, first.stop, first.targets) == ("P01_11_0", 2.069, 2.993, {"label": 34})
    assert corpus.subsets["unseen"] == {"P32_10_4"}
    assert corpus.class_mean


def test_samples_of_the_lists_are_at_most_one_lower():
    lower = dict.fromkeys((VALIDATION, TEST, "sound_events_not_categorised"), 0)
    for name in lower:
        for row in published(name):
            for side in ("start", "stop"):
                hours, minutes, seconds = row[f"{side}_timestamp"].split(":")
                exact = (int(hours) * 3600 + int(minutes) * 60) * 24000 + round(float(seconds) * 1000) * 24
                assert exact - int(row[f"{side}_sample"]) in (0, 1)
                lower[name] += exact - int(row[f"{side}_sample"])
    assert lower == {VALIDATION: 6, TEST: 4, "sound_events_not_categorised": 9}


def test_test_keeps_rows_with_equal_times(root):
    with h5py.File(root / "EPIC_audio.hdf5", "w") as file:
        for video in ("P25_105", "P34_113"):
            file[video] = np.zeros(9, np.float32)
    corpus = epic_sounds.read(root, "test")
    assert corpus.listed == 30
    twins = [segment for segment in corpus.segments if segment.id in ("P25_105_228", "P25_105_229")]
    assert (twins[0].start, twins[0].stop) == (twins[1].start, twins[1].stop) == (1063.731, 1072.148)
    assert {segment.recording.rate for segment in corpus.segments} == {24000}
    assert all(segment.targets == {} for segment in corpus.segments)
    assert corpus.subsets["unseen"] == {segment.id for segment in corpus.segments if segment.group == "P34"}


def test_not_categorised_events_have_no_label(root):
    touch(root / "P01" / "P01_01.MP4")
    corpus = epic_sounds.read(root, "not-categorised")
    assert (len(corpus.segments), corpus.listed, corpus.subsets) == (15, 30, {})
    assert all(segment.targets == {} for segment in corpus.segments)


def test_train_and_validation_together(root):
    touch(root / "P01_11.wav", root / "P02_01.wav")
    with pytest.raises(DataError, match=r"EPIC_Sounds_\{train"):
        epic_sounds.read(root, "trainval")
    row = "P02_01_0,P02,P02_01,00:00:01.000,00:00:02.000,24000,48000,water,water,5"
    (root / "EPIC_Sounds_train.csv").write_text(f"{HEADER}\n{row}\n")
    corpus = epic_sounds.read(root, "trainval")
    assert (corpus.listed, corpus.segments[0].id, corpus.segments[1].id) == (31, "P02_01_0", "P01_11_0")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a,P01,P01_11,00:00:01.000,00:00:02.000,10,48000,x,water,5", "row 2: start_sample 10, expected 24000"),
        ("a,P01,P01_11,00:00:01.000,00:00:02.000,24000,20,x,water,5", "row 2: stop_sample 20, expected 48000"),
        ("a,P01,P01_11,00:00:01.000,00:00:02.000,1.0,48000,x,water,5", "row 2: start_sample 1.0"),
        ("a,P01,P01_11,00:00:01.000,xx,24000,48000,x,water,5", "row 2: 'xx' is not a time"),
        ("a,P01,P01_11,00:00:01.000,00:00:02.000,24000,48000,x,water,6", "class_id 6 is 'plastic-only collision', not"),
        ("a,P01,P01_11,00:00:01.000,00:00:02.000,24000,48000,x,water,44", "row 2: label_class 44, expected 0 to 43"),
        ("a,P01,P01_11,00:00:01.000,00:00:02.000,24000,48000,x,water,x", "row 2: missing or invalid column"),
    ],
)
def test_errors_name_the_row(tmp_path, row, reason):
    touch(tmp_path / "P01_11.wav")
    (tmp_path / f"{VALIDATION}.csv").write_text(f"{HEADER}\n{row}\n")
    with pytest.raises(DataError, match=reason):
        epic_sounds.read(tmp_path, "validation")


def test_missing_data_set(tmp_path):
    with pytest.raises(DataError, match="contains none of the expected files") as error:
        epic_sounds.read(tmp_path, "train")
    assert epic_sounds.INFO.homepage in str(error.value)
    with pytest.raises(DataError, match="no split 'nope'"):
        epic_sounds.read(tmp_path, "nope")


def test_a_pickle_gives_the_rows_of_the_csv_file():
    assert [row for _, row in pickled_rows(LISTS / f"{VALIDATION}.pkl")] == published()


class Pickled:
    """An object with the name of another class, and its state."""

    def __init__(self, *arguments):
        self.arguments = arguments

    def __getstate__(self):
        return self.arguments[0]

    def __setstate__(self, state):
        raise NotImplementedError


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_the_layout_before_pandas_1_3(tmp_path, monkeypatch, protocol):
    """Blocks in the state of their manager, rather than in its arguments."""
    for package in ("pandas", "pandas.core", "pandas.core.internals", "pandas.core.indexes"):
        monkeypatch.setitem(sys.modules, package, ModuleType(package))
    kinds = {}
    for module, name in (
        ("pandas.core.frame", "DataFrame"),
        ("pandas.core.internals.managers", "BlockManager"),
        ("pandas.core.indexes.base", "Index"),
    ):
        kinds[name] = type(name, (Pickled,), {"__module__": module, "__qualname__": name})
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
        setattr(sys.modules[module], name, kinds[name])
    index = sys.modules["pandas.core.indexes.base"]

    def new_index(kind, content):
        raise NotImplementedError

    new_index.__module__, new_index.__qualname__, index._new_Index = index.__name__, "_new_Index", new_index
    kinds["Index"].__reduce__ = lambda self: (new_index, (kinds["Index"], {"data": self.arguments[0], "name": None}))
    texts = {"values": np.array([["a", "b"], ["x", "y"]], object), "mgr_locs": slice(0, 4, 2)}
    numbers = {"values": np.array([[1, 2]]), "mgr_locs": np.array([1])}
    axes = [kinds["Index"](np.array(["id", "start", "class"], object)), None]
    manager = kinds["BlockManager"]((axes, [], [], {"0.14.1": {"axes": axes, "blocks": [numbers, texts]}}))
    frame = kinds["DataFrame"]({"_data": manager, "_typ": "dataframe"})
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(frame, protocol))
    assert list(pickled_rows(tmp_path / "a.pkl")) == [
        (2, {"id": "a", "start": "1", "class": "x"}),
        (3, {"id": "b", "start": "2", "class": "y"}),
    ]


class Dangerous:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize("content", [pickle.dumps(Dangerous()), b"", b"id,class\n", pickle.dumps({"a": 1})])
def test_other_pickles_are_refused(tmp_path, content, capsys):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(DataError, match="not a table that pandas 1 or 2 pickled"):
        list(pickled_rows(tmp_path / "a.pkl"))
    assert capsys.readouterr().out == ""


DETECTION = "EPIC_Sounds_detection_test_videos"


def test_the_videos_of_the_detection_test_are_whole(root):
    touch(root / "P01" / "videos" / "P01_101.MP4", root / "audio" / "P33_111.wav")
    corpus = epic_sounds.read(root, "detection-test")
    assert (corpus.listed, [segment.id for segment in corpus.segments]) == (23, ["P01_101", "P33_111"])
    first = corpus.segments[0]
    assert (first.recording.id, first.start, first.stop, first.targets, first.group) == (
        "P01_101",
        0.0,
        None,
        {},
        "P01",
    )
    assert (corpus.missing[0].id, corpus.missing[0].path) == ("P12_102", root / "P12" / "videos" / "P12_102.MP4")


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize(("lacking", "named"), [(("class", "class_id"), "class, class_id"), (("class",), "class")])
def test_a_labeled_split_needs_its_classes(tmp_path, split, lacking, named):
    rows = [{name: value for name, value in row.items() if name not in lacking} for row in published()]
    path = tmp_path / f"EPIC_Sounds_{split}.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(DataError, match=rf"{path.name}: no column {named}: .* take the list from https://"):
        epic_sounds.read(tmp_path, split)


@pytest.mark.parametrize("content", ["", f"{HEADER}\n"])
def test_a_list_without_rows_is_refused(tmp_path, content):
    for name in (VALIDATION, TEST):
        (tmp_path / f"{name}.csv").write_text(content)
    for split in ("validation", "test"):
        with pytest.raises(DataError, match=r"\.csv: no row of the split, only a header or nothing: take the list"):
            epic_sounds.read(tmp_path, split)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("video\nP01_101\n", "row 2: no video_id"),
        ("video_id\nP01_101\nP01_101\n", "P01_101 is listed twice"),
        ("video_id\n", "no row of the split"),
    ],
)
def test_errors_in_the_list_of_videos(tmp_path, content, reason):
    (tmp_path / f"{DETECTION}.csv").write_text(content)
    with pytest.raises(DataError, match=reason):
        epic_sounds.read(tmp_path, "detection-test")


def test_listed_events_need_no_sound(root):
    listed = epic_sounds.read_listed(root, "validation")
    assert (len(listed.segments), len(listed.missing)) == (30, 0)
    assert [segment.id for segment in listed.segments] == [row["annotation_id"] for row in published()]
    assert listed.recordings[0].path == root / "P01" / "videos" / "P01_11.MP4"
    assert len(epic_sounds.read_listed(root, "detection-test").recordings) == 23
    assert len(epic_sounds.read(root, "validation").segments) == 0
