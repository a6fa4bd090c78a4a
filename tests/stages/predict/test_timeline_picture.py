"""The picture of `predict --timeline --plot`, and that of frames."""

import numpy as np
import pytest
import tiny
from PIL import Image

from slowfast_cli.media import video
from slowfast_cli.plots.timeline import FilmStrip
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


def test_frames_are_the_center_squares_in_the_middle_of_equal_stretches(tmp_path):
    path = tiny.DATA / "clock.mp4"
    strip = timeline_picture._film_strip(path, 4)
    first = video.read(Recording(id="clock", path=path), start=strip.seconds / 8, span=0, count=1).pixels[0]
    height, width, _ = first.shape
    assert height < width
    left = (width - height) // 2
    assert strip.frames.shape == (4, height, height, 3)
    np.testing.assert_array_equal(strip.frames[0], first[:, left : left + height])


@pytest.mark.parametrize(("width", "count"), [(9.0, 6), (4.2, 3)])
def test_frames_are_drawn_as_squares_above_the_windows(width, count, tmp_path, monkeypatch):
    path = tmp_path / "gray.mp4"
    windows = [
        FilePrediction(path=path, start=start, end=start + 1, scores={"label": np.array([0.25, 0.75])})
        for start in (0.0, 1.0)
    ]
    strips = []

    def film_strip(path, frames):
        strips.append(frames)
        return FilmStrip(frames=np.full((frames, 8, 8, 3), (0, 200, 0), np.uint8), seconds=2.0)

    monkeypatch.setattr(timeline_picture, "_film_strip", film_strip)
    timeline_picture.draw(windows, {"label": ["tick", "tock"]}, tmp_path / "gray.png", frames=True, width=width)
    pixels = np.asarray(Image.open(tmp_path / "gray.png").convert("RGB"), dtype=int)
    green = (np.abs(pixels - (0, 200, 0)) < 3).all(axis=2)
    rows, columns = green.any(axis=1).sum(), green.any(axis=0).sum()
    assert strips == [count]
    assert columns / count == pytest.approx(rows, rel=0.2)
