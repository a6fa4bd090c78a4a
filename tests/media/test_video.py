"""Video reading: exact frames for every container and codec, timestamps, and what is decoded."""

import json
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
import rendered
from boxes import hide_first
from hypothesis import given, settings
from hypothesis import strategies as st

from slowfast_cli.media import audio, video, video_packets, video_stream
from slowfast_cli.media.frame_selection import select_frames
from slowfast_cli.media.video_rgb import Converter
from slowfast_cli.types import Recording

TESTS = Path(__file__).parents[1]
VIDEOS = TESTS / "assets" / "video"
REAL = sorted(path.name for path in VIDEOS.iterdir() if path.suffix in (".mp4", ".mkv"))


def recording(path, **more):
    return Recording(id="x", path=Path(path), **more)


def numbers(path, **clip):
    return [rendered.number_of(pixels) for pixels in video.read(recording(path), **clip).pixels]


def on_screen(times, *, start, span, count, tolerance=1e-4):
    """Reference for `select_frames`: search all frames for the one displayed at each time."""
    begin = start
    if start > 0:
        begin = next((time for time in times if time >= start - tolerance), times[-1])
    moments = [begin + span * j / max(1, count - 1) for j in range(count)]
    return [max([i for i, time in enumerate(times) if time <= moment + tolerance], default=0) for moment in moments]


# Exact frames


@pytest.fixture(scope="module")
def decoded_once():
    """Presentation times, relative to the first frame, and downscaled pixels of all frames, by file."""
    by_file = {}
    for name in REAL:
        with av.open(str(VIDEOS / name)) as container:
            stream = container.streams.best("video")
            frames = [(frame.time, frame) for frame in container.decode(stream)]
            pixels = [
                frame.to_ndarray(format="rgb24", width=96, height=64, interpolation="AREA") for _, frame in frames
            ]
            by_file[name] = [time - frames[0][0] for time, _ in frames], np.stack(pixels)
    return by_file


@pytest.mark.parametrize("name", REAL)
def test_frames_of_real_files(name, decoded_once, monkeypatch):
    monkeypatch.setattr(video, "fit_short_side", lambda width, height, short_side: (96, 64))
    times, pixels = decoded_once[name]
    rng = np.random.default_rng(0)
    starts = [-0.3, 0.0, times[1], times[-1], times[-1] + 5, *rng.uniform(0, times[-1], 6), *rng.choice(times, 4)]
    for start, (span, count) in product(starts, ((0.0, 1), (0.7, 5), (64 / 30, 8))):
        clip = video.read(recording(VIDEOS / name), start=start, span=span, count=count)
        expected = on_screen(times, start=start, span=span, count=count)
        assert clip.times == pytest.approx([times[i] for i in expected], abs=1e-6), (start, span)
        assert np.array_equal(clip.pixels, pixels[expected]), (start, span)


def test_frames_of_real_files_differ(decoded_once):
    for name, (_, pixels) in decoded_once.items():
        differing = sum(not np.array_equal(one, other) for one, other in zip(pixels[1:], pixels[:-1], strict=True))
        assert differing > 0.6 * len(pixels), name


@pytest.mark.parametrize("name", rendered.CODECS)
def test_every_container_and_codec(name, tmp_path):
    options = {"frames": 100} | rendered.CODECS[name]
    path = rendered.numbered(tmp_path / name, **options)
    fps = options.get("fps", 30)
    times = (
        [time - options["times"][0] for time in options["times"]]
        if "times" in options
        else [i / fps for i in range(100)]
    )
    milliseconds = path.suffix in (".mkv", ".webm", ".flv")  # timestamps in milliseconds
    times = [round(time, 3) if milliseconds else time for time in times]
    assert video.probe(recording(path)).seconds == pytest.approx(times[-1] + 1 / 30, abs=0.1)
    assert video.probe(recording(path)).frames == pytest.approx(100, abs=1)
    for start, (span, count) in product((-0.25, 0.0, 0.51, 1.0, 2.0, 2.17, 3.1, 60.0), ((0.0, 1), (1.05, 7))):
        expected = on_screen(times, start=start, span=span, count=count, tolerance=0.00051 if milliseconds else 0.0001)
        assert numbers(path, start=start, span=span, count=count) == expected, (start, span)


CLIPS = json.loads((TESTS / "assets" / "reference" / "features" / "avslowfast_clips.json").read_text())


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "pictures"])
@pytest.mark.parametrize("case", CLIPS["cases"])
def test_frames_equal_those_of_avslowfast(case, suffix, tmp_path_factory):
    golden = CLIPS["cases"][case]
    fps, total = golden["video_fps"], golden["video_frames"]
    length = (
        CLIPS["settings"]["num_frames"] * CLIPS["settings"]["sampling_rate"] * fps / CLIPS["settings"]["target_fps"]
    )
    index, clips = golden["clip_index"], golden["clips"]
    start = max(0, total - length) * (golden["random_numbers"][0] if index < 0 else index / clips)
    path = tmp_path_factory.getbasetemp() / f"golden-{fps}-{total}.{suffix}"
    if not path.exists():
        (rendered.folder if suffix == "pictures" else rendered.numbered)(path, fps=fps, frames=total)
    clip = video.read(
        recording(path, fps=fps if suffix == "pictures" else None), start=start / fps, span=(length - 1) / fps, count=32
    )
    assert [rendered.number_of(pixels) for pixels in clip.pixels] == golden["frame_numbers"]


@settings(max_examples=300, deadline=None)
@given(
    steps=st.lists(st.integers(1, 5000), min_size=1, max_size=40),
    start=st.floats(-1, 5),
    span=st.floats(0, 4),
    count=st.integers(1, 12),
)
def test_select_frames_with_any_timestamps(steps, start, span, count):
    times = [float(time) for time in np.cumsum([0, *steps]) / 1000]
    taken = []
    frames = ((time, index) for index, time in enumerate(times) if not taken.append(index))
    picks = list(select_frames(frames, start=start, span=span, count=count))
    assert [index for _, index in picks] == on_screen(times, start=start, span=span, count=count)
    assert all(times[index] == time for time, index in picks)
    assert len(taken) <= max(index for _, index in picks) + 2  # consumes one frame after the last selected one


def test_select_frames_example():
    frames = [(0.0, "a"), (1.0, "b"), (2.0, "c"), (3.0, "d")]
    assert [name for _, name in select_frames(frames, start=0.5, span=2, count=3)] == ["b", "c", "d"]


# Decoded frames


@pytest.fixture
def decoded(monkeypatch):
    """List that records each decoded frame."""
    frames_decoded, decode = [], video_stream.VideoStream._decode_packet

    def counted(self, packet):
        frames = decode(self, packet)
        frames_decoded.extend(frames or ())
        return frames

    taken = video_packets._taken
    monkeypatch.setattr(video_stream.VideoStream, "_decode_packet", counted)
    monkeypatch.setattr(
        video_packets, "_taken", lambda frames, unseen: frames_decoded.extend(frames) or taken(frames, unseen)
    )
    return frames_decoded


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_decodes_from_the_keyframe_to_the_last_selected_frame(suffix, tmp_path, decoded):
    path = rendered.numbered(tmp_path / f"x.{suffix}", frames=300, gop=30)
    video.probe(recording(path))
    assert len(decoded) <= 3
    decoded.clear()
    assert numbers(path, start=200 / 30, span=10 / 30, count=3) == [200, 205, 210]
    assert len(decoded) <= 210 - 180 + 1 + 5  # the group of pictures, and the frames that the decoder buffers
    decoded.clear()
    assert numbers(path, start=0, span=0.1, count=2) == [0, 3]
    assert len(decoded) <= 3 + 1 + 5


def test_seeks_that_land_too_late(tmp_path, monkeypatch):
    path = rendered.numbered(tmp_path / "x.mp4", frames=200, gop=20)
    seek, landings = video_stream.VideoStream._seek_keyframe, []

    def late(self, tick, by=1.7):
        landings.append(tick)
        return seek(self, tick + round(by / self.tick))

    monkeypatch.setattr(video_stream.VideoStream, "_seek_keyframe", late)
    assert numbers(path, start=5, span=0.5, count=2) == [150, 165]
    assert len(landings) == 1 + 2 + 1  # by the probe; then 0, 1 and 4 s before the start
    monkeypatch.setattr(video_stream.VideoStream, "_seek_keyframe", lambda self, tick: late(self, tick, by=1e3))
    assert numbers(path, start=4, span=0.5, count=2) == [120, 135]


def test_a_repeated_frame_is_converted_once(tmp_path, monkeypatch):
    path = rendered.numbered(tmp_path / "x.mp4", frames=10)
    convert, converted = Converter.rgb, []
    monkeypatch.setattr(Converter, "rgb", lambda self, frame: converted.append(frame.pts) or convert(self, frame))
    assert numbers(path, start=-1, span=3, count=31) == [0] * 11 + [3, 6] + [9] * 18
    assert len(converted) == 4


def test_invalid_count_and_span(tmp_path):
    path = rendered.numbered(tmp_path / "x.mp4", frames=3)
    for wrong in ({"count": 0, "span": 1}, {"count": 2, "span": -1}):
        with pytest.raises(ValueError, match="count"):
            video.read(recording(path), start=0, **wrong)


# Timestamps


def test_edit_list(tmp_path):
    path = rendered.numbered(tmp_path / "x.mp4", frames=120, gop=30, tone_hz=300)
    hide_first(path, 50 / 30)
    probe = video.probe(recording(path))
    assert probe.seconds == pytest.approx(70 / 30, abs=0.01)
    assert probe.fps == pytest.approx(30)
    assert probe.frames == pytest.approx(70, abs=1)
    assert numbers(path, start=0, span=0.5, count=2) == [50, 65]
    assert numbers(path, start=1.5, span=0.5, count=2) == [95, 110]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "mov"])
@pytest.mark.parametrize(("sound_at", "first"), [(0.0, 0.0), (0.7, 0.0), (1.0, 1.4)])
def test_audio_start(suffix, sound_at, first, tmp_path):
    silence = np.zeros(rendered.RATE, np.float32)
    silence[rendered.RATE // 2 :] = rendered.tone(0.5, 1000)
    path = rendered.numbered(
        tmp_path / f"x.{suffix}",
        frames=40,
        times=[first + i / 30 for i in range(40)],
        sound=silence,
        sound_at=sound_at,
    )
    probe = video.probe(recording(path))
    samples = audio.read(recording(path), rate=rendered.RATE)
    onset = np.flatnonzero(np.abs(samples) > 0.1)[0] / rendered.RATE
    priming = 1024 / rendered.RATE if suffix in ("mp4", "ts") and first > sound_at else 0  # AAC
    assert probe.has_audio
    assert onset + probe.audio_start == pytest.approx(sound_at + 0.5 - min(sound_at - priming, first), abs=0.002)


def test_audio_start_of_a_separate_file(tmp_path):
    path = rendered.numbered(tmp_path / "x.mp4", frames=3)
    assert not video.probe(recording(path)).has_audio
    probe = video.probe(recording(path, sound=TESTS / "assets" / "rain.wav", sound_start=2.5))
    assert (probe.has_audio, probe.audio_start) == (True, -2.5)


@pytest.mark.parametrize("name", REAL)
def test_probe_agrees_with_the_decoded_file(name, decoded_once):
    times, _ = decoded_once[name]
    probe = video.probe(recording(VIDEOS / name))
    assert probe.frames == len(times)
    assert probe.fps == pytest.approx(1 / np.diff(times).mean(), rel=1e-3)
    assert probe.seconds == pytest.approx(times[-1] + 1 / probe.fps, abs=1e-6)
    assert probe.has_audio == (name == "nasa_13013.mp4")
    assert probe.codec == {"av1_video.mkv": "libdav1d", "h265_video.mp4": "hevc"}.get(name, "h264")


@pytest.fixture(autouse=True)
def _clear_caches():
    """Clear the caches: tests use the same file names for different files."""
    yield
    video._info.cache_clear()
    video.probe.cache_clear()
