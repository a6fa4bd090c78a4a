"""Whatever a decoder raises is an error of its recording, everywhere; failures of the machine are not."""

import errno
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny

from slowfast_cli.data.audio_clips import DecodedSamples, SoundReader
from slowfast_cli.data.clips import Clips, Key
from slowfast_cli.data.loader import _BatchDataset
from slowfast_cli.media import audio, image_folder, video
from slowfast_cli.media.audio_decoders import SoundFileSource
from slowfast_cli.media.decoder_errors import decoder_errors
from slowfast_cli.media.video_check import decode_all, has_frames
from slowfast_cli.media.video_stream import VideoStream
from slowfast_cli.settings import FrontEnd
from slowfast_cli.types import BrokenMediaError, DataError, Recording, Segment, UsageError


class UnprintableError(Exception):
    def __str__(self):
        raise AttributeError("no message")


def recording(path):
    return Recording(id=Path(path).name, path=Path(path))


def with_unknown_codec(path):
    """Write a WAV file whose format tag no decoder knows."""
    soundfile.write(path, np.zeros(2000), 16000)
    content = bytearray(path.read_bytes())
    content[20:22] = (0x4321).to_bytes(2, "little")
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "error", [RuntimeError("x"), AttributeError("x"), LookupError("x"), OSError(errno.EIO, "x"), UnprintableError()]
)
def test_any_exception_names_the_file(error):
    words = r"^a\.wav: (cannot be read: x|its decoder failed \(.*Error)"
    with pytest.raises(BrokenMediaError, match=words) as raised, decoder_errors(Path("a.wav")):
        raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EMFILE, "x"), UsageError("x"), KeyboardInterrupt()])
def test_failures_of_the_machine_and_of_the_user_pass(error):
    with pytest.raises(type(error)) as raised, decoder_errors(Path("a.wav")):
        raise error
    assert raised.value is error


def test_a_file_that_cannot_be_downloaded_is_broken():
    with pytest.raises(BrokenMediaError, match="no such bucket"), decoder_errors(Path("a.wav")):
        raise DataError("no such bucket")


@pytest.mark.parametrize("error", [UnprintableError(), KeyError("x")])
def test_readers_of_audio(error, monkeypatch):
    def blocks(source, first):
        raise error
        yield

    monkeypatch.setattr(SoundFileSource, "blocks", blocks)
    rain = recording(tiny.DATA / "rain.wav")
    for use in (
        lambda: audio.read(rain, rate=16000),
        lambda: audio.read(rain, rate=24000, first=9999, count=5),
        lambda: list(audio.blocks(rain, rate=16000)),
    ):
        with pytest.raises(BrokenMediaError, match=r"rain\.wav: its decoder failed"):
            use()


@pytest.mark.parametrize("error", [UnprintableError(), AttributeError("x")])
def test_readers_of_video(error, monkeypatch):
    def frames(stream, since=None):
        raise error
        yield

    monkeypatch.setattr(VideoStream, "frames", frames)
    clock = recording(tiny.DATA / "clock.mp4")
    video.probe.cache_clear()
    video._info.cache_clear()
    for use in (video.probe, lambda x: video.read(x, start=0, span=1, count=2), decode_all):
        with pytest.raises(BrokenMediaError, match=r"clock\.mp4: its decoder failed"):
            use(clock)
    monkeypatch.setattr(VideoStream, "_video_stream", lambda stream: next(frames(stream)))
    assert not has_frames(clock)


def test_images(tmp_path, monkeypatch):
    (tmp_path / "1.jpg").write_bytes(b"\xff\xd8 not a picture")
    with pytest.raises(BrokenMediaError, match=r"1\.jpg: the image does not decode"):
        image_folder.decode_image(tmp_path / "1.jpg")
    monkeypatch.setattr(image_folder.av, "Packet", dict[bytes, bytes]().__getitem__)
    with pytest.raises(BrokenMediaError, match=r"1\.jpg: its decoder failed \(KeyError"):
        image_folder.decode_image(tmp_path / "1.jpg")


def test_a_batch_counts_a_codec_that_no_decoder_knows(tmp_path):
    bad = with_unknown_codec(tmp_path / "bad.wav")
    segments = [Segment(id=path.name, recording=recording(path)) for path in (tiny.DATA / "rain.wav", bad)]
    reader = SoundReader(store=DecodedSamples(FrontEnd()), seconds=1.0, views=1)
    batch = _BatchDataset(Clips(segments, reader))[[Key(0, 0, 0), Key(0, 1, 0)]]
    assert batch.ids == ("rain.wav",)
    assert [failure.id for failure in batch.broken] == ["bad.wav"]
    assert "no decoder" in batch.broken[0].reason
