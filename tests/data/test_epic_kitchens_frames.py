"""The frames of EPIC-KITCHENS-100's SlowFast: those of its loader, from folders and from videos."""

import json
from dataclasses import replace

import golden
import numpy as np
import pytest
import rendered
import torch

from slowfast_cli.corpora.lists import parse_time
from slowfast_cli.data.clips import Key
from slowfast_cli.data.video_clips import VideoReader
from slowfast_cli.data.views import segment_frames
from slowfast_cli.models.pathway import subsample_time
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.recipe.load import load
from slowfast_cli.types import Recording, Segment

OFFICIAL = json.loads((golden.REFERENCE / "features" / "epic_kitchens_frames.json").read_text())
RECIPE = load("epic-video")
SMALL = replace(RECIPE.video, crop=32, jitter=(32, 36), side=32)


@pytest.mark.parametrize("row", OFFICIAL["rows"], ids=lambda row: f"{row['video']} {row['start']}")
def test_frames_are_the_loaders(row):
    """The loader's are numbers in file names, which count from 1."""
    start, stop = (parse_time(row[side], "") for side in ("start", "stop"))
    for view, expected in row["frames_of_view"].items():
        frames = segment_frames(start, stop, row["fps"], RECIPE.video, int(view) / RECIPE.data.views)
        assert (frames + 1).tolist() == expected


def test_the_slow_pathway_takes_the_loaders_positions():
    frames = torch.arange(32.0)[None, None, :, None, None]
    slow = subsample_time(frames, VARIANTS[RECIPE.model.variant].pathways["slow"].stride)
    assert slow.flatten().int().tolist() == OFFICIAL["slow_positions_of_32"]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """4 s of numbered frames, as the released folders and as videos: number n is in file n + 1."""
    root = tmp_path_factory.mktemp("frames")
    made = {}
    for fps, id_ in ((60, "P01_01"), (50, "P01_101")):
        folder = rendered.folder(root / id_, frames=4 * fps, name="frame_{:010d}.jpg")
        made[id_, "folder"] = Recording(id=id_, path=folder, fps=float(fps))
        video = rendered.numbered(root / f"{id_}.MP4", fps=fps, frames=4 * fps, tone_hz=440)
        made[id_, "video"] = Recording(id=id_, path=video)
    return made


def numbers(piece):
    return [rendered.number_of(frame) for frame in piece.inputs.frames.transpose(1, 2, 3, 0)]


@pytest.mark.parametrize("kind", ["folder", "video"])
@pytest.mark.parametrize(("id_", "fps"), [("P01_01", 60), ("P01_101", 50)])
def test_clips_show_the_frames(recordings, kind, id_, fps):
    reader = VideoReader(settings=SMALL, views=10)
    for start, stop in ((0.5, 3.7), (0.14, 0.66), (0.0, 1.89), (2.86, 3.87)):  # longer and shorter than a clip
        segment = Segment(id="a", recording=recordings[id_, kind], start=start, stop=stop)
        for view in (0, 4, 9):
            expected = segment_frames(start, stop, fps, SMALL, view / 10).tolist()
            assert numbers(reader.read(segment, Key(0, 0, view))) == expected, (start, view)
            assert max(expected) <= round(stop * fps) - 2


def test_views_read_together_are_those_read_alone(recordings):
    reader = VideoReader(settings=SMALL, views=10)
    for recording in recordings.values():
        segments = [Segment(id=str(n), recording=recording, start=n / 3, stop=n / 3 + 1.5) for n in range(3)]
        keys = [(segment, Key(0, row, view)) for row, segment in enumerate(segments) for view in range(3)]
        for (segment, key), piece in zip(keys, reader.read_each(keys), strict=True):
            np.testing.assert_array_equal(piece.inputs.frames, reader.read(segment, key).inputs.frames)


def test_training_draws_anywhere_in_the_action(recordings):
    reader = VideoReader(settings=SMALL, views=10, seed=3)
    segment = Segment(id="a", recording=recordings["P01_01", "folder"], start=0.5, stop=3.5)
    starts = [numbers(reader.read(segment, Key(epoch, 0, -1)))[0] for epoch in range(40)]
    assert 30 <= min(starts) < 45
    assert 130 < max(starts) <= 30 + 180 - 64
    again = [numbers(reader.read(segment, Key(epoch, 0, -1)))[0] for epoch in range(3)]
    assert again == starts[:3]


def test_a_stop_after_the_end_of_the_video_is_cut(recordings):
    """As `P29_05_563` of validation."""
    segment = Segment(id="a", recording=recordings["P01_01", "folder"], start=3.5, stop=4.2)
    shown = numbers(VideoReader(settings=SMALL, views=10).read(segment, Key(0, 0, 0)))
    assert shown[0] == 210
    assert shown[-1] == 238


def test_what_follows_the_action_is_shown_where_the_recipe_says_so(recordings):
    segment = Segment(id="a", recording=recordings["P01_01", "folder"], start=0.5, stop=0.8)
    inside, beyond = (
        numbers(VideoReader(settings=replace(SMALL, bounds=bounds), views=1).read(segment, Key(0, 0, 0)))
        for bounds in ("segment", "recording")
    )
    assert inside[-1] == 46
    assert beyond[-1] > 90
