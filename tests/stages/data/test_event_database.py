"""``slowfast data events``: the events of EPIC-SOUNDS as the JSON of ActionFormer."""

import json
import shutil

import numpy as np
import pytest
import tiny

LISTS = tiny.DATA / "lists" / "epic_sounds"


@pytest.fixture
def root(tmp_path):
    """Published rows; sound for two videos of validation and one of the detection test."""
    root = shutil.copytree(LISTS, tmp_path / "epic")
    for video, seconds in (("P01_11", 2.5), ("P01_14", 1.25), ("P01_101", 0.5)):
        tiny.write(root / "audio" / f"{video}.wav", np.zeros(round(16000 * seconds)))
    return root


def test_the_events_of_two_splits(root, tmp_path):
    words = ["data", "events", "epic-sounds", "--root", root, "--split", "validation,detection-test"]
    done = tiny.good(*words, "--out", tmp_path / "x.json")
    database = json.loads((tmp_path / "x.json").read_text())["database"]
    assert [(video, own["subset"], own["duration"], own["fps"]) for video, own in database.items()] == [
        ("P01_11", "validation", 2.5, 30.0), ("P01_14", "validation", 1.25, 30.0), ("P01_101", "test", 0.5, 30.0),
    ]  # fmt: skip
    first = {"segment": [2.069, 2.993], "label": "ceramic / wood collision", "label_id": 34}
    assert database["P01_11"]["annotations"][0] == first
    assert database["P01_101"]["annotations"] == []
    events = [event for own in database.values() for event in own["annotations"]]
    rows = (LISTS / "EPIC_Sounds_validation.csv").read_text().splitlines()
    assert len(events) == sum(",P01_11," in row or ",P01_14," in row for row in rows)
    assert f"{len(events)} events of 3 recordings" in done.err
    assert "left out: " in done.err
    background = sum(event["label"] == "background" for event in events)
    assert background > 0
    tiny.good(*words, "--redact", "background", "--out", tmp_path / "x.json")
    fewer = json.loads((tmp_path / "x.json").read_text())["database"]
    assert list(fewer) == list(database)
    assert sum(len(own["annotations"]) for own in fewer.values()) == len(events) - background


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["epic-sounds", "--split", "val"], 2, "--split val: epic-sounds has train, validation"),
        (["epic-sounds", "--split", "validation,validation"], 3, "P01_11: is in validation and in another split"),
        (["epic-sounds", "--split", "test"], 3, "no recording can be read"),
        (["epic-sound"], 2, "did you mean 'epic-sounds'"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(root, tmp_path, words, code, message):
    done = tiny.slowfast("data", "events", *words, "--root", root, "--out", tmp_path / "x.json")
    assert (done.code, message in done.err, (tmp_path / "x.json").exists()) == (code, True, False), done.err
    (tmp_path / "x.json").write_text("thesis")
    done = tiny.slowfast("data", "events", "epic-sounds", "--root", root, "--out", tmp_path / "x.json")
    assert (done.code, "is not a file that --out wrote" in done.err) == (2, True)
