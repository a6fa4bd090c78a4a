"""Something-Something v2 reader, on genuine rows of its training list; the other files have the documented format."""

import json
import shutil
from pathlib import Path

import pytest

from slowfast_cli.corpora import labels, ssv2
from slowfast_cli.types import DataError

TRAIN = Path(__file__).parents[1] / "assets" / "lists" / "ssv2" / "train.json"
IDS = ["78687", "42326", "145274"]


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture(params=["labels/train.json", "something-something-v2-train.json"])
def root(request, tmp_path):
    path = tmp_path / request.param
    path.parent.mkdir(exist_ok=True)
    shutil.copyfile(TRAIN, path)
    touch(*(tmp_path / "20bn-something-something-v2" / f"{id_}.webm" for id_ in IDS[:2]))
    return tmp_path


def test_class_order_is_alphabetical():
    names = labels.names("ssv2")
    assert len(names) == 174
    assert list(names) == sorted(names)
    # Indices that other programs print.
    assert names[139] == "Spinning something so it continues spinning"
    assert names[155] == "Throwing something onto a surface"
    assert names[160] == "Touching (without moving) part of something"


def test_a_template_is_the_class_and_missing_videos_are_counted(root):
    corpus = ssv2.read(root, "train")
    assert [segment.id for segment in corpus.segments] == IDS[:2]
    assert [corpus.classes["label"][segment.targets["label"]] for segment in corpus.segments] == [
        "Holding something next to something",
        "Spreading something onto something",
    ]
    assert [(failure.id, failure.reason) for failure in corpus.missing] == [("145274", "not on disk")]
    assert corpus.has_video


def test_frames_are_preferred_to_videos(root):
    touch(root / "frames" / "145274" / "145274_000001.jpg", root / "frames" / "42326" / "42326_000001.jpg")
    found = {segment.id: segment.recording for segment in ssv2.read(root, "train").segments}
    assert {id_: recording.fps for id_, recording in found.items()} == {"78687": None, "42326": 30.0, "145274": 30.0}


def test_the_list_of_test_has_no_labels(tmp_path):
    (tmp_path / "test.json").write_text('[{"id": "1420"}]')
    touch(tmp_path / "videos" / "1420.mp4")
    (segment,) = ssv2.read(tmp_path, "test").segments
    assert segment.targets == {}


def test_another_class_order_is_refused(root):
    order = {name: str(index) for name, index in labels.indices("ssv2").items()}
    (root / "labels.json").write_text(json.dumps(order))
    assert ssv2.read(root, "train").listed == 3
    changed = {"Holding something": "17", "Holding something behind something": "16"}
    (root / "labels.json").write_text(json.dumps(order | changed))
    with pytest.raises(DataError, match=r"labels\.json: its classes are not the 174 in alphabetical order"):
        ssv2.read(root, "train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "expected a list of videos"),
        ("[]", "expected a list of videos"),
        ("[", "not JSON"),
        ('[{"template": "Holding [something]"}]', "video 1: no id"),
        ('[{"id": "1"}]', "video 1: no template"),
        ('[{"id": "7", "template": "Eating [something]"}]', "video 1: 'Eating something' is not one of the 174"),
    ],
)
def test_wrong_lists_are_refused(tmp_path, text, message):
    (tmp_path / "train.json").write_text(text)
    touch(tmp_path / "videos" / "7.webm")
    with pytest.raises(DataError, match=message):
        ssv2.read(tmp_path, "train")


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match="something-something-v2-"):
        ssv2.read(tmp_path, "train")
