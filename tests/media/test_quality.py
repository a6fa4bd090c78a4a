"""Recordings that decode but are poor examples."""

import csv

import numpy as np
import pytest
import rendered
import soundfile
import tiny

from slowfast_cli.media import audio
from slowfast_cli.media.quality import Change, Channels
from slowfast_cli.media.video_check import decode_all
from slowfast_cli.types import Recording

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
    soundfile.write(tmp_path / "data" / "a" / "one-sided.wav", np.stack([np.clip(4 * TONE, -1, 1), NOISE], 1), RATE)
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
        "a/one-sided.wav": reasons["a/one-sided.wav"],
        "b/opposite.wav": "opposite phase: the channels cancel out when they are mixed to mono",
        "b/canceled.wav": "silent: its channels cancel out when they are mixed to mono",
        "b/still.mp4": "constant frames: the picture does not change",
    }
    assert reasons["a/clipped.wav"].startswith("clipped: ")
    with (tmp_path / "rest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert not reasons.keys() & {row["path"].removeprefix(f"{folder}/") for row in rows}
    assert len(rows) == 10
    assert {row["split"] for row in rows} == {"train", "test", "val"} or {row["split"] for row in rows} == {
        "train", "val"
    }  # fmt: skip
    words = [*tiny.WORDS, "data.source=media", "optim.batch=4", "augment.mix=0", "schedule.epochs=1"]
    tiny.good("train", "folder", "data.corpus=csv", "data.root=rest.csv", *words, "--run", "run")


def heard(path, samples, rate=RATE, **more):
    """Flags of samples that were written to a file."""
    soundfile.write(path, samples, rate, **more)
    channels = Channels()
    audio.decode_all(Recording(id="x", path=path), channels.add)
    return channels.flags()


def tone(frequency, rate=RATE):
    return np.sin(2 * np.pi * frequency * np.arange(rate) / rate)


CHORD = sum(tone(frequency) for frequency in (220, 331, 443)) / 3


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT", "ULAW"])
@pytest.mark.parametrize("level", [0.5, 0.9, 1.0])
def test_clipping_at_any_level_is_flagged(tmp_path, subtype, level):
    clipped = level * np.clip(3 * CHORD, -1, 1)
    assert "of a channel stay at its peak" in heard(tmp_path / "x.wav", clipped, subtype=subtype)[0]
    one_side = level * np.stack([0.1 * CHORD, np.clip(3 * CHORD, -2, 1) / 2], 1)
    assert "clipped" in heard(tmp_path / "x.wav", one_side, subtype=subtype)[0]
    assert heard(tmp_path / "x.wav", level * CHORD, subtype=subtype) == []


@pytest.mark.parametrize(("frequency", "rate"), [(20, 16000), (50, 44100), (40, 192000), (440, 44100), (1000, 16000)])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "FLOAT", "ULAW"])
def test_tones_at_full_scale_are_not_clipped(tmp_path, frequency, rate, subtype):
    assert heard(tmp_path / "x.wav", tone(frequency, rate), rate, subtype=subtype) == []
    assert heard(tmp_path / "x.wav", np.tanh(3 * tone(40, rate)), rate, subtype=subtype) == []


@pytest.mark.parametrize("form", ["MP3", "OGG"])
def test_lossy_files_are_judged_by_samples_above_full_scale(tmp_path, form):
    assert "of a channel exceed full scale" in heard(tmp_path / "x", np.clip(3 * CHORD, -1, 1), format=form)[0]
    assert heard(tmp_path / "x", 0.999 * CHORD / np.abs(CHORD).max(), format=form) == []


def test_phase_is_judged_by_power(tmp_path):
    both = np.stack([NOISE, NOISE], 1)
    both[100] = [1, -0.99]
    assert heard(tmp_path / "x.wav", both) == []
    assert heard(tmp_path / "x.wav", np.stack([NOISE, np.roll(NOISE, 99)], 1)) == []
    both = np.stack([NOISE, -NOISE], 1)
    both[100] = 0.9
    assert "opposite phase" in heard(tmp_path / "x.wav", both)[0]


def watched(path, frames, fps=30):
    change = Change()
    decode_all(Recording(id="x", path=rendered.write(path, iter(frames), fps=fps)), change.add)
    return change.flags()


def pictures(background, step, count=60, side=6):
    """A square that moves by ``step`` pixels per picture."""
    for number in range(count):
        picture = background.copy()
        left = 10 + int(step * number)
        picture[20 : 20 + side, left : left + side] = background.max()
        yield picture


def test_still_pictures_are_flagged_and_small_dark_or_slow_movement_is_not(tmp_path):
    ramp = np.broadcast_to(np.linspace(0, 255, 160, dtype=np.uint8)[None, :, None], (96, 160, 3)).copy()
    for background, step, fps in ((ramp, 1, 30), (ramp // 12, 1, 30), (ramp, 0.05, 30), (ramp, 0.5, 120)):
        assert watched(tmp_path / "x.mp4", pictures(background, step), fps) == []
        assert watched(tmp_path / "x.mp4", pictures(background, 0), fps) != []
    assert watched(tmp_path / "x.mp4", pictures(0 * ramp, 0)) != []
    noise = np.random.default_rng(0)
    grain = [np.clip(ramp + noise.normal(0, 4, ramp.shape), 0, 255).astype(np.uint8) for _ in range(30)]
    assert watched(tmp_path / "x.mp4", grain) != []
