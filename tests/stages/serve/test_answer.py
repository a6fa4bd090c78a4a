"""Answers of weights that read frames, of several label sets, and of boxes; remarks and errors without folders."""

import io
import shutil
from dataclasses import replace

import numpy as np
import pytest
import rendered
import tiny
import torch
from PIL import Image

from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.settings import Frames, FrontEnd
from slowfast_cli.stages.predict.predictor import Predictor
from slowfast_cli.stages.predict.results import Timeline
from slowfast_cli.stages.serve.answer import answer, describe
from slowfast_cli.stages.serve.request import Request
from slowfast_cli.types import DataError, UsageError
from slowfast_cli.weights.file import Card, save

FRAMES = Frames(frames=16, step=2, fps=30, crop=32, jitter=(32, 40), side=80, crops=1, rows=64)
FRONT_END = FrontEnd(rate=16000, window_ms=32, hop_ms=16, mels=16, fft=512)
ACTIONS = {"verb": ("open", "close", "wash"), "noun": ("door", "tap")}


def untrained(path, variant, classes, **more):
    """Weights that were not trained."""
    torch.manual_seed(7)
    net = with_width(VARIANTS[variant], 8)
    card = Card(
        net=replace(net, window=1 if net.window else None), classes=classes, clip_seconds=FRAMES.seconds, views=1,
        front_end=FRONT_END.settings() if "logmel" in net.signals else {}, video=FRAMES.settings(), **more,
    )  # fmt: skip
    save(path, card.model().state_dict(), card)
    return Predictor(path, "cpu")


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("weights") / "av.safetensors", "avslowfast-4x16-r50", ACTIONS)


def page_of(predictor, path):
    windows = Timeline(window=1.0, hop=0.5)
    return answer(predictor, Request(path=path, timeline=windows, events=True, page=True, top=2), 60)


def test_the_model_is_described(predictor):
    model = describe(predictor, "av")
    assert model.classes == {"verb": 3, "noun": 2}
    assert model.sets == ("verb", "noun", "action")
    assert model.reads_frames
    assert ".mp4" in model.suffixes
    assert ".wav" not in model.suffixes


def test_the_page_shows_the_whole_file_and_the_frames(predictor, tmp_path):
    path = shutil.copy(tiny.DATA / "clock.mp4", tmp_path / "clock.mp4")
    shown = page_of(predictor, path)
    whole = {line["set"]: line for line in shown.lines}
    assert {*whole} == {"verb", "noun", "action"}
    assert {line["path"] for line in shown.lines} == {"clock.mp4"}
    assert (whole["verb"]["start"], whole["verb"]["end"]) == (0.0, 5.0)
    expected = predictor.top(predictor(path)[0], 2)["noun"]
    assert [top["label"] for top in whole["noun"]["top"]] == [line.label for line in expected]
    sizes = {name: Image.open(io.BytesIO(png)).size[0] for name, png in shown.pictures.items()}
    assert sizes["wide"] > 1.8 * sizes["narrow"]
    assert shown.remarks == []


def test_a_video_without_audio_has_a_remark(predictor, tmp_path):
    rendered.numbered(tmp_path / "mute.mp4", frames=60, size=(48, 48))
    (remark,) = page_of(predictor, tmp_path / "mute.mp4").remarks
    assert remark == "The file has no audio: recognized by its frames alone, although this model reads audio too."


def test_a_truncated_file_has_a_remark_without_its_folder(tmp_path):
    samples = np.random.default_rng(0).standard_normal(5 * 16000).astype(np.float32) * 0.1
    tiny.write(tmp_path / "whole.wav", samples)
    content = (tmp_path / "whole.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[: len(content) * 2 // 3])
    shown = page_of(Predictor(None, "cpu"), tmp_path / "cut.wav")
    (remark,) = shown.remarks
    assert remark.startswith("cut.wav: truncated")
    assert str(tmp_path) not in remark


def test_an_error_has_no_folder(predictor, tmp_path):
    shutil.copy(tiny.DATA / "dog.ogg", tmp_path / "dog.mp4")
    with pytest.raises(DataError, match=r"^dog\.mp4: ") as caught:
        page_of(predictor, tmp_path / "dog.mp4")
    assert str(tmp_path) not in str(caught.value)


def test_weights_for_boxes_are_refused(tmp_path):
    boxes = untrained(tmp_path / "boxes.safetensors", "slow-r50-ava", {"label": ("sit", "run")}, sigmoid=True)
    with pytest.raises(UsageError, match="--weights ava: classify boxes, and the server whole files"):
        describe(boxes, "ava")
