"""Decoding what chosen frames need: the same pixels as decoding everything, and less work."""

import numpy as np
import pytest
import rendered

from slowfast_cli.media import video, video_packets
from slowfast_cli.media.video_packets import UnplannedError
from slowfast_cli.media.video_stream import VideoStream
from slowfast_cli.types import Recording

PLANNED = {
    name: options
    for name, options in rendered.CODECS.items()
    if not name.endswith((".ts", ".avi", ".mpg", ".wmv")) and "interlaced" not in name
}
CLIPS = {"starts": [-0.2, 0.4, 0.5, 1.3, 2.9], "span": 1.01, "count": 6}


def decode_everything(monkeypatch):
    def refuse(*args):
        raise UnplannedError

    monkeypatch.setattr(video, "read_packets", refuse)


def without_plan(path, monkeypatch, **clips):
    with monkeypatch.context() as patch:
        decode_everything(patch)
        return list(video.read_clips(Recording(id="x", path=path), **clips))


def same(one, other):
    assert len(one) == len(other)
    for planned, plain in zip(one, other, strict=True):
        assert planned.times == plain.times
        assert planned.start == plain.start
        assert np.array_equal(planned.pixels, plain.pixels)


@pytest.fixture
def gave_up(monkeypatch):
    """List of the times that a plan was given up."""
    calls, frames = [], video._frames
    monkeypatch.setattr(video, "_frames", lambda *args: calls.append(args) or frames(*args))
    return calls


@pytest.mark.parametrize("name", PLANNED)
def test_pixels_equal_those_of_decoding_everything(name, tmp_path, monkeypatch, gave_up):
    path = rendered.numbered(tmp_path / name, **({"frames": 100} | PLANNED[name]))
    planned = list(video.read_clips(Recording(id="x", path=path), **CLIPS))
    assert bool(gave_up) == (CLIPS["starts"][-1] > video.probe(Recording(id="x", path=path)).seconds)
    same(planned, without_plan(path, monkeypatch, **CLIPS))


def test_clips_equal_those_read_one_by_one(tmp_path):
    path = rendered.numbered(tmp_path / "x.mp4", frames=400, gop=12)
    clips = {"starts": [0.0, 0.3, 2.0, 9.0, 12.9, 20.0], "span": 1.5, "count": 8, "short_side": 32}
    one_by_one = [
        video.read(Recording(id="x", path=path), start=start, span=1.5, count=8, short_side=32)
        for start in clips["starts"]
    ]
    same(list(video.read_clips(Recording(id="x", path=path), **clips)), one_by_one)


def test_clips_of_a_file_share_one_pass(tmp_path, monkeypatch, gave_up):
    path = rendered.numbered(tmp_path / "x.mp4", frames=300, gop=30)
    recording = Recording(id="x", path=path)
    video.probe(recording)
    opened, converted, open_file, rgb = [], [], VideoStream.open, video.Converter.rgb
    monkeypatch.setattr(VideoStream, "open", lambda self: opened.append(1) or open_file(self))
    monkeypatch.setattr(video.Converter, "rgb", lambda self, frame: converted.append(frame.pts) or rgb(self, frame))
    starts = [0.8 * number for number in range(10)]
    assert len(list(video.read_clips(recording, starts=starts, span=63 / 30, count=32))) == 10
    assert len(opened) == 1
    assert len(converted) == len(set(converted)) <= 280
    assert not gave_up


def test_groups_without_chosen_frames_and_unreferenced_frames_are_not_decoded(tmp_path, monkeypatch):
    options = {"x264-params": "bframes=3:b-adapt=0:scenecut=0:b-pyramid=none"}
    path = rendered.numbered(tmp_path / "x.mp4", frames=300, gop=20, bframes=3, options=options)
    decoded, taken = [], video_packets._taken
    monkeypatch.setattr(
        video_packets, "_taken", lambda frames, unseen: decoded.extend(f.pts for f in frames) or taken(frames, unseen)
    )
    clip = video.read(Recording(id="x", path=path), start=0, span=8.0, count=3)  # frames 0, 120, 240: keyframes
    assert [rendered.number_of(pixels) for pixels in clip.pixels] == [0, 120, 240]
    assert len(decoded) == 3
    decoded.clear()
    clip = video.read(Recording(id="x", path=path), start=110 / 30, span=0.0, count=1)
    assert [rendered.number_of(pixels) for pixels in clip.pixels] == [110]
    assert len(decoded) <= 5  # I P P P of its group, and the frame itself


def test_interlaced_video_is_decoded_in_full(tmp_path, monkeypatch, gave_up):
    path = rendered.numbered(tmp_path / "interlaced.mp4", **({"frames": 100} | rendered.CODECS["interlaced.mp4"]))
    planned = list(video.read_clips(Recording(id="x", path=path), **CLIPS))
    assert gave_up
    same(planned, without_plan(path, monkeypatch, **CLIPS))


def test_a_missing_frame_is_decoded_in_full(tmp_path, monkeypatch, gave_up):
    path = rendered.numbered(tmp_path / "x.mp4", frames=60)
    plain = without_plan(path, monkeypatch, starts=[0.5], span=0.5, count=4)
    gave_up.clear()
    monkeypatch.setattr(video_packets, "_taken", lambda frames, unseen: iter(()))
    same(list(video.read_clips(Recording(id="x", path=path), starts=[0.5], span=0.5, count=4)), plain)
    assert len(gave_up) == 1
