"""Pictures and players of segments in a report: what a recording has, and nothing where it cannot be read."""

import base64
import io

import av
import rendered
import soundfile
import tiny
from PIL import Image

from slowfast_cli.report.samples import sample
from slowfast_cli.types import Recording, Segment


def segment(path, **times):
    return Segment(id=path.name, recording=Recording(id=path.name, path=path), **times)


def content(url):
    return io.BytesIO(base64.b64decode(url.partition(",")[2]))


def test_a_sound_has_a_spectrogram_and_a_player():
    found = sample(segment(tiny.DATA / "dog.ogg", start=1.0, stop=3.0), "dog", ["answer rain"])
    assert (found.title, list(found.lines), found.movie) == ("dog", ["answer rain"], "")
    (picture,) = found.pictures
    assert picture.caption == "1.0 to 3.0 s, up to 8 kHz"
    assert Image.open(content(picture.url)).size == (480, 128)
    samples, rate = soundfile.read(content(found.sound))
    assert (len(samples), rate) == (2 * 16000, 16000)


def test_a_video_has_frames_and_a_movie_and_says_that_it_is_silent(tmp_path):
    path = rendered.drift(tmp_path / "ball.mp4", leftwards=True, seed=1)
    found = sample(segment(path), "ball")
    assert (list(found.lines), found.sound) == (["no sound"], "")
    strip = Image.open(content(found.pictures[0].url))
    assert strip.width > 3 * strip.height
    with av.open(content(found.movie)) as movie:
        assert sum(1 for _ in movie.decode(video=0)) == 24


def test_a_file_that_is_gone_leaves_its_text(tmp_path):
    found = sample(segment(tmp_path / "gone.wav"), "gone")
    assert (found.title, found.pictures, found.sound, found.movie) == ("gone", [], "", "")
