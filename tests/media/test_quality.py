"""Recordings that decode but are poor examples."""

import csv

import numpy as np
import pytest
import rendered
import soundfile
import tiny

RATE = 16000
TONE = 0.5 * np.sin(2 * np.pi * 220 * np.arange(RATE) / RATE).astype(np.float32)
NOISE = (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    """Two classes of good recordings, and one poor recording of each kind."""
    for label in "ab":
        for number in range(4):
            tiny.write(tmp_path / "data" / label / f"{number}.wav", np.roll(NOISE, 100 * number))
    tiny.write(tmp_path / "data" / "a" / "loud.wav", TONE)
    soundfile.write(tmp_path / "data" / "a" / "clipped.wav", np.clip(4 * TONE, -1, 1), RATE)
    soundfile.write(tmp_path / "data" / "a" / "one-sided.wav", np.stack([np.clip(4 * NOISE, -1, 1), NOISE], 1), RATE)
    soundfile.write(tmp_path / "data" / "b" / "opposite.wav", np.stack([NOISE, -0.95 * NOISE], 1), RATE)
    soundfile.write(tmp_path / "data" / "b" / "canceled.wav", np.stack([NOISE, -NOISE], 1), RATE)
    rendered.numbered(tmp_path / "data" / "a" / "moving.mp4", frames=30, sound=NOISE)
    still = (rendered.picture_of(7, (96, 64)) for _ in range(30))
    rendered.write(tmp_path / "data" / "b" / "still.mp4", still, fps=30, sound=NOISE)
    return tmp_path / "data"


def test_poor_recordings_are_flagged_and_the_rest_trains(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = tiny.slowfast("data", "check", "folder", "--root", folder, "--drop", "flagged", "--out", "poor.csv")
    assert done.code == 3  # canceled.wav is silent in mono, which is no flag
    with (tmp_path / "poor.csv").open(newline="") as file:
        reasons = {row["id"]: row["reason"].split(": ", 1)[1] for row in csv.DictReader(file)}
    assert reasons == {
        "a/clipped.wav": reasons["a/clipped.wav"],
        "b/opposite.wav": "opposite phase: the channels cancel out when they are mixed to mono",
        "b/canceled.wav": "silent: its channels cancel out when they are mixed to mono",
        "b/still.mp4": "constant frames: the picture does not change",
    }
    assert reasons["a/clipped.wav"].startswith("clipped: ")
    with (tmp_path / "rest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert not reasons.keys() & {row["path"].removeprefix(f"{folder}/") for row in rows}
    assert len(rows) == 11
    assert {row["split"] for row in rows} == {"train", "test", "val"} or {row["split"] for row in rows} == {
        "train", "val"
    }  # fmt: skip
    words = [*tiny.WORDS, "data.source=media", "optim.batch=4", "augment.mix=0", "schedule.epochs=1"]
    tiny.good("train", "folder", "data.corpus=csv", "data.root=rest.csv", *words, "--run", "run")


def test_the_rest_does_not_replace_another_file(folder, tmp_path):
    (tmp_path / "rest.csv").write_text("mine\n")
    words = ["data", "check", "folder", "--root", folder, "--rest", tmp_path / "rest.csv"]
    done = tiny.slowfast(*words, "--drop", "flagged")
    assert (done.code, "not a file that --rest wrote" in done.err) == (2, True)
    assert "expected flagged" in tiny.slowfast(*words, "--drop", "all").err
