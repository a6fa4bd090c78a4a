"""Audio and video on the player's clock: pauses, late starts, and few or irregular pictures."""

from fractions import Fraction

import av
import numpy as np
import pytest
import rendered

from slowfast_cli.data.clips import Key
from slowfast_cli.data.video_clips import DecodedSounds, VideoReader
from slowfast_cli.media import audio, video
from slowfast_cli.media.clock import Clock
from slowfast_cli.settings import Frames, FrontEnd
from slowfast_cli.types import Recording, Segment

RATE = 48000


def recording(path):
    return Recording(id="x", path=path)


def beeping(path, *, heard, seen=None):
    """Write a beep 0.4 s after each second of the stretches ``heard``, and pictures during ``seen`` (10 fps)."""
    with av.open(str(path), "w") as out:
        sound = out.add_stream("libopus" if path.suffix in (".webm", ".mkv") else "aac", rate=RATE, layout="mono")
        packets = []
        if seen is not None:
            picture = out.add_stream("libvpx" if path.suffix == ".webm" else "mpeg4", rate=10)
            picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
            picture.codec_context.time_base = Fraction(1, 10)
            for index in range(int(seen[0] * 10), int(seen[1] * 10)):
                frame = av.VideoFrame(32, 32, "yuv420p")
                frame.pts, frame.time_base = index, Fraction(1, 10)
                packets += picture.encode(frame)
            packets += picture.encode(None)
        for start, stop in heard:
            time = np.arange(int(start * RATE), int(stop * RATE))
            samples = np.where(abs(time % RATE - 0.4 * RATE) < 0.05 * RATE, 0.5 * np.sin(time * 0.13), 0).astype(
                np.float32
            )
            resampler = av.AudioResampler(
                sound.codec_context.format, "mono", RATE, frame_size=sound.codec_context.frame_size
            )
            frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, int(start * RATE), Fraction(1, RATE)
            for piece in [*resampler.resample(frame), *resampler.resample(None)]:
                packets += sound.encode(piece)
        for packet in sorted([*packets, *sound.encode(None)], key=lambda packet: packet.dts * packet.time_base):
            out.mux(packet)
    return path


def beeps(samples, rate=16000):
    """Return the seconds in which a beep begins."""
    loud = np.flatnonzero(np.abs(samples) > 0.1)
    return sorted({round(float(first) / rate - 0.4) for first in loud})


@pytest.fixture(autouse=True)
def _clear_caches():
    yield
    video._info.cache_clear()
    video.probe.cache_clear()
    audio._count_seconds.cache_clear()


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "ts"])
@pytest.mark.parametrize(
    ("heard", "seen", "seconds"),
    [
        ([(0, 5)], None, range(5)),
        ([(0, 2), (6, 9)], None, (0, 1, 6, 7, 8)),
        ([(2, 5)], (0, 5), (2, 3, 4)),
        ([(1, 2), (4, 7)], (0, 7), (1, 4, 5, 6)),
    ],
    ids=["regular", "pause", "late", "late-and-pause"],
)
def test_sound_is_heard_when_a_player_plays_it(tmp_path, suffix, heard, seen, seconds):
    path = beeping(tmp_path / f"x.{suffix}", heard=heard, seen=seen)
    whole = audio.read(recording(path), rate=16000)
    assert beeps(whole) == list(seconds)
    probe = audio.probe(recording(path))
    assert probe.seconds == pytest.approx(heard[-1][1], abs=0.12)
    assert len(whole) / 16000 == pytest.approx(probe.seconds, abs=0.06)
    assert not probe.truncated
    assert np.array_equal(
        np.concatenate(list(audio.blocks(recording(path), rate=16000, seconds=0.7, whole=True))), whole
    )
    for first in (0, 17000, 33000, 50000, 70001, len(whole) - 900):
        piece = audio.read(recording(path), rate=16000, first=first, count=1200)
        assert len(piece) == min(1200, len(whole) - first)
        assert np.allclose(piece, whole[first : first + 1200], atol=2e-3), first


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_pictures_that_start_after_the_sound(tmp_path, suffix):
    path = beeping(tmp_path / f"x.{suffix}", heard=[(0, 6)], seen=(2, 6))
    probe = video.probe(recording(path))
    assert probe.seconds == pytest.approx(6, abs=0.1)
    assert probe.audio_start == pytest.approx(0, abs=0.07)
    assert probe.fps == pytest.approx(10)
    frames = video.read(recording(path), start=0, span=5, count=6)
    assert frames.start == 0
    assert frames.times == pytest.approx((2, 2, 2, 3, 4, 5), abs=0.11)
    assert beeps(audio.read(recording(path), rate=16000)) == list(range(6))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_late_sound_is_shifted_once(tmp_path, suffix):
    path = beeping(tmp_path / f"x.{suffix}", heard=[(2, 6)], seen=(0, 6))
    assert video.probe(recording(path)).audio_start == pytest.approx(0, abs=0.03)
    settings = Frames(frames=8, step=8, rows=128, crop=32, jitter=(32, 32), side=32)
    front_end = FrontEnd(rate=16000)
    reader = VideoReader(settings=settings, views=1, sounds=DecodedSounds(front_end), front_end=front_end)
    piece = reader.read(Segment(id="a", recording=recording(path), start=1.0, stop=3.2), Key(0, 0, 0))
    samples = piece.inputs.samples
    onset = np.flatnonzero(np.abs(samples) > 0.1)[0] / 16000
    assert onset + piece.start == pytest.approx(2.35, abs=0.03)


def clock(**more):
    return Clock(
        **{"rate": 48000, "tick": 0.001, "pts": 14, "position": 648, "lead": 0, "grid": 960, "limit": 60} | more
    )


def test_jittered_timestamps_do_not_cut_the_sound():
    position, random, jittered = 648, np.random.default_rng(0), clock()
    for frame in range(200):
        assert jittered.place(14 + 20 * frame + int(random.integers(-8, 9)), position) == position
        position += 960


def test_a_lost_packet_is_silence_of_its_length():
    assert clock().place(14 + 20 * 5, 648 + 960 * 4) == 648 + 960 * 5
    assert clock(grid=0).place(14 + 20 * 5, 648 + 960 * 4) == 648 + 960 * 4


def test_timestamps_that_start_anew_or_are_absurd_are_no_pause():
    changed = clock()
    for number, pts in enumerate((14, 34, 10_000_000, 10_000_020)):
        assert changed.place(pts, 960_000 + 960 * number) == 960_000 + 960 * number
    assert changed.place(10_000_040 + 5000, 963_840) == 963_840 + 240_000


# Few and irregular pictures


def slides(path, times, seconds=None):
    pictures = (rendered.picture_of(number) for number in range(len(times)))
    return rendered.write(path, pictures, times=times, gop=1000)


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_clip_of_slow_pictures_shows_what_a_player_shows(tmp_path, suffix):
    path = slides(tmp_path / f"x.{suffix}", [float(second) for second in range(12)])
    frames = video.read(recording(path), start=4.4, span=3, count=4)
    assert frames.start == 4.4
    assert frames.times == pytest.approx((4, 5, 6, 7), abs=2e-3)
    burst = [0.0, *(20 + 0.1 * number for number in range(10)), 40.0]
    path = slides(tmp_path / f"y.{suffix}", burst)
    for start, times in ((5, (0, 0, 0)), (19.5, (0, 20.0, 20.5)), (20.02, (20.1, 20.6, 20.9)), (30, (20.9,) * 3)):
        frames = video.read(recording(path), start=start, span=1.0, count=3)
        assert frames.times == pytest.approx(times, abs=2e-3), start
        assert frames.start == pytest.approx(20.1 if start == 20.02 else start, abs=2e-3)


def test_clips_of_slow_pictures_last_as_long_as_others(tmp_path):
    path = slides(tmp_path / "x.mkv", [float(second) for second in range(12)])
    settings = Frames(frames=8, step=8, rows=128, crop=32, jitter=(32, 32), side=32)
    piece = VideoReader(settings=settings, views=1).read(
        Segment(id="a", recording=recording(path), start=3.0, stop=9.0), Key(0, 0, 0)
    )
    assert piece.stop - piece.start == pytest.approx(settings.seconds)
    shown = [rendered.number_of(pixels) for pixels in piece.inputs.frames.transpose(1, 2, 3, 0)]
    last = piece.start + settings.seconds - 1 / 24
    assert shown[0] == int(piece.start + 1e-6)
    assert shown[-1] == int(last)
