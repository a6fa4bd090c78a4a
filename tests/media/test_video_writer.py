"""Overlays drawn on videos."""

from pathlib import Path

import av
import numpy as np
import pytest
import rendered
from boxes import hide_first, turn_picture

from slowfast_cli.media import audio, video
from slowfast_cli.media.video_writer import annotate, label_box
from slowfast_cli.types import BrokenMediaError, DataError, Recording, UsageError

VIDEOS = Path(__file__).parents[1] / "assets" / "video"
PLACE = (0.25, 0.25, 0.75, 0.75)


def recording(path):
    return Recording(id="x", path=Path(path))


def frames(path):
    """Return the presentation times, relative to the first frame, and the pixels of all frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoded = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)]
    return [time - decoded[0][0] for time, _ in decoded], [pixels for _, pixels in decoded]


def onset(path):
    """Return the time of the first audible sample, relative to the first frame."""
    samples = audio.read(recording(path), rate=rendered.RATE)
    return np.flatnonzero(np.abs(samples) > 0.1)[0] / rendered.RATE + video.probe(recording(path)).audio_start


@pytest.fixture(autouse=True)
def _clear_caches():
    yield
    video._info.cache_clear()
    video.probe.cache_clear()


LATE = np.concatenate([np.zeros(rendered.RATE, np.float32), rendered.tone(1.5, 800)])
TIMES = [float(time) for time in 0.2 + np.cumsum(np.random.default_rng(0).uniform(0.02, 0.06, 60))]


@pytest.mark.parametrize(
    ("source", "out", "how"),
    [
        ("a.mp4", "b.mp4", {}),
        ("a.mkv", "b.mp4", {}),
        ("a.mkv", "b.mkv", {}),
        ("a.ts", "b.mp4", {}),
        ("a.mp4", "b.mov", {"times": TIMES}),
        ("a.mkv", "b.mkv", {"times": TIMES}),
        ("a.mp4", "b.mkv", {"times": TIMES, "sound_at": 0.5}),
        ("a.avi", "b.mp4", {"codec": "mpeg4"}),
    ],
)
def test_frames_and_audio_keep_their_times(source, out, how, tmp_path):
    path = rendered.numbered(tmp_path / source, frames=60, sound=LATE, **how)
    drawn = []

    def draw(pixels, time):
        drawn.append((time, rendered.number_of(pixels)))
        return label_box(pixels, PLACE, ())

    annotate(path, tmp_path / out, draw)
    before, _ = frames(path)
    times, pictures = frames(tmp_path / out)
    assert [number for _, number in drawn] == list(range(60))
    assert [time - drawn[0][0] for time, _ in drawn] == pytest.approx(times, abs=1.1e-3)
    sound_at = how.get("sound_at", 0.0)
    begin = how["times"][0] if "times" in how else 0.0
    assert drawn[0][0] == pytest.approx(max(begin - sound_at, 0.0), abs=1.1e-3)
    assert times == pytest.approx(before if "times" in how else [i / 30 for i in range(60)], abs=1.1e-3)
    assert [rendered.number_of(pixels) for pixels in pictures] == list(range(60))
    assert onset(tmp_path / out) == pytest.approx(onset(path), abs=0.003)
    length = len(audio.read(recording(tmp_path / out), rate=rendered.RATE)) / rendered.RATE
    assert length == pytest.approx(2.5 + max(sound_at - begin, 0.0), abs=0.15)
    assert not list(tmp_path.glob(".*"))


def test_pixels_outside_the_overlay_are_unchanged(tmp_path):
    place = (0.3, 0.3, 0.6, 0.9)
    annotate(VIDEOS / "nasa_13013.mp4", tmp_path / "x.mp4", lambda pixels, _: label_box(pixels, place, ["walk 0.91"]))
    before = video.read(recording(VIDEOS / "nasa_13013.mp4"), start=0, span=12, count=5).pixels.astype(float)
    after = video.read(recording(tmp_path / "x.mp4"), start=0, span=12, count=5).pixels.astype(float)
    off = np.abs(after - before).mean((0, 3))
    assert off[: 270 * 2 // 10].mean() < 4
    assert off[270 * 3 // 10 : 270 * 9 // 10, round(0.3 * 479)].mean() > 40
    probe = video.probe(recording(tmp_path / "x.mp4"))
    assert (probe.frames, probe.width, probe.height, probe.has_audio) == (390, 480, 270, True)


def test_rotation_and_edit_list_are_applied(tmp_path):
    path = rendered.numbered(tmp_path / "x.mp4", frames=60, tone_hz=300, first=100)
    turn_picture(path, 0, 1, -1, 0)
    hide_first(path, 0.5)
    annotate(path, tmp_path / "y.mp4", lambda pixels, _: pixels)
    times, pictures = frames(tmp_path / "y.mp4")
    assert pictures[0].shape == (96, 64, 3)
    assert [rendered.number_of(np.rot90(pixels)) for pixels in pictures] == list(range(115, 160))
    assert times[-1] == pytest.approx(44 / 30, abs=1e-4)


def test_odd_sizes_and_videos_without_audio(tmp_path):
    path = tmp_path / "x.mkv"
    rendered.write(path, [np.full((51, 77, 3), 90, np.uint8)] * 5, codec="ffv1", pix_fmt="yuv444p", gop=1)
    annotate(path, tmp_path / "y.mp4", lambda pixels, _: pixels)
    assert video.read(recording(tmp_path / "y.mp4"), start=0, span=0.1, count=2).pixels.shape == (2, 52, 78, 3)
    assert not video.probe(recording(tmp_path / "y.mp4")).has_audio


def test_colors_are_preserved(tmp_path):
    colors = [(230, 40, 30), (30, 200, 60), (40, 60, 220)]
    starts = rendered.bars(tmp_path / "x.mp4", colors, each=0.2)
    annotate(tmp_path / "x.mp4", tmp_path / "y.mp4", lambda pixels, _: pixels)
    for color, start in zip(colors, starts, strict=True):
        pixels = video.read(recording(tmp_path / "y.mp4"), start=start, span=0, count=1).pixels
        assert np.abs(pixels.astype(float) - color).max() < 8


def test_failures_leave_no_file_behind(tmp_path):
    path = rendered.numbered(tmp_path / "x.mp4", frames=20)
    before = (tmp_path / "y.mp4", b"what was there")
    before[0].write_bytes(before[1])

    def fails(pixels, time):
        if time > 0.3:
            raise RuntimeError("drawn wrongly")
        return pixels

    with pytest.raises(RuntimeError, match="drawn wrongly"):
        annotate(path, before[0], fails)
    with pytest.raises(ValueError, match="draw"):
        annotate(path, before[0], lambda pixels, _: pixels[:4])
    with pytest.raises(UsageError, match=r"\.mkv"):
        annotate(path, tmp_path / "y.gif", lambda pixels, _: pixels)
    with pytest.raises(BrokenMediaError, match=r"none\.mp4"):
        annotate(tmp_path / "none.mp4", before[0], lambda pixels, _: pixels)
    with pytest.raises(DataError, match="cannot be written"):
        annotate(path, tmp_path / "no folder" / "y.mp4", lambda pixels, _: pixels)
    assert before[0].read_bytes() == before[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.mp4", "y.mp4"]


def test_a_video_may_be_overwritten(tmp_path):
    path = rendered.numbered(tmp_path / "x.mp4", frames=20, tone_hz=200)
    annotate(path, path, lambda pixels, _: 255 - pixels)
    assert [rendered.number_of(255 - pixels) for pixels in frames(path)[1]] == list(range(20))


@pytest.mark.parametrize("place", [PLACE, (0.0, 0.0, 1.0, 1.0), (0.9, 0.01, 1.0, 0.2), (-0.2, 0.5, 1.3, 1.4)])
def test_label_box_stays_inside_the_frame(place):
    gray = np.full((240, 320, 3), 128, np.uint8)
    shown = label_box(gray, place, ["sit 0.98", "talk to someone 0.61"], color=(255, 0, 0))
    assert shown.shape == gray.shape
    assert (gray == 128).all()
    left, top, right, bottom = (round(min(max(s, 0), 1) * n) for s, n in zip(place, (319, 239, 319, 239), strict=True))
    assert (shown[bottom, left : right + 1] == (255, 0, 0)).all()
    assert (shown[top : bottom + 1, right] == (255, 0, 0)).mean() > 0.4
    dark = (shown == (20, 20, 20)).all(2)
    assert dark.sum() > 500  # background of the text
    assert (label_box(gray, place) != 128).any(2).sum() < 2 * (240 + 320) * 3


def test_long_labels_are_truncated():
    shown = label_box(np.full((60, 80, 3), 128, np.uint8), PLACE, ["carry/hold (an object) 0.51, listen to (a person)"])
    assert shown.shape == (60, 80, 3)
