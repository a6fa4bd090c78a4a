"""Colors, orientation and scaling of video frames; image folders; broken files."""

import errno
import os
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import rendered
from boxes import turn_picture

from slowfast_cli.media import video, video_probe
from slowfast_cli.media.video_rgb import fit_short_side
from slowfast_cli.types import BrokenMediaError, Recording

DATA = Path(__file__).parents[1] / "assets"
VIDEOS = DATA / "video"


def recording(path, **more):
    return Recording(id="x", path=Path(path), **more)


def first(path, **more):
    return video.read(recording(path), start=0, span=0, count=1, **more).pixels[0]


def broken(path, *, start=0.0, **more):
    """Return the message of the `BrokenMediaError`."""
    with pytest.raises(BrokenMediaError) as error:
        video.read(recording(path, **more), start=start, span=0.2, count=3)
    return str(error.value)


@pytest.fixture(autouse=True)
def _clear_caches():
    """Clear the caches: tests use the same file names for different files."""
    yield
    video._info.cache_clear()
    video.probe.cache_clear()


# Colors


def planes_to_rgb(frame):
    """Convert decoded planes to RGB by the formulas of ITU-R BT.601 and BT.709."""
    bits = 10 if "10le" in frame.format.name else 8
    kind = np.uint16 if bits == 10 else np.uint8
    y, u, v = (np.frombuffer(bytes(plane), kind).reshape(plane.height, -1)[:, : plane.width] for plane in frame.planes)
    y, u, v = (
        plane.astype(float) / (1 << (bits - 8))
        for plane in (y, u.repeat(2, 0).repeat(2, 1), v.repeat(2, 0).repeat(2, 1))
    )
    full = frame.color_range == 2
    y, u, v = (
        (y / 255, (u - 128) / 255, (v - 128) / 255) if full else ((y - 16) / 219, (u - 128) / 224, (v - 128) / 224)
    )
    red, blue = (0.2126, 0.0722) if frame.colorspace == 1 else (0.299, 0.114)
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    return np.clip(np.stack([r, (y - red * r - blue * b) / (1 - red - blue), b], -1) * 255, 0, 255)


def patches(pixels, size=8):
    """Average over squares, because chroma upsampling differs within them."""
    height, width = (side // size * size for side in pixels.shape[:2])
    return pixels[:height, :width].astype(float).reshape(height // size, size, width // size, size, 3).mean((1, 3))


@pytest.mark.parametrize("name", sorted(path.name for path in VIDEOS.iterdir() if path.suffix in (".mp4", ".mkv")))
def test_colors_of_real_files(name):
    with av.open(str(VIDEOS / name)) as container:
        frame = next(container.decode(container.streams.best("video")))
        expected = planes_to_rgb(frame)
    off = np.abs(patches(first(VIDEOS / name)) - patches(expected))
    flat = (patches(expected**2) - patches(expected) ** 2).max(-1) < 9  # chroma is blurred at edges
    assert flat.mean() > 0.1
    assert np.quantile(off[flat], 0.9) < 3
    assert np.median(off) < 1.2


def test_another_space_or_range_changes_the_colors():
    with av.open(str(VIDEOS / "bt709_full_range.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_range) == (1, 2)
        frame.colorspace, frame.color_range = 5, 1
        off = patches(first(VIDEOS / "bt709_full_range.mp4")) - patches(planes_to_rgb(frame))
    assert np.abs(off).mean() > 5


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
def test_colors_survive_encoding(codec, tmp_path):
    colors = [(230, 40, 30), (30, 200, 60), (40, 60, 220), (128, 128, 128), (250, 250, 250), (5, 5, 5)]
    starts = rendered.bars(tmp_path / "x.mp4", colors, each=0.2, codec=codec)
    for color, start in zip(colors, starts, strict=True):
        pixels = video.read(recording(tmp_path / "x.mp4"), start=start, span=0.1, count=2).pixels
        assert np.abs(pixels.astype(float) - color).max() < 8


@pytest.mark.parametrize("space", [0, 3, 8])
def test_unspecified_color_spaces_are_bt601(space, tmp_path):
    path = rendered.numbered(tmp_path / "x.mp4", frames=2)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        expected = video.Converter(96, 64).rgb(frame)
        frame.colorspace = space
        assert np.array_equal(video.Converter(96, 64).rgb(frame), expected)


# Orientation and scaling

ORIENTATIONS = {  # a, b, c, d of the display matrix, and its effect
    "upright": ((1, 0, 0, 1), lambda pixels: pixels),
    "clockwise": ((0, 1, -1, 0), lambda pixels: np.rot90(pixels, -1)),
    "counterclockwise": ((0, -1, 1, 0), lambda pixels: np.rot90(pixels, 1)),
    "upside down": ((-1, 0, 0, -1), lambda pixels: np.rot90(pixels, 2)),
    "mirrored": ((-1, 0, 0, 1), lambda pixels: pixels[:, ::-1]),
    "transposed": ((0, 1, 1, 0), lambda pixels: pixels.transpose(1, 0, 2)),
}


@pytest.mark.parametrize("how", ORIENTATIONS)
@pytest.mark.parametrize("short_side", [None, 32])
def test_display_matrix(how, short_side, tmp_path):
    matrix, turned = ORIENTATIONS[how]
    path = rendered.numbered(tmp_path / "x.mp4", frames=3, first=0xBEEF)
    stored = first(path, short_side=short_side)
    turn_picture(path, *matrix)
    video._info.cache_clear()
    video.probe.cache_clear()
    shown = first(path, short_side=short_side)
    probe = video.probe(recording(path))
    assert np.array_equal(shown, turned(stored))
    assert (probe.width, probe.height) == turned(np.zeros((64, 96, 3))).shape[1::-1]
    with av.open(str(path)) as container:  # compare with PyAV if the matrix is a rotation
        angle = next(container.decode(video=0)).rotation
    assert how not in ("clockwise", "counterclockwise", "upright") or np.array_equal(
        shown, np.rot90(stored, angle // 90)
    )


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((340, 256), 128, (170, 128)),
        ((256, 340), 128, (128, 170)),
        ((340, 256), 256, (340, 256)),
        ((340, 256), 512, (340, 256)),
        ((340, 256), None, (340, 256)),
        ((1920, 1080), 256, (455, 256)),
        ((100, 100), 33, (33, 33)),
    ],
)
def test_frames_are_only_scaled_down(size, short_side, expected, tmp_path):
    assert fit_short_side(*size, short_side) == expected
    if max(size) < 400:
        path = rendered.numbered(tmp_path / "x.mp4", frames=2, size=size, first=0x1234)
        pixels = first(path, short_side=short_side)
        assert pixels.shape == (expected[1], expected[0], 3)
        assert rendered.number_of(pixels) == 0x1234


def test_scaling_does_not_alias(tmp_path):
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    path = tmp_path / "x.mkv"
    rendered.write(path, [stripes] * 2, codec="ffv1", pix_fmt="yuv444p", gop=1)
    assert np.abs(first(path, short_side=60).astype(float) - 127).max() < 12


def test_frames_that_change_size_are_scaled_to_the_first(tmp_path):
    for index, size in enumerate(((96, 64), (192, 128))):
        rendered.numbered(tmp_path / f"{index}.ts", frames=20, first=20 * index, size=size)
    (tmp_path / "x.h264.ts").write_bytes(b"".join((tmp_path / f"{index}.ts").read_bytes() for index in (0, 1)))
    assert first(tmp_path / "x.h264.ts").shape == (64, 96, 3)


# Streams


def test_default_video_stream():
    assert video.probe(recording(VIDEOS / "nasa_13013.mp4")).width == 480


def test_cover_art_is_not_the_video(tmp_path):
    path = tmp_path / "x.mp4"
    with av.open(str(path), "w") as out:
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 640, 480, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        film = out.add_stream("libx264", rate=30, options={"x264-params": "threads=1"})
        film.width, film.height, film.pix_fmt = 96, 64, "yuv420p"
        out.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((480, 640, 3), np.uint8), format="rgb24")))
        out.mux(cover.encode(None))
        for index in range(10):
            frame = av.VideoFrame.from_ndarray(rendered.picture_of(index), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 30)
            out.mux(film.encode(frame))
        out.mux(film.encode(None))
    assert len(av.open(str(path)).streams.video) == 2
    assert first(path).shape == (64, 96, 3)


def test_audio_with_cover_art_has_no_video(tmp_path):
    path = tmp_path / "x.m4a"
    with av.open(str(path), "w", format="mp4") as out:
        cover = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        sound = out.add_stream("aac", rate=rendered.RATE, layout="mono")
        out.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        out.mux(cover.encode(None))
        rendered._encode_sound(out, sound, rendered.tone(1, 300), 0)
    assert "no video stream" in broken(path)


# Image folders


@pytest.mark.parametrize("name", ["frame_{:06d}.png", "img_{:05d}.jpg", "{}.JPG", "v-12 [%03d] #{}.jpeg"])
def test_image_folder(name, tmp_path):
    path = rendered.folder(tmp_path / "a [b]: #c", frames=25, name=name)
    (path / "notes.txt").write_text("no picture")
    probe = video.probe(recording(path, fps=10, sound=DATA / "rain.wav", sound_start=1.5))
    assert (probe.seconds, probe.fps, probe.frames, probe.width, probe.height) == (2.5, 10, 25, 96, 64)
    assert (probe.has_audio, probe.audio_start, probe.codec) == (True, -1.5, "images")
    for start, expected in {
        -0.2: [0, 0, 3],
        0: [0, 2, 5],
        0.3: [3, 5, 8],
        0.31: [4, 6, 9],
        2.2: [22, 24, 24],
        9: [24] * 3,
    }.items():
        clip = video.read(recording(path, fps=10), start=start, span=0.5, count=3)
        assert [rendered.number_of(pixels) for pixels in clip.pixels] == expected
        assert clip.times == pytest.approx([number / 10 for number in expected])
    assert not video.probe(recording(path, fps=5)).has_audio
    assert video.read(recording(path, fps=10), start=0, span=0, count=1, short_side=20).pixels.shape == (1, 20, 30, 3)


def test_numbered_images_are_stored_without_names(tmp_path):
    even = video.list_images(rendered.folder(tmp_path / "even", frames=12, name="{}.png", first=95))
    assert (even.names, even.path(0).name, even.path(11).name) == ((), "95.png", "106.png")
    (tmp_path / "even" / "101.png").unlink()
    odd = video.list_images.__wrapped__(tmp_path / "even")
    assert (odd.count, odd.path(5).name, odd.path(6).name) == (11, "100.png", "102.png")


def test_broken_images_are_named(tmp_path):
    path = rendered.folder(tmp_path / "x", frames=5, name="{:03d}.jpg")
    (path / "003.jpg").write_bytes(b"\xff\xd8 not a picture")
    assert "003.jpg" in broken(path, fps=10)
    (path / "003.jpg").write_bytes(b"")
    assert "003.jpg" in broken(path, fps=10)
    (path / "003.jpg").unlink()
    assert "003.jpg" in broken(path, fps=10)
    (tmp_path / "none").mkdir()
    assert "contains no images" in broken(tmp_path / "none", fps=10)
    assert "folder" in broken(path)


def test_a_png_with_suffix_jpg(tmp_path):
    path = rendered.folder(tmp_path / "x", frames=3)
    (path / "frame_000001.png").rename(path / "frame_000001.jpg")
    assert video.read(recording(path, fps=10), start=0, span=0.2, count=3).pixels.shape == (3, 64, 96, 3)


# Broken files


def test_errors_name_path_and_reason(tmp_path):
    shutil.copy(DATA / "rain.wav", tmp_path / "sound.mp4")
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "words.mp4").write_text("no video\n" * 100)
    (tmp_path / "words.txt").write_text("no video\n" * 100)
    (tmp_path / "noise.mkv").write_bytes(np.random.default_rng(0).bytes(20000))
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/x.ts\n")
    reasons = {
        "missing.mp4": "No such file",
        "empty.mp4": "empty file",
        "sound.mp4": "no video stream",
        "words.mp4": "not a media file",
        "words.txt": "",
        "noise.mkv": "not a media file",
        "list.m3u8": "playlist",
    }
    for name, reason in reasons.items():
        message = broken(tmp_path / name)
        assert str(tmp_path / name) in message
        assert reason in message


def test_truncated_mp4(tmp_path):
    path = rendered.numbered(
        tmp_path / "x.mp4", frames=300, gop=30, size=(192, 128), container={"movflags": "faststart"}
    )
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    probe = video.probe(recording(path))
    assert 3 < probe.seconds < 8
    assert [
        rendered.number_of(pixels) for pixels in video.read(recording(path), start=2, span=0.5, count=2).pixels
    ] == [60, 75]
    assert "truncated" in broken(path, start=9)
    path.write_bytes(data[: data.index(b"mdat") + 20])
    video._info.cache_clear()
    video.probe.cache_clear()
    assert "no frame decodes" in broken(path)
    plain = rendered.numbered(tmp_path / "y.mp4", frames=30)
    plain.write_bytes(plain.read_bytes()[:-200])
    assert "not a media file" in broken(plain)


@pytest.mark.parametrize("suffix", ["mkv", "ts", "avi"])
def test_truncated_files_without_a_leading_index(suffix, tmp_path):
    path = rendered.numbered(tmp_path / f"x.{suffix}", frames=300, gop=30)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 2 < video.probe(recording(path)).seconds < 8
    assert [
        rendered.number_of(pixels) for pixels in video.read(recording(path), start=2, span=0.5, count=2).pixels
    ] == [60, 75]
    clip = video.read(recording(path), start=20, span=1, count=2)
    assert clip.times[0] == clip.times[1] == pytest.approx(video.probe(recording(path)).seconds, abs=0.2)


def test_few_bad_packets_are_skipped_and_many_raise(tmp_path):
    path = rendered.numbered(tmp_path / "x.mp4", frames=90, gop=1, size=(192, 128))
    with av.open(str(path)) as container:
        spots = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for index in (40, 41):
        data[spots[index][0] : sum(spots[index])] = b"\xff" * spots[index][1]
    path.write_bytes(data)
    clip = video.read(recording(path), start=1, span=1, count=31)
    numbers = [rendered.number_of(pixels) for pixels in clip.pixels]
    assert numbers == [39 if number in (40, 41) else number for number in range(30, 61)]
    for index in range(35, 60):
        data[spots[index][0] : sum(spots[index])] = b"\xff" * spots[index][1]
    path.write_bytes(data)
    assert "do not decode as h264" in broken(path, start=1.2)


@pytest.mark.parametrize("name", ["a b [c]: #d%20.mp4", "%03d.mp4", "été ☃.mkv", "-i.mp4", "http:x.mp4"])
def test_unusual_file_names(name, tmp_path, monkeypatch):
    shutil.copy(rendered.numbered(tmp_path / "x.mp4", frames=3, first=7), tmp_path / name)
    assert rendered.number_of(first(tmp_path / name)) == 7
    monkeypatch.chdir(tmp_path)
    video._info.cache_clear()
    assert rendered.number_of(first(Path(name))) == 7


def test_file_names_that_are_not_utf_8(tmp_path):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4")
    shutil.copy(rendered.numbered(tmp_path / "x.mp4", frames=60, gop=10), name)
    assert [rendered.number_of(p) for p in video.read(recording(name), start=1.5, span=0.2, count=3).pixels] == [
        45,
        48,
        51,
    ]
    Path(name).write_bytes(b"nothing")
    video._info.cache_clear()
    video.probe.cache_clear()
    broken(name).encode()


@pytest.mark.parametrize("name", ["x.mkv", "x.webm", "x.ts", "x.avi", "x.mpg"])
def test_large_files_are_probed_without_counting_packets(name, tmp_path, monkeypatch):
    codec = {"x.webm": "libvpx-vp9", "x.mpg": "mpeg2video"}.get(name, "libx264")
    path = rendered.numbered(tmp_path / name, frames=150, codec=codec)
    small = video.probe(recording(path))
    monkeypatch.setattr(video_probe, "SMALL", 0)
    large = video_probe.video_info(path)
    assert large.seconds == pytest.approx(small.seconds, abs=0.04)
    assert large.fps == pytest.approx(small.fps, rel=0.01)
    assert large.frames == pytest.approx(150, abs=1)


def test_too_many_open_files_is_not_a_broken_file(tmp_path, monkeypatch):
    def full(*words, **options):
        raise OSError(errno.EMFILE, "Too many open files")

    path = rendered.numbered(tmp_path / "x.mp4", frames=3)
    monkeypatch.setattr(av, "open", full)
    with pytest.raises(OSError, match="Too many"):
        first(path)


def test_probe_is_cached(tmp_path):
    path = rendered.numbered(tmp_path / "x.mp4", frames=3)
    probe = video.probe(recording(path))
    path.unlink()
    assert video.probe(recording(path)) is probe
    assert video.probe.cache_info().maxsize == 1 << 16
