"""The mono mix and block boundaries of the audio decoders."""

import numpy as np
import pytest
import soundfile
import tiny

from slowfast_cli.media import audio, audio_decoders
from slowfast_cli.media.audio_source import to_mono
from slowfast_cli.types import Recording


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_to_mono_equals_the_mean_bitwise(channels):
    block = np.random.default_rng(channels).standard_normal((1000, channels)).astype(np.float32)
    mono = to_mono(block)
    assert (mono.dtype, mono.shape) == (np.float32, (1000,))
    np.testing.assert_array_equal(mono, block.mean(axis=1, dtype=np.float32))


def test_to_mono_of_an_empty_block():
    assert to_mono(np.zeros((0, 2), np.float32)).shape == (0,)


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3"])
def test_there_is_no_click_between_blocks(kind, tmp_path, monkeypatch):
    """Seeking to the current position resets some decoders: mp3 had errors up to 0.2 after each block."""
    monkeypatch.setattr(audio_decoders, "BLOCK", 5000)
    rain = audio.read(Recording(id="rain", path=tiny.DATA / "rain.wav"), rate=44100)
    path = tmp_path / f"x.{kind}"
    soundfile.write(path, rain, 44100)
    decoded = audio.read(Recording(id="x", path=path), rate=44100)
    whole, _ = soundfile.read(path, dtype="float32")
    assert len(decoded) == len(whole)
    np.testing.assert_allclose(decoded, whole, atol=1e-6)
