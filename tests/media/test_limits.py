"""Files that are joined, truncated, absurd, or lead to other files."""

import shutil
import struct
import sys
import zlib

import av
import h5py
import numpy as np
import pytest
import rendered
import soundfile
import tiny

from slowfast_cli.data.audio_clips import DecodedSamples, SoundReader
from slowfast_cli.data.clips import Key
from slowfast_cli.data.video_clips import VideoReader
from slowfast_cli.media import audio, video
from slowfast_cli.media.audio_source import SilentError
from slowfast_cli.media.image_folder import decode_image
from slowfast_cli.settings import Frames, FrontEnd
from slowfast_cli.types import BrokenMediaError, Recording, Segment

RATE = 16000
NOISE = np.random.default_rng(0).normal(0, 0.1, RATE * 3).astype(np.float32)


def recording(path, **more):
    return Recording(id="x", path=path, **more)


def write(path, samples=NOISE, rate=RATE, **more):
    soundfile.write(path, samples, rate, **more)
    return path


def refused(use):
    with pytest.raises(BrokenMediaError) as error:
        use()
    return str(error.value)


def cut(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


def encoded(path, *, seconds=4):
    sound = np.tile(NOISE, 2)[: seconds * RATE]
    pictures = (rendered.picture_of(number) for number in range(seconds * 30))
    return rendered.write(
        path, pictures, sound=sound, container={} if path.suffix == ".mkv" else {"movflags": "faststart"}
    )


@pytest.fixture(autouse=True)
def _clear_caches():
    yield
    video._info.cache_clear()
    video.probe.cache_clear()
    audio._count_seconds.cache_clear()


# Several streams in a row


def assert_heard(path, seconds, capfd):
    whole = audio.read(recording(path), rate=RATE)
    assert len(whole) / RATE == pytest.approx(seconds, abs=0.2)
    assert audio.probe(recording(path)).seconds == pytest.approx(seconds, abs=0.2)
    assert np.array_equal(np.concatenate(list(audio.blocks(recording(path), rate=RATE))), whole)
    assert np.abs(whole[-RATE // 2 :]).max() > 0.1
    piece = audio.read(recording(path), rate=RATE, first=len(whole) - RATE, count=RATE)
    assert np.allclose(piece, whole[-RATE:], atol=1e-4)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_chained_ogg_is_heard_to_its_end(tmp_path, subtype, capfd):
    one = write(tmp_path / "1.ogg", format="OGG", subtype=subtype).read_bytes()
    two = write(tmp_path / "2.ogg", NOISE[:RATE], format="OGG", subtype=subtype).read_bytes()
    for parts, seconds in (((one, two), 4), ((one, one), 6), ((two, one, two), 5)):
        path = tmp_path / f"{seconds}.ogg"
        path.write_bytes(b"".join(parts))
        assert_heard(path, seconds, capfd)
        assert audio.probe(recording(path)).seconds == seconds


def test_joined_mp3_is_heard_to_its_end(tmp_path, capfd):
    one, two = (write(tmp_path / f"{n}.mp3", NOISE[: n * RATE]).read_bytes() for n in (2, 3))
    tag = b"ID3\x03\0\0\0\0\x0f\x00" + b"\0" * 1920
    for number, (parts, seconds) in enumerate((((one, two), 5), ((two, tag, one), 5), ((tag, one, one), 4))):
        path = tmp_path / f"joined{number}.mp3"
        path.write_bytes(b"".join(parts))
        assert_heard(path, seconds, capfd)


def test_a_whole_mp3_is_read_by_libsndfile(tmp_path):
    one = write(tmp_path / "1.mp3").read_bytes()
    for tail in (b"", b"TAG" + b"\0" * 125):
        (tmp_path / "x.mp3").write_bytes(one + tail)
        assert audio.probe(recording(tmp_path / "x.mp3")).backend == "soundfile"


def test_damaged_mp3_prints_nothing(tmp_path, capfd):
    content = bytearray(write(tmp_path / "x.mp3").read_bytes())
    random = np.random.default_rng(0)
    for place in random.integers(500, len(content), 300):
        content[place] = random.integers(256)
    (tmp_path / "x.mp3").write_bytes(content)
    good = bytearray(write(tmp_path / "good.mp3").read_bytes())
    for place in range(1000, len(good), 97):
        good[place] ^= 0x10 if good[place] != 0xFF and good[place - 1] != 0xFF else 0
    (tmp_path / "frames.mp3").write_bytes(good)
    for name in ("x.mp3", "frames.mp3"):
        assert len(audio.read(recording(tmp_path / name), rate=RATE))
    print("still here", file=sys.stderr)
    assert capfd.readouterr().err == "still here\n"


# Truncated files


@pytest.mark.parametrize("name", ["x.flac", "x.wav", "x.aiff", "x.mp3", "x.m4a", "x.mp4", "x.mkv"])
def test_truncated_files_are_left_out_of_training(tmp_path, name, capfd):
    path = tmp_path / name
    write(path, np.tile(NOISE, 2)) if path.suffix not in (".m4a", ".mp4", ".mkv") else encoded(path, seconds=6)
    reader = SoundReader(store=DecodedSamples(FrontEnd(rate=RATE)), seconds=1.0, views=1)
    reader.read(Segment(id="a", recording=recording(path)), Key(0, 0, 0))
    assert not audio.truncation(recording(path))
    path = cut(path, 0.6).rename(tmp_path / f"cut-{name}")
    for use in (
        lambda: list(audio.blocks(recording(path), rate=RATE, whole=True)),
        lambda: reader.read(Segment(id="a", recording=recording(path)), Key(0, 0, 0)),
    ):
        assert f"{path}: truncated: " in refused(use)
    probe = audio.probe(recording(path))
    assert "of 6." in probe.truncated or "of 5.9" in probe.truncated
    whole = audio.read(recording(path), rate=RATE)
    assert 2 < probe.seconds < 5
    assert len(whole) / RATE == pytest.approx(probe.seconds, abs=0.1)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_the_frames_of_a_truncated_video_are_left_out_of_training(tmp_path, suffix):
    path = cut(encoded(tmp_path / f"x.{suffix}"), 0.6)
    settings = Frames(frames=4, step=4, rows=128, crop=32, jitter=(32, 32), side=32)
    segment = Segment(id="a", recording=recording(path))
    assert "truncated: it contains" in refused(
        lambda: VideoReader(settings=settings, views=1).read(segment, Key(0, 0, 0))
    )
    assert VideoReader(settings=settings, views=1, partial=True).read(segment, Key(0, 0, 0)).inputs.frames is not None


def test_a_truncated_flac_keeps_its_tail(tmp_path):
    long = np.tile(NOISE, 5)
    path = cut(write(tmp_path / "x.flac", long), 0.5)
    decoded = audio.read(recording(path), rate=RATE)
    assert len(decoded) > 0.45 * len(long)
    assert np.allclose(decoded, long[: len(decoded)], atol=1e-4)
    late = audio.read(recording(path), rate=RATE, first=len(decoded) - 3000, count=9000)
    assert np.array_equal(late, decoded[-3000:])


@pytest.mark.parametrize(
    "size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x7FFFFFFF - 36, 0x7FFFF000, 0x40000000 + 44, 2_000_000_000]
)
def test_placeholder_sizes_of_wav_are_no_truncation(tmp_path, size):
    content = bytearray(write(tmp_path / "x.wav").read_bytes())
    for offset, value in ((4, size), (40, max(size - 36, 0) if 36 < size < 0xFFFFFFFF else size)):
        content[offset : offset + 4] = struct.pack("<I", value)
    (tmp_path / "x.wav").write_bytes(content)
    assert len(np.concatenate(list(audio.blocks(recording(tmp_path / "x.wav"), rate=RATE, whole=True)))) == len(NOISE)
    probe = audio.probe(recording(tmp_path / "x.wav"))
    assert (probe.seconds, probe.truncated) == (pytest.approx(3, abs=0.01), "")


# Samples that are no sound


def test_channels_that_cancel_out_are_not_called_zero(tmp_path):
    path = write(tmp_path / "x.wav", np.stack([NOISE, -NOISE], 1))
    with pytest.raises(SilentError, match="channels cancel out"):
        list(audio.blocks(recording(path), rate=RATE, whole=True))
    write(path, np.zeros((RATE, 2)))
    with pytest.raises(SilentError, match="all samples are 0"):
        list(audio.blocks(recording(path), rate=RATE, whole=True))
    write(path, np.stack([NOISE, -0.9 * NOISE], 1))
    assert list(audio.blocks(recording(path), rate=RATE, whole=True))


def test_float_samples_at_the_scale_of_integers(tmp_path):
    path = write(tmp_path / "x.wav", NOISE * 32768, subtype="FLOAT")
    assert "divide the samples by 32768" in refused(lambda: audio.read(recording(path), rate=RATE))
    write(path, NOISE * 20, subtype="FLOAT")
    assert len(audio.read(recording(path), rate=RATE))


# Headers that state too much


def with_header(path, *, rate=RATE, channels=1):
    content = bytearray(write(path).read_bytes())
    content[22:28] = struct.pack("<HI", channels, rate)
    content[28:34] = struct.pack("<IH", min(rate * 2 * channels, 1 << 31), 2 * channels)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("change", "words"), [({"rate": 1}, "1 Hz"), ({"rate": 10_000_000}, "10000000 Hz")])
def test_absurd_rates(tmp_path, change, words):
    assert words in refused(lambda: audio.read(recording(with_header(tmp_path / "x.wav", **change)), rate=RATE))


def test_absurd_channels(tmp_path):
    path = with_header(tmp_path / "x.wav", channels=1000)
    assert "1000 channels, expected 1 to 255" in refused(lambda: audio.probe(recording(path)))


def test_reading_everything_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "MAX_SAMPLES", RATE)
    assert "read it in parts" in refused(lambda: audio.read(recording(write(tmp_path / "x.wav")), rate=RATE))
    assert len(audio.read(recording(tmp_path / "x.wav"), rate=RATE, count=2 * RATE)) == 2 * RATE


def huge_png(path, side):
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1 << 16))), (b"IEND", b""))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(x)) + k + x + struct.pack(">I", zlib.crc32(k + x)) for k, x in chunks)
    )
    return path


def test_huge_pictures(tmp_path):
    path = huge_png(tmp_path / "x.png", 16000)
    assert "more than 32 Mi pixels" in refused(lambda: decode_image(path))
    assert "16000 x 16000 pixels" in refused(lambda: video.probe(recording(path)))


def test_huge_clips(tmp_path):
    path = encoded(tmp_path / "x.mp4", seconds=1)
    assert "exceed 2 GiB" in refused(lambda: video.read(recording(path), start=0, span=1, count=1_000_000))


# Other files


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nrain.wav\n#EXT-X-ENDLIST\n"),
        ("x.wav", "ffconcat version 1.0\nfile rain.wav\n"),
        ("x.txt", "ffconcat version 1.0\nfile rain.wav\n"),
        ("x.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"),
        ("x.mpd", '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">\n</MPD>\n'),
        ("x.mp4", "#EXTM3U\nhttp://127.0.0.1:1/x.ts\n"),
    ],
)
def test_playlists_are_refused(tmp_path, name, text):
    shutil.copy(tiny.DATA / "rain.wav", tmp_path / "rain.wav")
    (tmp_path / name).write_text(text)
    for use in (audio.probe, video.probe):
        assert "a playlist" in refused(lambda use=use: use(recording(tmp_path / name)))


def test_samples_outside_of_an_hdf5_file(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(range(200)) * 100)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = NOISE
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["own"] = file["group/own"] = NOISE
        file.create_dataset("outside", (10000,), "i2", external=[(str(tmp_path / "secret"), 0, 20000)])
        file["link"] = h5py.ExternalLink("other.h5", "/a")
        file["linked_group"] = h5py.ExternalLink("other.h5", "/")
        file["soft"] = h5py.SoftLink("/own")
        layout = h5py.VirtualLayout((len(NOISE),), "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "a", (len(NOISE),))
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("bomb", (1 << 40,), "f4", chunks=(1 << 29,), compression="gzip")
        file.create_dataset("empty", (1 << 40,), "f4", chunks=(1 << 16,), compression="gzip")
    for name in ("own", "group/own", "/own"):
        assert len(audio.read(recording(tmp_path / "x.h5", dataset=name, rate=RATE), rate=RATE)) == len(NOISE)
    reasons = {"outside": "other files", "link": "a link", "linked_group/a": "a link", "soft": "a link"}
    reasons |= {"virtual": "other files", "bomb": "chunks of 2048 MiB", "empty": "stores none"}
    for name, reason in reasons.items():
        message = refused(lambda name=name: audio.probe(recording(tmp_path / "x.h5", dataset=name, rate=RATE)))
        assert f"'{name}'" in message
        assert reason in message


def test_a_name_that_is_a_pattern_opens_one_file(tmp_path):
    for number in range(3):
        frame = av.VideoFrame(16, 16, "rgb24")
        frame.to_image().save(tmp_path / f"{number:03d}.png")
    assert "No such file" in refused(lambda: video.probe(recording(tmp_path / "%03d.png")))


@pytest.mark.parametrize("form", ["WAV", "AIFF", "FLAC"])
def test_joined_files_of_several_formats_are_heard_whole(tmp_path, form):
    rng = np.random.default_rng(0)
    parts = [(0.1 * rng.standard_normal(count)).astype(np.float32) for count in (16001, 24000)]
    for number, part in enumerate(parts):
        soundfile.write(tmp_path / f"{number}", part, 16000, format=form)
    path = tmp_path / f"joined.{form.lower()}"
    path.write_bytes((tmp_path / "0").read_bytes() + (tmp_path / "1").read_bytes())
    recording = Recording(id="a", path=path)
    whole = audio.read(recording, rate=16000)
    np.testing.assert_allclose(whole, np.concatenate(parts), atol=1e-4)
    assert audio.probe(recording).seconds == pytest.approx(40001 / 16000)
    np.testing.assert_array_equal(audio.read(recording, rate=16000, first=15000, count=9000), whole[15000:24000])


@pytest.mark.parametrize("form", ["CAF", "AU"])
def test_joined_files_that_decoders_read_in_part_are_refused(tmp_path, form):
    one = write(tmp_path / f"1.{form.lower()}", format=form)
    path = tmp_path / f"joined.{form.lower()}"
    path.write_bytes(2 * one.read_bytes())
    message = f"another file was appended at byte {one.stat().st_size}"
    assert message in refused(lambda: audio.probe(recording(path)))
    assert audio.probe(recording(one)).seconds == 3


@pytest.mark.parametrize(
    ("suffix", "codec", "form"), [("wv", "wavpack", "wv"), ("wma", "wmav2", "asf"), ("mov", "pcm_s16le", "mov")]
)
def test_joined_files_that_ffmpeg_reads_in_part_are_refused(tmp_path, suffix, codec, form):
    path = tmp_path / f"1.{suffix}"
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=44100, layout="mono", bit_rate=64000)
        frame = av.AudioFrame.from_ndarray((NOISE[None, :44100] * 2**15).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate = 44100
        frames = av.AudioResampler(stream.format, "mono", 44100, stream.frame_size or None).resample(frame)
        container.mux([packet for piece in (*frames, None) for packet in stream.encode(piece)])
    one = path.read_bytes()
    one = one[20:] if suffix == "mov" else one  # older ones have no ftyp
    path.write_bytes(one)
    assert audio.probe(recording(path)).seconds == pytest.approx(1, abs=0.1)
    path.write_bytes(2 * one)
    assert f"another file was appended at byte {len(one)}" in refused(lambda: audio.probe(recording(path)))


@pytest.mark.parametrize("change", [{}, {"code": 0}, {"rate": 5}, {"channels": 1000}])
def test_samples_that_look_like_a_header_do_not_join_files(tmp_path, change):
    content = bytearray(write(tmp_path / "x.au", format="AU").read_bytes())
    header = {"size": 1, "code": 3, "rate": 16000, "channels": 1, **change}
    content[5000:5024] = content[:8] + struct.pack(">4I", *header.values())
    (tmp_path / "x.au").write_bytes(content)
    if not change:
        assert "appended at byte 5000" in refused(lambda: audio.probe(recording(tmp_path / "x.au")))
    else:
        assert audio.probe(recording(tmp_path / "x.au")).seconds == 3


def test_joined_mp4_files_are_refused(tmp_path):
    one = (tiny.DATA / "clock.mp4").read_bytes()
    path = tmp_path / "joined.mp4"
    path.write_bytes(2 * one)
    message = f"another file was appended at byte {len(one)}, which decoders do not read: split it there"
    for use in (audio.probe, video.probe):
        assert message in refused(lambda use=use: use(recording(path)))
