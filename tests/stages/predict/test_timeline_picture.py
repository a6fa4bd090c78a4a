"""The picture of `predict --timeline --plot`, and that of frames."""

import numpy as np
import pytest
import tiny
from PIL import Image

from slowfast_cli.media import video
from slowfast_cli.plots.timeline import frames_across
from slowfast_cli.stages.predict import timeline_picture
from slowfast_cli.stages.predict.results import FilePrediction
from slowfast_cli.types import Recording


def test_a_recording_and_its_windows_are_drawn(trained, tmp_path):
    tiny.write(tmp_path / "long.wav", tiny.sound("rain.wav", 4))
    words = ["predict", tmp_path / "long.wav", "-w", trained, "--timeline", "1/0.5"]
    done = tiny.good(*words, "--plot", tmp_path / "long.png")
    assert f"drawn: {tmp_path / 'long.png'}" in done.err
    assert Image.open(tmp_path / "long.png").size[0] > 1000


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--plot", "x.png"], "--plot x.png: draws windows over time: add --timeline"),
        (["--timeline", "1/1", "--plot", "x.jpg"], "expected a file that ends in .png"),
        (["--timeline", "1/1", "--plot", "nowhere/x.png"], "in a folder that exists"),
        (["--timeline", "1/1", "--plot", "x.png", tiny.DATA / "dog.ogg"], "2 files are named: name one"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_work(more, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = tiny.slowfast("predict", tiny.DATA / "rain.wav", *more)
    assert (done.code, message in done.err, done.out) == (2, True, "")


def test_long_recordings_are_averaged(tmp_path, monkeypatch):
    tiny.write(tmp_path / "long.wav", tiny.sound("rain.wav", 10))
    whole = timeline_picture._spectrogram(tmp_path / "long.wav").logmel
    monkeypatch.setattr(timeline_picture, "COLUMNS", 50)
    short = timeline_picture._spectrogram(tmp_path / "long.wav").logmel
    factor = len(whole) // 50
    assert 50 <= len(short) <= 100
    np.testing.assert_allclose(short[0], whole[:factor].mean(axis=0), rtol=1e-5)


def test_frames_are_drawn_in_the_middle_of_equal_stretches(tmp_path):
    path = tiny.DATA / "clock.mp4"
    strip = timeline_picture._film_strip(path)
    frames = video.read(Recording(id="clock", path=path), start=strip.seconds / 6, span=0, count=1).pixels
    assert strip.frames.shape[0] == frames_across(frames.shape[2], frames.shape[1])
    np.testing.assert_array_equal(strip.frames[0], frames[0])  # the first of three
    windows = [
        FilePrediction(path=path, start=start, end=start + 1, scores={"label": np.array([0.25, 0.75])})
        for start in (0.0, 2.0, 4.0)
    ]
    timeline_picture.draw(windows, {"label": ["tick", "tock"]}, tmp_path / "clock.png", frames=True)
    pixels = np.asarray(Image.open(tmp_path / "clock.png").convert("RGB"), dtype=int)
    column = pixels[:, pixels.shape[1] // 2]
    assert (np.ptp(column, axis=1) > 100).sum() > 200
