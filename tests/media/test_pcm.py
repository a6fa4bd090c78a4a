"""Raw samples from a pipe: every format, blocks that cut samples, and what is no raw sound."""

import io
import os

import numpy as np
import pytest
import tiny

from slowfast_cli.media import audio
from slowfast_cli.media.pcm import DTYPES, STDIN, open_pcm, read_format
from slowfast_cli.types import DataError, UsageError


def encode(values, name):
    kind = np.dtype(DTYPES[name])
    if kind.kind == "f":
        return values.astype(kind).tobytes()
    half = 1 << (8 * kind.itemsize - 1)
    return (np.round(values.astype(np.float64) * (half - 1)) + (half if kind.kind == "u" else 0)).astype(kind).tobytes()


def read(stream, text, rate=16000, say=lambda text: None):
    source = open_pcm("-", stream, read_format(text), say)
    return np.concatenate([np.zeros(0, np.float32), *source.blocks(rate)])


@pytest.mark.parametrize("name", DTYPES)
def test_every_format_of_samples(name):
    mono = tiny.sound("rain.wav", 0.5)
    np.testing.assert_allclose(read(io.BytesIO(encode(mono, name)), f"{name}@16000"), mono, atol=2 / 256)
    both = np.stack([mono, np.zeros_like(mono)], 1)
    got = read(io.BytesIO(encode(both, name)), f"{name}@16000x2")
    np.testing.assert_allclose(got, mono / 2, atol=2 / 256)


def test_another_rate_is_resampled_as_a_file(tmp_path):
    sound = tiny.sound("rooster.flac", 1, rate=44100)
    path = tiny.write(tmp_path / "x.wav", sound, 44100, subtype="FLOAT")
    expected = audio.read(audio.Recording(id="x", path=path), rate=16000)
    got = read(io.BytesIO(encode(sound, "f32le")), "f32le@44100")
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_bytes_that_arrive_one_by_one_are_joined_to_samples():
    values = np.linspace(-0.9, 0.9, 9, dtype=np.float32)
    out, into = os.pipe()
    with os.fdopen(out, "rb") as stream:
        source = open_pcm("-", stream, read_format("s16le@16000"), print)
        blocks, got = source.blocks(16000), []
        encoded = encode(values, "s16le")
        for first in range(0, len(encoded), 3):
            os.write(into, encoded[first : first + 3])
            got.append(next(blocks))  # every 3 bytes complete a sample
        os.close(into)
        assert list(blocks) == []
    np.testing.assert_allclose(np.concatenate(got), values, atol=1e-4)


def test_a_cut_last_sample_is_named():
    said = []
    assert len(read(io.BytesIO(b"\0" * 9), "s16le@16000x2", say=said.append)) == 2
    assert said == ["note: standard input: the last 1 bytes are no whole sample of 4 bytes"]


def test_files_with_a_header_and_other_formats_are_refused():
    with pytest.raises(
        DataError, match="begins with RIFF, the header of a file, expected raw samples: leave out --pcm"
    ):
        read(io.BytesIO((tiny.DATA / "rain.wav").read_bytes()), "s16le@16000")
    with pytest.raises(DataError, match="contains NaN or infinite samples: check the format in --pcm"):
        read(io.BytesIO(b"\xff" * 64), "f32le@16000")
    with pytest.raises(DataError, match="full scale is 1"):
        read(io.BytesIO(np.full(9, 3e4, "<f4").tobytes()), "f32le@16000")


@pytest.mark.parametrize(
    "text",
    ["", "s16le", "s16@16000", "s16le@0", "s16le@16000x0", "s16le@16000x65", "s16le@999999999", "s16le@16000x2x"],
)
def test_malformed_formats_are_refused(text):
    with pytest.raises(UsageError, match="expected FORMAT@RATE or FORMAT@RATExCHANNELS, as s16le@16000"):
        read_format(text)


def test_a_source_that_cannot_be_opened(tmp_path):
    with pytest.raises(DataError, match=r"none\.pcm: cannot be opened"):
        open_pcm(str(tmp_path / "none.pcm"), None, read_format("s16le@16000"), print)
    with pytest.raises(UsageError, match="standard input is closed"):
        open_pcm("-", None, read_format("s16le@16000"), print)
    assert open_pcm("-", io.BytesIO(), read_format("s16le@16000"), print).name == STDIN
