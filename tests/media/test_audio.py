"""Audio reading: slices equal the whole file for every container; damaged files."""

import os
import shutil
from pathlib import Path

import av
import h5py
import numpy as np
import pytest
import soundfile

from slowfast_cli.media import audio
from slowfast_cli.media.audio_source import NoAudioError
from slowfast_cli.types import DataError, Recording

SOUNDS = Path(__file__).parents[1] / "assets"
FILES = ("dog.ogg", "rain.wav", "rooster.flac", "sneeze.mp3", "clock.mp4", "helicopter.mkv")


def recording(path):
    return Recording(id="x", path=Path(path))


def read_or_reason(path):
    """Read a file that may be broken; return its samples, or the message of the `DataError`."""
    try:
        return audio.read(recording(path), rate=16000), ""
    except DataError as error:
        return None, str(error)


def encode(path, samples, codec, *, rate=44100, form=None, layout="stereo", options=None):
    """Write samples (channels, N) at 44100 Hz into a container with PyAV."""
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout, options=options or {})
        context = stream.codec_context
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = 44100, 0
        resampler = av.AudioResampler(context.format, layout, rate, frame_size=context.frame_size or 1024)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def stereo():
    """12 s of recorded stereo audio at 44100 Hz."""
    dog, rate = soundfile.read(SOUNDS / "dog.ogg", dtype="float32")
    rooster, _ = soundfile.read(SOUNDS / "rooster.flac", dtype="float32")
    assert rate == 44100
    one = np.concatenate([dog, rooster, dog])[: 12 * rate]
    return np.stack([one, 0.5 * one[::-1]])


def slices_agree(path, rate, tolerance=1e-5):
    whole = audio.read(recording(path), rate=rate)
    assert whole.dtype == np.float32
    assert whole.ndim == 1
    assert np.abs(whole).max() > 0.01
    joined = np.concatenate(list(audio.blocks(recording(path), rate=rate, seconds=0.7)))
    assert np.array_equal(joined, whole)
    size = len(whole)
    starts = [(0, 100), (7, 999), (rate // 3, rate), (int(2.2 * rate) + 1, rate // 2), (int(0.8 * size), 1234)]
    for first, count in [*starts, (size - 40, 500), (size - 1, 5), (size + 100, 10), (int(0.6 * size), None), (3, 0)]:
        slice_ = audio.read(recording(path), rate=rate, first=first, count=count)
        expected = whole[first:] if count is None else whole[first : first + count]
        assert slice_.shape == expected.shape, (first, count)
        assert np.allclose(slice_, expected, atol=tolerance), (first, count)


@pytest.mark.parametrize("rate", [16000, 24000])
@pytest.mark.parametrize("name", FILES)
def test_slices_of_real_files(name, rate):
    slices_agree(SOUNDS / name, rate)


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "aac", {"aac_pns": "0"}),
        ("a.m4a", "alac", {}),
        ("b.mp4", "libmp3lame", {}),
        ("c.mp4", "ac3", {}),
        ("a.mov", "pcm_s24le", {}),
        ("a.mkv", "aac", {"aac_pns": "0"}),
        ("b.mkv", "libmp3lame", {}),
        ("c.mkv", "flac", {}),
        ("d.mkv", "pcm_s16le", {}),
        ("a.avi", "pcm_s16le", {}),
        ("b.avi", "libmp3lame", {}),
        ("a.aac", "aac", {"aac_pns": "0"}),
        ("a.ts", "aac", {"aac_pns": "0"}),
        ("a.wav", "pcm_u8", {}),
        ("b.wav", "adpcm_ms", {}),
    ],
)
def test_slices_of_every_container(tmp_path, stereo, name, codec, options):
    encode(tmp_path / name, stereo, codec, options=options)
    # AC-3 decoders add random dither, which differs after a seek.
    slices_agree(tmp_path / name, 16000, 5e-3 if codec == "ac3" else 1e-5)


@pytest.mark.parametrize("name", ["a.webm", "a.opus", "d.mp4"])
def test_slices_of_opus(tmp_path, stereo, name):
    encode(tmp_path / name, stereo, "libopus", rate=48000, form="ogg" if name.endswith("opus") else None)
    slices_agree(tmp_path / name, 16000, 1e-4)


def test_slices_of_aac_with_noise_substitution(tmp_path, stereo):
    encode(tmp_path / "a.mp4", stereo, "aac")
    slices_agree(tmp_path / "a.mp4", 16000, 2e-2)


def test_lossless_round_trip(tmp_path, stereo):
    soundfile.write(tmp_path / "a.wav", stereo.T, 44100, subtype="FLOAT")
    decoded = audio.read(recording(tmp_path / "a.wav"), rate=44100)
    assert np.allclose(decoded, stereo.mean(axis=0), atol=1e-7)
    encode(tmp_path / "a.mkv", stereo, "pcm_s16le")
    decoded = audio.read(recording(tmp_path / "a.mkv"), rate=44100)
    assert np.allclose(decoded, stereo.mean(axis=0), atol=5e-5)


@pytest.mark.parametrize("native", [8000, 11025, 22255, 44100, 48000, 192000])
@pytest.mark.parametrize("rate", [16000, 24000])
def test_a_tone_keeps_its_pitch_phase_and_level(tmp_path, native, rate):
    time = np.arange(native * 2) / native
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 997 * time), native, subtype="FLOAT")
    decoded = audio.read(recording(tmp_path / "a.wav"), rate=rate)
    assert len(decoded) == 2 * rate
    expected = 0.5 * np.sin(2 * np.pi * 997 * np.arange(2 * rate) / rate)
    assert np.abs(decoded - expected)[200:-200].max() < 2e-3
    slices_agree(tmp_path / "a.wav", rate)


@pytest.mark.parametrize("kind", ["int16", "float32", "uint8"])
def test_hdf5_samples(tmp_path, kind):
    tone = 0.5 * np.sin(np.arange(24000 * 3) * 0.1)
    packed = {"int16": tone * 32768, "float32": tone, "uint8": tone * 128 + 128}[kind]
    with h5py.File(tmp_path / "EPIC_audio.hdf5", "w") as file:
        file["P01_01"] = packed.astype(kind)
        file["P01_02"] = np.zeros((2, 2))
    packed = Recording(id="P01_01", path=tmp_path / "EPIC_audio.hdf5", dataset="P01_01", rate=24000)
    assert np.allclose(audio.read(packed, rate=24000, first=1000, count=500), tone[1000:1500], atol=1e-2)
    assert audio.probe(packed).seconds == 3
    whole = audio.read(packed, rate=16000)
    assert np.allclose(audio.read(packed, rate=16000, first=30001, count=99), whole[30001:30100], atol=1e-5)
    for wrong in ("P01_02", "P09_09"):
        with pytest.raises(DataError, match=wrong):
            audio.read(Recording(id="x", path=packed.path, dataset=wrong, rate=24000), rate=24000)


def test_probe():
    probes = {name: audio.probe(recording(SOUNDS / name)) for name in FILES}
    assert probes["rain.wav"] == audio.Probe(seconds=5.0, rate=16000, channels=1, backend="soundfile")
    assert probes["clock.mp4"].backend == "pyav"
    assert probes["clock.mp4"].channels == 2
    for name in FILES:
        whole = audio.read(recording(SOUNDS / name), rate=16000)
        assert probes[name].seconds == pytest.approx(len(whole) / 16000, abs=0.05)


def test_wrong_suffix(tmp_path):
    for name, other in (("clock.mp4", "a.wav"), ("rain.wav", "a.mp4"), ("sneeze.mp3", "a.ogg"), ("dog.ogg", "a.raw")):
        shutil.copyfile(SOUNDS / name, tmp_path / other)
        same = audio.read(recording(SOUNDS / name), rate=16000)
        assert np.array_equal(audio.read(recording(tmp_path / other), rate=16000), same)


@pytest.mark.parametrize("name", [b"\xff\xe9t\xe9", b"-dash", b"con:cat|a,b", b"%03d", b" blank ", "音".encode()])
@pytest.mark.parametrize("file", ["rain.wav", "clock.mp4"])
def test_unusual_file_names(tmp_path, name, file):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name + Path(file).suffix.encode()))
    shutil.copyfile(SOUNDS / file, path)
    assert np.array_equal(audio.read(recording(path), rate=16000), audio.read(recording(SOUNDS / file), rate=16000))
    slices_agree(path, 16000)
    path.write_bytes(b"no sound at all" * 99)
    with pytest.raises(DataError) as error:
        audio.read(recording(path), rate=16000)
    str(error.value).encode()


def test_one_sample_eight_channels_and_192_khz(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array([0.25]), 44100, subtype="FLOAT")
    assert len(audio.read(recording(path), rate=16000)) == 1
    assert audio.read(recording(path), rate=44100) == np.float32(0.25)
    channels = np.stack([np.full(96000, (n + 1) / 16) for n in range(8)], 1)
    soundfile.write(path, channels, 192000, subtype="FLOAT")
    decoded = audio.read(recording(path), rate=16000)
    assert len(decoded) == 8000
    assert np.allclose(decoded[100:-100], channels.mean(), atol=1e-3)
    assert audio.probe(recording(path)).channels == 8


def test_a_video_without_audio_raises(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), index * 9, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(NoAudioError, match=r"a\.mp4: no audio stream"):
        audio.read(recording(tmp_path / "a.mp4"), rate=16000)


def test_errors_name_path_and_reason(tmp_path):
    empty, text, folder = tmp_path / "empty.wav", tmp_path / "text.mp3", tmp_path / "folder.wav"
    empty.touch()
    text.write_text("<html>404</html>" * 50)
    folder.mkdir()
    reasons = {empty: "empty", text: "not a media file", folder: "folder", tmp_path / "gone.wav": "No such file"}
    for path, reason in reasons.items():
        for use in (audio.probe, lambda x: audio.read(x, rate=16000), lambda x: list(audio.blocks(x, rate=16000))):
            with pytest.raises(DataError, match=rf"{path.name}: .*{reason}"):
                use(recording(path))


def test_nan_and_infinite_samples_are_refused(tmp_path):
    for bad in (np.nan, np.inf):
        samples = np.zeros(16000, np.float32)
        samples[9000] = bad
        soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
        with pytest.raises(DataError, match="NaN or infinite"):
            audio.read(recording(tmp_path / "a.wav"), rate=24000)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.002, 0.3, 0.7, 0.97])
def test_truncated_files_are_read_partially_or_raise(tmp_path, name, share):
    path = tmp_path / name
    path.write_bytes((SOUNDS / name).read_bytes()[: max(1, int(share * (SOUNDS / name).stat().st_size))])
    whole = audio.read(recording(SOUNDS / name), rate=16000)
    decoded, reason = read_or_reason(path)
    if decoded is None:
        assert name in reason
    else:
        assert 0 < len(decoded) <= len(whole)
        assert np.allclose(decoded[:-3000], whole[: len(decoded)][:-3000], atol=1e-5)


def test_truncated_files_are_detected(tmp_path):
    for name in ("rain.wav", "rooster.flac"):
        assert list(audio.blocks(recording(SOUNDS / name), rate=16000, whole=True))
        (tmp_path / name).write_bytes((SOUNDS / name).read_bytes()[:50000])
        assert list(audio.blocks(recording(tmp_path / name), rate=16000))
        with pytest.raises(DataError, match="truncated"):
            list(audio.blocks(recording(tmp_path / name), rate=16000, whole=True))
    for name in FILES:
        assert list(audio.blocks(recording(SOUNDS / name), rate=16000, whole=True))


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_raise_only_data_errors(tmp_path, name):
    good = np.frombuffer((SOUNDS / name).read_bytes(), np.uint8)
    random = np.random.default_rng(0)
    for _ in range(6):
        bad = good.copy()
        places = random.integers(0, len(bad), 40)
        bad[places] = random.integers(0, 256, 40)
        (tmp_path / name).write_bytes(bad.tobytes())
        decoded, reason = read_or_reason(tmp_path / name)
        assert name in reason if decoded is None else np.isfinite(decoded).all()


def test_long_recordings_stream_in_blocks(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.tile(np.float32([0.1, -0.1]), 8000 * 150), 16000)
    sizes = [len(block) for block in audio.blocks(recording(tmp_path / "a.wav"), rate=24000)]
    assert sizes == [60 * 24000, 60 * 24000, 30 * 24000]
