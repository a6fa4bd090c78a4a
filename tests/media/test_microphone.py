"""Microphones, with a fake of the package sounddevice: choice of a device, rates, a device that goes away."""

import sys

import numpy as np
import pytest
from live import FakeSoundDevice

from slowfast_cli.media import microphone
from slowfast_cli.media.microphone import Microphone
from slowfast_cli.types import StreamError, UsageError


@pytest.fixture
def install(monkeypatch):
    monkeypatch.setattr(microphone, "SILENT", 0.05)
    monkeypatch.setattr("slowfast_cli.media.reconnect.FIRST", 0.01)
    monkeypatch.setattr("slowfast_cli.media.reconnect.ATTEMPTS", 2)

    def put(module):
        monkeypatch.setitem(sys.modules, "sounddevice", module)
        return module

    return put


def test_the_channels_of_the_default_device_are_mixed(install):
    both = np.tile(np.array([[1.0, 0.5]], np.float32), (160, 1))
    module = install(FakeSoundDevice([both, both]))
    source = Microphone("", print)
    blocks = source.blocks(16000)
    first = next(blocks)
    source.close()
    assert source.live is True
    np.testing.assert_array_equal(first, np.full(160, 0.75, np.float32))
    assert module.opened[0]["device"] == 1
    assert module.opened[0]["samplerate"] == 16000


def test_a_device_without_the_rate_of_the_model_is_resampled(install):
    module = install(FakeSoundDevice([np.zeros((441, 1), np.float32)] * 100, rates=()))
    blocks = Microphone("headset", print).blocks(16000)
    heard = 0
    while heard < 15_000:
        heard += len(next(blocks))
    blocks.close()
    assert (module.opened[0]["device"], module.opened[0]["samplerate"]) == (2, 44100)


def test_an_unknown_device_lists_those_there_are(install):
    install(FakeSoundDevice([]))
    for word, problem in (("none", "no such input device"), ("0", "no such input device"), ("usb", "several input")):
        with pytest.raises(UsageError, match=rf"mic:{word}: {problem}.*there are: mic:1 USB Camera; mic:2 USB Headset"):
            Microphone(word, print)


def test_a_device_that_goes_away_is_opened_again(install):
    said = []
    module = install(FakeSoundDevice([np.zeros((160, 1), np.float32)]))
    blocks = Microphone("1", said.append).blocks(16000)
    assert [len(next(blocks)) for _ in range(3)] == [160] * 3
    assert len(module.opened) == 3
    assert said[:2] == [
        "mic:1: no samples for 0.05 s; attempt 1 of 2 to connect again in 0.01 s",
        "mic:1: connected again",
    ]
    blocks.close()


def test_lost_samples_are_named_once(install):
    said = []
    install(FakeSoundDevice([np.zeros((160, 1), np.float32)] * 9, status=(2, 3, 4)))
    blocks = Microphone("1", said.append).blocks(16000)
    for _ in range(20):  # two connections
        next(blocks)
    blocks.close()
    assert said.count("note: mic:1: the system lost samples: the computer is too busy") == 1


def test_an_error_of_portaudio_is_one_of_the_stream(install):
    module = install(FakeSoundDevice([]))

    def refuse(**_):
        raise module.PortAudioError("Device unavailable [PaErrorCode -9985]")

    module.InputStream = refuse
    with pytest.raises(StreamError, match=r"mic:1: Device unavailable \[PaErrorCode -9985\]") as failed:
        next(Microphone("1", print).blocks(16000))
    assert failed.value.code == 4


def test_a_missing_package_or_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(UsageError, match=r"pip install 'slowfast-cli\[live\]'"):
        Microphone("", print)

    def no_library(name):
        raise OSError("PortAudio library not found")

    monkeypatch.setattr(microphone.importlib, "import_module", no_library)
    with pytest.raises(UsageError, match=r"PortAudio library not found.*apt install libportaudio2"):
        Microphone("", print)
