"""Complete files pass in every container; truncated and damaged files are detected."""

import resource

import numpy as np
import pytest
import rendered

from slowfast_cli.media import video
from slowfast_cli.media.video_check import decode_all, has_frames
from slowfast_cli.types import BrokenMediaError, Recording

FILES = {
    "mp4": {"container": {"movflags": "faststart"}},
    "mov": {"container": {"movflags": "faststart"}},
    "mkv": {},
    "webm": {"codec": "libvpx-vp9"},
    "avi": {"codec": "mpeg4"},
    "flv": {},
    "ts": {},
    "mpg": {"codec": "mpeg2video"},
    "wmv": {"codec": "mpeg4"},
}
WITHOUT_LENGTH = {"ts", "mpg", "wmv"}


@pytest.fixture(autouse=True)
def _clear_caches():
    yield
    video._info.cache_clear()
    video.probe.cache_clear()


def recording(path, **more):
    return Recording(id="x", path=path, **more)


@pytest.mark.parametrize("suffix", FILES)
def test_complete_and_truncated_files(suffix, tmp_path):
    path = rendered.numbered(tmp_path / f"x.{suffix}", frames=120, **FILES[suffix])
    # MPEG-PS has no timestamps for some frames.
    assert decode_all(recording(path)) == pytest.approx(4, abs=0.3 if suffix == "mpg" else 0.1)
    video._info.cache_clear()
    video.probe.cache_clear()
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    if suffix in WITHOUT_LENGTH:
        assert 1 < decode_all(recording(path)) < 3.5
    else:
        with pytest.raises(BrokenMediaError, match=rf"x\.{suffix}: truncated: .* the header states 4\.\d+ s"):
            decode_all(recording(path))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_longer_audio_is_not_truncation(suffix, tmp_path):
    path = tmp_path / f"x.{suffix}"
    pictures = (rendered.picture_of(index) for index in range(60))
    rendered.write(path, pictures, sound=rendered.tone(4, 300), codec=FILES[suffix].get("codec", "libx264"))
    assert decode_all(recording(path)) == pytest.approx(2, abs=0.1)
    if suffix == "mkv":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(BrokenMediaError, match="truncated"):
            decode_all(recording(path))


@pytest.mark.parametrize("times", [[0, 0.1, 1.0, 1.05, 3.0], [index / 30 + (index % 3) / 200 for index in range(60)]])
def test_a_variable_rate_is_not_truncation(times, tmp_path):
    path = rendered.numbered(tmp_path / "x.mp4", frames=len(times), times=times)
    assert times[-1] <= decode_all(recording(path)) < times[-1] + 0.1


def test_a_broken_image_is_named(tmp_path):
    folder = rendered.folder(tmp_path / "x", fps=10, frames=30)
    assert decode_all(recording(folder, fps=10.0)) == 3
    (folder / "frame_000017.png").write_bytes(b"")
    with pytest.raises(BrokenMediaError, match="frame_000017"):
        decode_all(recording(folder, fps=10.0))


def test_damaged_packets_are_detected(tmp_path):
    path = rendered.numbered(tmp_path / "x.mp4", frames=120, gop=1, size=(192, 128))
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + len(data) // 3
    data[start : start + len(data) // 3] = np.random.default_rng(0).bytes(len(data) // 3)
    path.write_bytes(data)
    video.read(recording(path), start=0, span=0.1, count=2)
    with pytest.raises(BrokenMediaError, match="do not decode"):
        decode_all(recording(path))


def test_has_frames(tmp_path):
    folder = rendered.folder(tmp_path / "x", frames=1)
    file = rendered.numbered(tmp_path / "x.mp4", frames=5)
    (tmp_path / "no.mp4").write_bytes(b"nothing" * 50)
    assert [has_frames(recording(path)) for path in (folder, file, tmp_path / "no.mp4")] == [True, True, False]


def test_memory_is_constant(tmp_path):
    path = rendered.numbered(tmp_path / "x.mp4", frames=60, size=(640, 480))
    decode_all(recording(path))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    long = rendered.numbered(tmp_path / "long.mp4", frames=400, size=(640, 480))  # 369 MB as RGB
    mid = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert decode_all(recording(long)) == pytest.approx(400 / 30, abs=0.1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - max(before, mid) < 60 * 1024
