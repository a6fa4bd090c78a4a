"""The windows of each preset are those of the tool that it is named after (`assets/reference/metrics/windows.json`)."""

import json
from fractions import Fraction

import numpy as np
import pytest
from golden import REFERENCE

from slowfast_cli.data.views import clip_samples, cut, spread
from slowfast_cli.stages.embed.windows import PRESETS, VideoLength, preset_named, resample, strided
from slowfast_cli.types import DataError, UsageError

GOLDEN = json.loads((REFERENCE / "metrics" / "windows.json").read_text())["results"]


@pytest.mark.parametrize("case", GOLDEN["hero"], ids=lambda case: f"{case['frames_at_30']}x{case['clip_len']}")
def test_hero_and_moment_detr_take_the_frames_of_the_reference(case):
    length = VideoLength(frames=case["frames_at_30"], fps=case["source_fps_floored"] + 0.97, seconds=case["duration"])
    window = float(Fraction(case["clip_len"]))
    for name, default in (("hero", 1.5), ("moment-detr", 2.0)):
        rows = list(PRESETS[name].rows(length, window))
        assert len(rows) == case["rows"]
        assert list(rows[0].positions) == case["first_row"]
        assert list(rows[-1].positions) == case["last_row"]
        assert [row.start for row in rows] == [window * number for number in range(len(rows))]
        assert rows[-1].end == min(window * len(rows), case["duration"])
        if window == default:
            assert list(PRESETS[name].rows(length, None)) == rows


def test_hero_fills_a_clip_that_is_no_whole_number_of_seconds():
    """4 s in clips of 1.5 s: the seconds 4 and 5 are repetitions of the last one; the rest of them is cut off."""
    rows = list(PRESETS["hero"].rows(VideoLength(frames=120, fps=30, seconds=4.0), None))
    assert [(row.start, row.end) for row in rows] == [(0.0, 1.5), (1.5, 3.0), (3.0, 4.0)]
    assert rows[2].positions[:16] == (*range(90, 120, 2), 90)
    with pytest.raises(UsageError, match="whole number of frames"):
        list(PRESETS["hero"].rows(VideoLength(frames=120, fps=30, seconds=4.0), 1.01))


@pytest.mark.parametrize("case", GOLDEN["ego4d_window32_stride16_30fps"], ids=lambda case: str(case["frames"]))
@pytest.mark.parametrize("name", ["ego4d", "actionformer-epic"])
def test_ego4d_starts_its_rows_at_the_frames_of_the_reference(case, name):
    length = VideoLength(frames=case["frames"], fps=30, seconds=case["frames"] / 30)
    rows = list(PRESETS[name].rows(length, None))
    starts, expected = [row.start * 30 for row in rows], case["first_frame_of_rows"]
    assert len(rows) == case["rows"]
    chosen = starts if len(starts) == len(expected) else [*starts[:4], *starts[-3:]]
    np.testing.assert_allclose(chosen, expected, atol=1e-9)
    assert {round((row.end - row.start) * 30, 9) for row in rows} == {32.0}
    assert {row.positions for row in rows} == {None}


def test_rows_of_p01_01_are_as_many_as_published():
    assert len(strided(49564)) == 3097


def test_frames_picked_by_time_are_resampled_rounding_down():
    assert resample(32) == list(range(32))
    assert resample(64)[:3] + resample(64)[-2:] == [0, 2, 4, 60, 63]
    assert resample(20)[:4] == [0, 0, 1, 1]


def test_vidsitu_centers_a_window_on_each_event():
    rows = list(PRESETS["vidsitu"].rows(VideoLength(frames=300, fps=24, seconds=10.0), None))
    for row, center in zip(rows, (30, 90, 150, 210, 270), strict=True):
        assert row.positions == tuple(min(max(center + step, 0), 299) for step in range(-32, 32, 2))
    assert (rows[0].start, rows[-1].end) == (0.0, 10.0)
    with pytest.raises(DataError, match="segments of 10 s"):
        list(PRESETS["vidsitu"].rows(VideoLength(frames=600, fps=24, seconds=20.0), None))


@pytest.mark.parametrize("case", GOLDEN["epic_sounds_views"]["rows"], ids=lambda case: case["start"])
def test_views_of_epic_sounds_are_the_slices_of_the_reference(case):
    clip, first = clip_samples(1.999, 24000), case["start_sample"]
    size = case["stop_sample"] - first
    assert clip == GOLDEN["epic_sounds_views"]["clip_samples"]
    starts = spread(size, clip, 5) if size > clip else [0.0] * 5
    views = [cut(first, size, clip, start) for start in starts]
    assert [[view.first, view.first + view.count] for view in views] == case["slices"]


def test_an_unknown_preset_is_refused_with_a_suggestion():
    with pytest.raises(UsageError, match="did you mean 'ego4d'"):
        preset_named("ego4")
