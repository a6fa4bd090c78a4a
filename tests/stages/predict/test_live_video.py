"""Rolling prediction of frames: the windows of the file, over HTTP too; cameras; bounded memory."""

import sys
import threading

import av
import numpy as np
import pytest
import rendered
import torch
from live import server

from slowfast_cli.media import live_frames
from slowfast_cli.media.live_frames import FrameStream, camera_input
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.settings import Frames
from slowfast_cli.stages.predict.live_sources import follow, open_live
from slowfast_cli.stages.predict.live_video import FrameBuffer
from slowfast_cli.stages.predict.predictor import Predictor
from slowfast_cli.stages.predict.results import Timeline
from slowfast_cli.types import DataError, UsageError
from slowfast_cli.weights.file import Card, save

SEEN = Frames(frames=16, step=2, fps=30, crop=32, jitter=(32, 40), side=80, crops=3, rows=64)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    torch.manual_seed(7)
    card = Card(
        net=with_width(VARIANTS["slowfast-4x16-r50"], 8), classes={"label": ("run", "jump", "sit")}, front_end={},
        clip_seconds=SEEN.seconds, views=10, video=SEEN.settings(),
    )  # fmt: skip
    model = card.model()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.0)
            torch.nn.init.normal_(module.bias, std=0.2)
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.6)
    path = tmp_path_factory.mktemp("weights") / "seen.safetensors"
    save(path, model.state_dict(), card)
    return Predictor(path, "cpu")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    noise = np.random.default_rng(1)
    pictures = (noise.integers(0, 255, (64, 96, 3), np.uint8) // 2 + rendered.picture_of(n) // 2 for n in range(75))
    return rendered.write(tmp_path_factory.mktemp("clips") / "clip.mkv", pictures, fps=25)


def rolling(predictor, word, timeline):
    source = open_live(predictor, str(word), None, None, print)
    return list(follow(predictor, source, timeline, smooth=0, stop=threading.Event()))


@pytest.mark.parametrize("way", ["file", "http"])
def test_a_stream_gives_the_windows_of_the_file(predictor, clip, way):
    timeline = Timeline(window=1.2, hop=0.4)
    expected = predictor(clip, timeline)
    if way == "file":
        got = rolling(predictor, clip, timeline)
    else:
        with server((clip.read_bytes(), "chunked")) as (url, _):
            got = rolling(predictor, url, timeline)
    whole = [one for one in got if one.prediction.end - one.prediction.start > 1.19]
    assert [one.prediction.start for one in whole] == pytest.approx([0, 0.4, 0.8, 1.2, 1.6])
    spread = np.ptp([one.scores["label"] for one in expected], axis=0).max()
    assert spread > 0.001  # the windows differ
    for one, other in zip(whole, expected, strict=False):
        np.testing.assert_allclose(one.prediction.scores["label"], other.scores["label"], atol=0.02 * spread)
        assert one.skipped == 0


def test_the_buffer_has_the_frames_of_a_window_in_bounded_memory():
    buffer = FrameBuffer(1_000_000)
    for number in range(100):
        buffer.append((40_000 * number, np.full((1, 1, 3), number, np.uint8)), float(number))
        assert buffer.end == 40_000 * (number + 1)
        assert len(buffer._frames) <= 26
    seconds, pixels = zip(*buffer.read(3_500_000, 200_000), strict=True)
    assert [int(one[0, 0, 0]) for one in pixels] == [87, 88, 89, 90, 91, 92]
    assert seconds == pytest.approx([-0.02, 0.02, 0.06, 0.1, 0.14, 0.18])
    assert buffer.arrival(3_700_000) == 92


def test_the_times_go_on_after_a_drop(clip, monkeypatch):
    monkeypatch.setattr("slowfast_cli.media.reconnect.FIRST", 0.01)
    body, said = clip.read_bytes(), []
    with server((body[: len(body) // 2], "cut"), (body, "chunked")) as (url, requests):
        ticks = [tick for tick, _ in FrameStream(url, 80, said.append).blocks(1000)]
    assert len(requests) == 2
    assert len(ticks) > 75
    assert set(np.diff(ticks)) == {40}
    assert said[-1] == f"{url}: connected again"


def test_what_does_not_fit_the_weights_is_refused(predictor, tmp_path):
    with pytest.raises(UsageError, match="mic:: is sound, and these weights read frames"):
        open_live(predictor, "mic:", None, None, print)
    with pytest.raises(UsageError, match=r"expected a window of at least 1\.067 s, the clip of these weights"):
        rolling(predictor, "http://127.0.0.1:9/", Timeline(window=0.5, hop=0.5))
    with pytest.raises(DataError, match="no such file or pipe"):
        open_live(predictor, str(tmp_path / "none"), None, None, print)
    with pytest.raises(UsageError, match="cam:0: has frames only: name weights that read frames"):
        open_live(Predictor(), "cam:0", None, None, print)


def test_cameras_are_opened_by_the_format_of_the_system(monkeypatch):
    monkeypatch.setattr(av, "formats_available", {"v4l2", "avfoundation", "dshow"})
    for system, expected in {
        "linux": ("/dev/video1", "v4l2"), "darwin": ("1", "avfoundation"), "win32": ("video=1", "dshow")
    }.items():  # fmt: skip
        monkeypatch.setattr(sys, "platform", system)
        assert camera_input("cam:1") == expected
    with pytest.raises(UsageError, match="cam:x: expected the number of a camera, as cam:0"):
        camera_input("cam:x")
    monkeypatch.setattr(av, "formats_available", {"matroska"})
    monkeypatch.setattr(live_frames.sys, "platform", "linux")
    with pytest.raises(UsageError, match="has no v4l2, which reads cameras: build PyAV"):
        camera_input("cam:0")
