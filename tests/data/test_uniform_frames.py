"""Clips that show a whole video, as of Something-Something: frames, times, and what reads them."""

from dataclasses import replace

import numpy as np
import pytest
import rendered
import tiny
import torch

from slowfast_cli.data.clips import Key
from slowfast_cli.data.video_clips import VideoReader
from slowfast_cli.data.views import stretch_clips, uniform_frames
from slowfast_cli.media.video import read_clips
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.recipe.load import load
from slowfast_cli.settings import Frames
from slowfast_cli.stages.predict.results import Timeline
from slowfast_cli.stages.predict.video import VideoPredictor, eval_frames
from slowfast_cli.types import Recording, Segment
from slowfast_cli.weights.file import Card

TIMES = [number / 12 for number in range(24)]
SMALL = replace(load("ssv2").video, frames=8, crop=32, jitter=(32, 36), side=32)


def parts(count, frames):
    """First and last frame of each part, written as a loop."""
    size = float(count - 1) / frames
    return [(int(np.round(size * part)), int(np.round(size * (part + 1)))) for part in range(frames)]


@pytest.mark.parametrize("count", [1, 2, 7, 60, 61, 133, 400])
@pytest.mark.parametrize("frames", [8, 32, 64])
def test_a_test_clip_has_the_middle_of_each_part_and_a_training_clip_any_frame(count, frames):
    middle = uniform_frames(count, frames)
    assert middle.tolist() == [(first + last) // 2 for first, last in parts(count, frames)]
    rng = np.random.default_rng(0)
    drawn = np.array([uniform_frames(count, frames, rng) for _ in range(300)])
    assert (np.diff(drawn, axis=1) >= 0).all()
    for part, (first, last) in enumerate(parts(count, frames)):
        seen = set(drawn[:, part].tolist())
        assert seen <= set(range(first, last + 1))
        if last - first < 8:
            assert seen == set(range(first, last + 1))  # both ends included


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """2 s of numbered frames: 30 a second in a folder, 12 a second in a video as those of the data set are."""
    root = tmp_path_factory.mktemp("frames")
    folder = rendered.folder(root / "78687", frames=60, name="78687_{:06d}.jpg")
    video = rendered.numbered(root / "42326.mp4", fps=12, frames=24)
    return {"folder": Recording(id="78687", path=folder, fps=30.0), "video": Recording(id="42326", path=video)}


def numbers(piece):
    return [rendered.number_of(frame) for frame in piece.inputs.frames.transpose(1, 2, 3, 0)]


def test_frames_of_a_folder_are_those_of_the_list(recordings):
    piece = VideoReader(settings=SMALL, views=1).read(Segment(id="a", recording=recordings["folder"]), Key(0, 0, 0))
    assert numbers(piece) == uniform_frames(60, 8).tolist()
    assert (piece.start, piece.stop) == pytest.approx((3 / 30, 55 / 30))


def test_a_slower_video_shows_what_its_frames_at_30_a_second_would(recordings):
    piece = VideoReader(settings=SMALL, views=1).read(Segment(id="a", recording=recordings["video"]), Key(0, 0, 0))
    assert numbers(piece) == [int(index / 30 * 12 + 1e-6) for index in uniform_frames(60, 8)]


def test_a_segment_is_read_from_its_start_to_its_stop(recordings):
    segment = Segment(id="a", recording=recordings["folder"], start=0.5, stop=1.5)
    reader = VideoReader(settings=SMALL, views=1)
    assert numbers(reader.read(segment, Key(0, 0, 0))) == (15 + uniform_frames(30, 8)).tolist()
    drawn = [numbers(reader.read(segment, Key(epoch, 0, -1))) for epoch in range(20)]
    assert len({tuple(clip) for clip in drawn}) > 10
    assert all(clip[0] >= 15 and clip[-1] < 45 for clip in drawn)


def test_a_stretch_is_one_clip_of_uniform_frames_and_several_of_dense_ones():
    assert stretch_clips((0.0, 10.0), 10.0, SMALL, 5) == [(0.0, 10.0)]
    dense = Frames(frames=30, step=2, fps=30)
    assert stretch_clips((0.0, 10.0), 10.0, dense, 5) == [(start, start + 2.0) for start in (0.0, 1.6, 3.2, 4.8, 6.4)]
    assert stretch_clips((0.0, 2.5), 10.0, dense, 5) == [(0.25, 2.25)]
    assert stretch_clips((9.5, 10.0), 10.0, dense, 5) == [(8.0, 10.0)]


def test_prediction_shows_the_network_each_stretch_in_one_clip(recordings):
    torch.manual_seed(0)
    net = with_width(VARIANTS["slowfast-16x8-r50"], 8)
    card = Card(
        net=net, classes={"label": ("a", "b", "c")}, front_end={}, clip_seconds=1.0, views=1, video=SMALL.settings()
    )
    predictor = VideoPredictor(card.model().eval(), card, eval_frames(card), None)
    recording = recordings["video"]
    shown = read_clips(recording, starts=TIMES, span=0.0, count=1, short_side=predictor.short_side)
    frames = [(each.times[0], each.pixels[0]) for each in shown]
    (whole,) = predictor.predict(recording.path, None)
    assert (whole.start, whole.end) == (0.0, 2.0)
    np.testing.assert_allclose(predictor.predict_frames(frames, 2.0)["label"], whole.scores["label"], atol=1e-5)
    for number, window in enumerate(predictor.predict(recording.path, Timeline(window=0.5, hop=0.5))):
        own = [(time - number / 2, pixels) for time, pixels in frames[6 * number : 6 * number + 7]]
        np.testing.assert_allclose(predictor.predict_frames(own, 0.5)["label"], window.scores["label"], atol=1e-5)
        assert (window.start, window.end) == (number / 2, (number + 1) / 2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.views=10"], "data.views: 10: with video.sampling: uniform a clip is the whole segment: set it to 1"),
        (["model.variant=avslowfast-8x8-r50"], "video.sampling: uniform: a clip has no span of its own"),
    ],
)
def test_what_does_not_go_with_it_is_refused(words, message, tmp_path):
    done = tiny.slowfast("train", "ssv2", f"data.root={tmp_path}", "model.init=null", *words, "--run", tmp_path / "run")
    assert (done.code, message in " ".join(done.err.split())) == (2, True), done.err
