"""Rolling prediction: the windows of a file, bounded memory and latency, skipping, smoothing, an end at any time."""

import itertools
import threading
import time

import numpy as np
import pytest
import tiny
import torch

from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.stages.predict.live import Feed, RunningMean, listen
from slowfast_cli.stages.predict.live_buffer import PIECE, RollingBuffer
from slowfast_cli.stages.predict.predictor import Predictor
from slowfast_cli.stages.predict.results import Timeline
from slowfast_cli.types import DataError
from slowfast_cli.weights.file import Card, save

RATE = 16000


class FakeSource:
    """An in-process device: blocks at given moments, after each of which `each` is called; then an error, if any."""

    name = "fake device"

    def __init__(self, blocks, live=None, error=None, each=lambda: None):
        self._blocks, self.live, self._error, self._each, self.closed = blocks, live, error, each, False

    def blocks(self, rate):
        for block in self._blocks:
            yield block
            self._each()
        if self._error:
            raise self._error

    def close(self):
        self.closed = True


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    torch.manual_seed(0)
    card = Card(
        net=with_width(VARIANTS["asf-r50"], 8), classes={"label": ("helicopter", "rain", "rooster")},
        front_end=tiny.FRONT_END, clip_seconds=0.6, views=2,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save(path, card.model().state_dict(), card)
    return Predictor(path, "cpu")


def windows(source, window, hop, *, before=lambda part: None, stop=None):
    feed = Feed(source, RATE, window, hop, stop or threading.Event())
    feed.start()
    parts = []
    try:
        for part in feed.windows():
            parts.append(part)
            before(part)
    finally:
        feed.close()
    return parts


def test_the_buffer_has_the_newest_samples_and_their_times():
    buffer, samples = RollingBuffer(50), np.arange(1000, dtype=np.float32)
    for first in range(0, 1000, 7):
        buffer.append(samples[first : first + 7], float(first))
        assert buffer.end == min(first + 7, 1000)
        assert buffer.end - buffer.first >= min(50, buffer.end)
        kept = buffer.read(buffer.first, buffer.end - buffer.first)
        np.testing.assert_array_equal(kept, samples[buffer.first : buffer.end])
        assert buffer.arrival(buffer.end) == first
        if first >= 7:
            assert buffer.arrival(first) == first - 7
    assert len(buffer._arrivals) < 20
    assert len(buffer._samples) == 100


@pytest.mark.parametrize("samples", [1, 4000, 9599, 9600, 9601, 20000, 48000])
@pytest.mark.parametrize("block", [313, 5000, 48000])
def test_a_stream_gives_the_predictions_of_the_file(predictor, tmp_path, samples, block):
    sound = tiny.sound("rain.wav", 3)[:samples]
    sound = (np.round(sound * 32768) / 32768).astype(np.float32)
    timeline = Timeline(window=0.6, hop=0.25)
    expected = predictor(tiny.write(tmp_path / "x.wav", sound), timeline)
    source = FakeSource([sound[first : first + block] for first in range(0, samples, block)])
    got = list(listen(predictor, source, timeline, smooth=0, stop=threading.Event()))
    assert source.closed
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one.prediction.scores["label"], other.scores["label"], atol=1e-4)
        assert (one.prediction.start, one.prediction.end) == pytest.approx((other.start, other.end))
        assert one.skipped == 0


def test_a_recording_waits_for_slow_predictions_in_bounded_memory():
    produced, ahead = [0], []

    def each():
        produced[0] += PIECE

    def slow(part):
        time.sleep(0.002)
        ahead.append(produced[0] - part.first)

    blocks = (np.full(PIECE, number, np.float32) for number in range(200))
    parts = windows(FakeSource(blocks, each=each), 4000, 2000, before=slow)
    assert [part.skipped for part in parts] == [0] * len(parts)
    assert [part.first for part in parts] == list(range(0, 200 * PIECE - 2000, 2000))
    assert max(ahead) <= 4000 + 2000 + RATE + 2 * PIECE


def test_a_live_source_skips_to_the_newest_window_and_counts():
    ready = threading.Semaphore(0)

    def blocks():
        yield np.zeros(1000, np.float32)
        ready.acquire()
        for _ in range(20):
            yield np.zeros(1000, np.float32)

    def slow(part):
        if part.first == 0:
            ready.release()
            time.sleep(0.3)  # hop: 62.5 ms

    parts = windows(FakeSource(blocks(), live=True), 1000, 1000, before=slow)
    assert (parts[0].first, parts[0].skipped) == (0, 0)
    assert (parts[1].first, parts[1].skipped) == (20_000, 19)
    assert len(parts) == 2


@pytest.mark.parametrize(("pause", "live"), [(0.0, False), (0.1, True)])
def test_the_pace_of_the_first_window_shows_what_is_live(pause, live):
    source = FakeSource([np.zeros(1000, np.float32)] * 3, each=lambda: time.sleep(pause))
    feed = Feed(source, RATE, 2000, 1000, threading.Event())
    feed.start()
    assert len(list(feed.windows())) == 2
    assert feed._live is live
    feed.close()


def test_late_blocks_of_several_windows_are_not_skipped():
    """A source that delivers two hops at once is not behind."""
    blocks = [np.zeros(4000, np.float32)] * 4
    parts = windows(FakeSource(blocks, live=True, each=lambda: time.sleep(0.05)), 4000, 2000)
    assert [part.skipped for part in parts] == [0] * 7


def test_an_error_comes_after_the_windows_before_it():
    source = FakeSource([np.ones(2500, np.float32)], error=DataError("fake device: gone"))
    feed = Feed(source, RATE, 1000, 1000, threading.Event())
    feed.start()
    parts = []
    with pytest.raises(DataError, match="fake device: gone"):
        parts.extend(part for part in iter(feed.windows().__next__, None) if parts.append(part))
    assert [(part.first, len(part.content)) for part in parts] == [(0, 1000), (1000, 1000), (2000, 500)]
    feed.close()


def test_nothing_at_all_is_an_error():
    with pytest.raises(DataError, match="fake device: no sound in it: 0 samples arrived"):
        windows(FakeSource([]), 1000, 500)


def test_a_stop_ends_an_endless_source_after_the_window_in_progress():
    stop, source = threading.Event(), FakeSource(itertools.repeat(np.zeros(500, np.float32)))
    parts = windows(source, 1000, 500, before=lambda part: part.first == 2000 and stop.set(), stop=stop)
    assert [part.first for part in parts] == [0, 500, 1000, 1500, 2000]
    assert source.closed
    assert not [thread for thread in threading.enumerate() if thread.name == "live source"]


def test_the_running_mean_is_over_the_windows_of_the_last_seconds():
    mean = RunningMean(1.0)
    scores = [{"label": np.array([value], np.float32)} for value in (0.0, 1.0, 2.0, 3.0)]
    assert [float(mean.add(0.5 * row, value)["label"][0]) for row, value in enumerate(scores)] == [0.0, 0.5, 1.5, 2.5]
    assert float(mean.add(100.0, scores[0])["label"][0]) == 0.0  # windows between were skipped
    none = RunningMean(0.0)
    assert [float(none.add(0.5 * row, value)["label"][0]) for row, value in enumerate(scores)] == [0.0, 1.0, 2.0, 3.0]
