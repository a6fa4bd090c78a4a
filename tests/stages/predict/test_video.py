"""Answers of models that look at frames: whole videos, timelines and boxes, against a slow twin; and drawn videos."""

import csv
import json
import math
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import rendered
import tiny
import torch
from torch import nn
from torch.nn import functional as f

from slowfast_cli.cli import show_predictions
from slowfast_cli.features.logmel import LogMel
from slowfast_cli.media import audio, video
from slowfast_cli.media.video_rgb import Converter
from slowfast_cli.media.video_stream import VideoStream
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.settings import Frames, FrontEnd
from slowfast_cli.stages.predict.predictor import Failed, FilePrediction, Predictor, Timeline
from slowfast_cli.types import Recording, UsageError, WeightsError
from slowfast_cli.weights.file import Card, build, save

FPS, FRAMES = 25, 75
SECONDS = FRAMES / FPS
HEARD_AT = 0.3  # when the sound begins, after the first frame
SEEN = Frames(frames=16, step=2, fps=30, crop=32, jitter=(32, 40), side=80, crops=3, rows=64)
CLIP = 16 * 2 / 30
FRONT_END = FrontEnd(
    rate=16000, window_ms=32, hop_ms=16, mels=16, fft=512, power=2, area_norm=True, centred=False, mean=-7, std=4.7
)
NAMES = ("run", "jump", "sit", "talk")
KINDS = {
    "seen": ("slowfast-4x16-r50", {}),
    "both": ("avslowfast-4x16-r50", {}),
    "many": ("slowfast-4x16-r50", {"sigmoid": True}),
    "boxes": ("slow-r50-ava", {"sigmoid": True, "views": 1}),
    "both-boxes": ("avslowfast-4x16-r50-ava", {"sigmoid": True, "views": 1}),
}


def card_of(kind, **more):
    variant, own = KINDS[kind]
    net = with_width(VARIANTS[variant], 8)
    net = replace(net, window=1 if net.window else None)
    fields = {
        "net": net,
        "classes": {"label": NAMES},
        "front_end": FRONT_END.settings() if "logmel" in net.signals else {},
        "clip_seconds": SEEN.seconds,
        "views": 10,
        "video": (SEEN if net.regions == "none" else replace(SEEN, crops=0)).settings(),
    }
    return Card(**{**fields, **own, **more})


def made(path, kind, **more):
    """A network that was not trained, whose answers depend on all that it reads."""
    torch.manual_seed(7)
    card = card_of(kind, **more)
    model = card.model()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, std=0.2)
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.15)
    save(path, model.state_dict(), card)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    return {kind: made(folder / f"{kind}.safetensors", kind) for kind in KINDS}


@pytest.fixture(scope="module")
def predictors(weights):
    return {kind: Predictor(path, "cpu") for kind, path in weights.items()}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Three seconds that change all the time, to be seen and to be heard."""
    noise = np.random.default_rng(1)
    sound = noise.normal(size=round(2.6 * rendered.RATE)) * np.linspace(0.01, 0.3, round(2.6 * rendered.RATE))
    path = tmp_path_factory.mktemp("clips") / "clip.mkv"
    pictures = (noise.integers(0, 255, (64, 96, 3), np.uint8) // 2 + rendered.picture_of(n) // 2 for n in range(FRAMES))
    return rendered.write(path, pictures, fps=FPS, sound=sound.astype(np.float32), sound_at=HEARD_AT)


@pytest.fixture(scope="module")
def mute(tmp_path_factory):
    return rendered.numbered(tmp_path_factory.mktemp("clips") / "mute.mp4", frames=FRAMES, fps=FPS, size=(96, 64))


def pixels_of(path):
    """When each frame is shown, and the frames (N, H, W, 3)."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [(float(frame.pts * stream.time_base), frame) for frame in container.decode(stream)]
        converter = Converter(frames[0][1].width, frames[0][1].height)
        return [time - frames[0][0] for time, _ in frames], np.stack([converter.rgb(frame) for _, frame in frames])


def on_screen(times, moment):
    return max(0, sum(time <= moment + 1e-4 for time in times) - 1)


class Twin:
    """All that a prediction is, one clip at a time and in the plainest way."""

    def __init__(self, weights, path, silent=False):
        self.card, self.model = build(weights)
        self.times, self.pixels = pixels_of(path)
        self.rows = None
        if "logmel" in self.card.net.signals and not silent:
            samples = audio.read(Recording(id="x", path=path), rate=FRONT_END.rate)
            self.rows = LogMel(FRONT_END)(torch.from_numpy(samples)[None])[0, 0]

    def signals(self, start, centred=False):
        span = (15 * 2 / 30) if centred else CLIP - 1 / FPS
        first = start
        if start > 0:
            after = [time for time in self.times if time >= start - 1e-4]
            first = after[0] if after else self.times[-1]
        picks = [on_screen(self.times, first + i * span / 15) for i in range(16)]
        whole = torch.from_numpy(self.pixels[picks]).permute(0, 3, 1, 2).float()
        resized = f.interpolate(whole, (80, 120), mode="bilinear", align_corners=False)
        cropped = resized if centred else resized[..., 20:100]
        signals = {"frames": ((cropped / 255 - 0.45) / 0.225).transpose(0, 1)[None]}
        if "logmel" in self.card.net.signals:
            signals["has_audio"] = torch.tensor([0.0 if self.rows is None else 1.0])
            signals["logmel"] = torch.zeros(1, 1, 64, 16)
            if self.rows is not None:
                frames = CLIP * FPS
                low = (start if centred else first) / 0.016
                rows = np.floor(np.linspace(low, low + (frames - 1) ** 2 / frames / FPS / 0.016, 64)).astype(int)
                signals["logmel"] = self.rows[np.clip(rows, 0, len(self.rows) - 1)][None, None]
        return signals

    @torch.no_grad()
    def views(self, starts):
        logits = [self.model(self.signals(start))["label"][0] for start in starts]
        assert all(rows.shape == (9, 4) for rows in logits)  # 3 x 3 positions of a crop of 80
        kind = torch.sigmoid if self.card.sigmoid else lambda rows: rows.softmax(-1)
        views = torch.stack([kind(rows).mean(0) for rows in logits])
        return (views.amax(0) if self.card.sigmoid else views.mean(0)).numpy()

    @torch.no_grad()
    def box(self, time, place):
        x1, y1, x2, y2 = place
        boxes = torch.tensor([[0, x1 * 120, y1 * 80, x2 * 120, y2 * 80]])
        boxes = boxes.minimum(torch.tensor([0.0, 119, 79, 119, 79])).clamp(min=0)
        return self.model(self.signals(time - CLIP / 2, centred=True), boxes)["label"][0].sigmoid().numpy()


def close(found, expected):
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(expected) > 0.02  # classes differ, or it proves nothing


@pytest.mark.parametrize("kind", ["seen", "both", "many"])
def test_a_whole_video_is_its_views_all_over_it(weights, predictors, clip, kind):
    (answer,) = predictors[kind].files([clip])
    assert (answer.path, answer.start, answer.box, answer.time, answer.has_audio) == (clip, 0.0, None, None, True)
    assert answer.end == pytest.approx(SECONDS)
    room = SECONDS - CLIP
    expected = Twin(weights[kind], clip).views([0, room / 3, room * 2 / 3])  # ceil(3 / 1.07) clips
    close(answer.scores["label"], expected)
    assert answer.scores["label"].sum() == pytest.approx(1, abs=1e-5) or kind == "many"


@pytest.mark.parametrize("kind", ["seen", "both", "many"])
def test_a_timeline_answers_for_its_windows(weights, predictors, clip, kind):
    twin = Twin(weights[kind], clip)
    answers = list(predictors[kind].files([clip], Timeline(window=1.5, hop=1.0)))
    assert [(answer.start, answer.end) for answer in answers] == [(0, 1.5), (1, 2.5), (2, 3)]
    middle = (1.5 - CLIP) / 2
    for answer, start in zip(answers, [middle, 1 + middle, SECONDS - CLIP], strict=True):
        close(answer.scores["label"], twin.views([start]))
    (first, *_) = predictors[kind].files([clip], Timeline(window=2.5, hop=2.5))
    close(first.scores["label"], twin.views([0, (2.5 - CLIP) / 3, (2.5 - CLIP) * 2 / 3]))


def test_a_window_shorter_than_a_clip_is_answered_by_the_clip_around_it(weights, predictors, clip):
    twin = Twin(weights["both"], clip)
    answers = list(predictors["both"].files([clip], Timeline(window=0.4, hop=0.4)))
    assert [answer.start for answer in answers] == pytest.approx([0.4 * number for number in range(8)])
    assert answers[-1].end == pytest.approx(SECONDS)
    for answer in answers:
        start = min(max((answer.start + answer.end) / 2 - CLIP / 2, 0), SECONDS - CLIP)
        close(answer.scores["label"], twin.views([start]))


@pytest.mark.thorough
def test_views_are_as_many_as_the_video_is_long(weights, tmp_path, monkeypatch):
    starts = []

    def read_clips(recording, **words):
        for start in words["starts"]:
            starts.append(start)
            pixels = np.zeros((words["count"], 64, 96, 3), np.uint8)
            yield video.Frames(pixels=pixels, times=(start,) * words["count"], start=start)

    monkeypatch.setattr(video, "read_clips", read_clips)

    few = Predictor(made(tmp_path / "few.safetensors", "seen", views=2), "cpu")
    many = Predictor(made(tmp_path / "many.safetensors", "seen", views=30), "cpu")
    for seconds, predictor, views in [(0.4, many, 1), (1.5, many, 1), (1.8, many, 2), (12, many, 10), (12, few, 2)]:
        path = rendered.numbered(tmp_path / f"{seconds}-{views}.mp4", frames=round(seconds * 10), fps=10)
        starts.clear()
        (answer,) = predictor.files([path])
        assert answer.end == pytest.approx(seconds)
        room = max(seconds - CLIP, 0)
        assert starts == pytest.approx([room * view / views for view in range(views)] if views > 1 else [room / 2])
    starts.clear()
    list(many.files([path], Timeline(window=1e-9, hop=1e-9)))
    assert len(starts) == 120  # a hop is a frame at least


def test_an_answer_does_not_depend_on_how_many_are_worked_out_at_once(weights, predictors, clip, monkeypatch):
    for kind in ("both", "both-boxes"):
        alone = list(predictors[kind].files([clip], Timeline(window=1, hop=0.25)))
        predictor = predictors[kind]._predictor
        monkeypatch.setattr(getattr(predictor, "_predictor", predictor), "_batch", 4)
        together = list(predictors[kind].files([clip], Timeline(window=1, hop=0.25)))
        assert len(alone) == len(together) == 9
        for one, other in zip(alone, together, strict=True):
            assert (one.start, one.end, one.time, one.box) == (other.start, other.end, other.time, other.box)
            np.testing.assert_allclose(one.scores["label"], other.scores["label"], atol=1e-5)


@pytest.mark.parametrize("kind", ["boxes", "both-boxes"])
def test_boxes_are_answered_at_their_times(weights, clip, tmp_path, kind):
    rows = [(1.0, 0.1, 0.2, 0.5, 0.9), (1.0, 0.4, 0.0, 1.2, 1.0), (0.2, 0.0, 0.0, 1.0, 1.0), (2.9, 0.3, 0.3, 0.6, 0.5)]
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("time,x1,y1,x2,y2\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    predictor = Predictor(weights[kind], "cpu", boxes=boxes)
    given = []
    forward = predictor._model.forward
    predictor._model.forward = lambda signals, boxes: given.append(boxes) or forward(signals, boxes)
    answers = list(predictor.files([clip]))
    assert [answer.time for answer in answers] == [0.2, 1.0, 1.0, 2.9]
    assert [(answer.start, answer.end) for answer in answers] == [
        pytest.approx(each) for each in [(0, 0.7), (0.5, 1.5), (0.5, 1.5), (2.4, 3)]
    ]
    twin = Twin(weights[kind], clip)
    for answer in answers:
        assert (answer.time, *answer.box.place) in rows
        close(answer.scores["label"], twin.box(answer.time, answer.box.place))
    # In pixels of the frame as the model sees it, 120 x 80, and no further than its border.
    assert [batch.tolist() for batch in given] == [
        [pytest.approx(row) for row in rows]
        for rows in (
            [[0, 0, 0, 119, 79]],
            [[0, 12, 16, 60, 72], [0, 48, 0, 119, 79]],
            [[0, 36, 24, 72, 40]],
        )
    ]


def test_boxes_in_pixels_are_those_in_shares(weights, clip, tmp_path):
    (tmp_path / "shares.csv").write_text("time,x1,y1,x2,y2\n1,0.25,0.25,0.5,0.75\n")
    (tmp_path / "pixels.csv").write_text("time,x1,y1,x2,y2\n1,24,16,48,48\n")
    (tmp_path / "ava.csv").write_text("clip,0001,0.25,0.25,0.5,0.75,,0.9\nother,0001,0,0,1,1,,0.9\n")
    found = [
        list(Predictor(weights["boxes"], "cpu", boxes=tmp_path / f"{name}.csv").files([clip]))
        for name in ("shares", "pixels", "ava")
    ]
    for (answer,) in found:
        assert answer.box.place == (0.25, 0.25, 0.5, 0.75)
        np.testing.assert_array_equal(answer.scores["label"], found[0][0].scores["label"])
    assert [answer.box.score for (answer,) in found] == [1.0, 1.0, 0.9]


def test_without_boxes_the_whole_picture_is_asked_about_every_second(weights, predictors, clip):
    twin = Twin(weights["boxes"], clip)
    answers = list(predictors["boxes"].files([clip]))
    assert [(answer.time, answer.start, answer.end) for answer in answers] == [(0.5, 0, 1), (1.5, 1, 2), (2.5, 2, 3)]
    for answer in answers:
        assert answer.box.place == (0, 0, 1, 1)
        close(answer.scores["label"], twin.box(answer.time, (0, 0, 1, 1)))
    answers = list(predictors["boxes"].files([clip], Timeline(window=2, hop=0.5)))
    assert [answer.time for answer in answers] == [1.0, 1.5, 2.0]


def predict(weights, *words, stdin=b""):
    return tiny.slowfast("predict", *words, "-w", weights, stdin=stdin)


def plain(text):
    """JSON lines, as strict a reader would have them."""

    def refuse(constant):
        raise AssertionError(constant)

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def test_a_table_json_and_csv_of_a_classifier(weights, clip, tmp_path):
    done = predict(weights["both"], clip, "--csv", tmp_path / "x.csv", "--json", "-k", "2")
    assert done.code == 0, done.err
    (line,) = plain(done.out)
    assert list(line) == ["path", "start", "end", "set", "top"]
    assert (line["path"], line["start"], line["end"], line["set"]) == (str(clip), 0.0, 3.0, "label")
    rows = list(csv.DictReader((tmp_path / "x.csv").read_text().splitlines()))
    assert list(rows[0]) == ["path", "start", "end", "set", "rank", "label", "index", "score"]
    assert [(row["label"], float(row["score"])) for row in rows] == [
        (top["label"], top["score"]) for top in line["top"]
    ]
    table = predict(weights["many"], clip)
    shares = [float(row.split("│")[2].strip(" %")) for row in table.out.splitlines() if row.startswith("│")]
    assert len(shares) == 4
    assert shares == sorted(shares, reverse=True)
    assert abs(sum(shares) - 100) > 1  # each class for itself
    assert "A top score is low" not in table.err
    lines = predict(weights["seen"], clip, "--timeline", "1.5/1").out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["0.00-1.50 s", "1.00-2.50 s", "2.00-3.00 s"]


def test_lines_json_and_csv_of_a_detector(weights, clip, tmp_path):
    (tmp_path / "boxes.csv").write_text("x1,y1,x2,y2,time,score\n0.1,0.2,0.5,0.9,1,0.75\n0,0,1,1,2,\n")
    words = (clip, "--boxes", tmp_path / "boxes.csv", "-k", "3")
    done = predict(weights["boxes"], *words, "--json", "--csv", tmp_path / "x.csv")
    assert done.code == 0, done.err
    first, second = plain(done.out)
    assert list(first) == ["path", "start", "end", "time", "box", "box_score", "set", "top"]
    assert (first["time"], first["box"], first["box_score"]) == (1.0, [0.1, 0.2, 0.5, 0.9], 0.75)
    assert (first["start"], first["end"], second["time"], second["box_score"]) == (0.5, 1.5, 2.0, 1.0)
    assert len(first["top"]) == 3
    rows = list(csv.DictReader((tmp_path / "x.csv").read_text().splitlines()))
    assert len(rows) == 6
    assert [rows[0][name] for name in ("time", "x1", "y1", "x2", "y2", "box_score", "rank")] == [
        "1.0", "0.1", "0.2", "0.5", "0.9", "0.75", "1",
    ]  # fmt: skip
    lines = predict(weights["boxes"], *words).out.splitlines()
    assert [line.partition("]")[0] for line in lines] == [
        "1.00 s  [0.10 0.20 0.50 0.90",
        "2.00 s  [0.00 0.00 1.00 1.00",
    ]
    assert all(line.count("%") == 3 for line in lines)


def test_a_line_too_long_for_the_terminal_becomes_a_block(monkeypatch):
    from slowfast_cli.cli import show

    shown = []
    monkeypatch.setattr(show, "out", type("Narrow", (), {"is_terminal": True, "width": 30})())
    show.out.print = lambda text, **how: shown.append(text)
    show_predictions._line("1.00 s  [0.00 0.00 1.00 1.00]", ["stand 93.1%", "talk to (a person) 80.0%"])
    assert shown == ["1.00 s  [0.00 0.00 1.00 1.00]\n  stand 93.1%\n  talk to (a person) 80.0%"]
    assert max(map(len, shown[0].splitlines())) <= 30


def test_weights_that_are_nan_are_refused(clip, tmp_path):
    path = made(tmp_path / "nan.safetensors", "seen")
    card, model = build(path)
    nn.init.constant_(model.heads.linears["label"][0].bias, math.nan)
    save(path, model.state_dict(), card)
    done = predict(path, clip, "--json")
    assert done.code == 4
    assert "values of heads.linears.label.0.bias are NaN or infinite" in done.err


def test_a_video_without_sound_is_answered_by_what_is_seen(weights, predictors, clip, mute):
    (answer,) = predictors["both"].files([mute])
    assert not answer.has_audio
    room = SECONDS - CLIP
    close(answer.scores["label"], Twin(weights["both"], mute, silent=True).views([0, room / 3, room * 2 / 3]))
    (seen,) = predictors["seen"].files([mute])
    assert seen.has_audio  # nothing is missing where nothing is listened to
    done = predict(weights["both"], mute, "--json")
    assert done.code == 0
    assert done.err == f"{mute}: has no audio: recognized by its frames alone, although this model reads audio too\n"
    other = mute.with_name("other.mp4")
    shutil.copyfile(mute, other)
    done = predict(weights["both"], mute, clip, other, "--timeline", "1")
    assert [line for line in done.err.splitlines() if "audio" in line and "score" not in line] == [
        f"2 of 3 videos have no audio, such as {mute}: recognized by their frames alone, although this model "
        "reads audio too"
    ]
    assert "no audio" not in predict(weights["seen"], mute).err


def test_silence_is_zeros_that_reach_nothing(predictors, mute):
    """The same answer whatever stands in the place of the sound that is not there."""
    predictor = predictors["both"]
    given = []
    forward = predictor._model.forward
    predictor._model.forward = lambda signals: given.append(signals) or forward(signals)
    try:
        (answer,) = predictor.files([mute])
    finally:
        del predictor._model.forward
    assert [signals["has_audio"].tolist() for signals in given] == [[0.0]] * 3
    assert all(not signals["logmel"].any() for signals in given)
    with torch.no_grad():
        noisy = [predictor._model({**signals, "logmel": torch.randn(1, 1, 64, 16)}) for signals in given]
    mean = torch.cat([logits["label"].softmax(-1).mean(1) for logits in noisy]).mean(0)
    np.testing.assert_allclose(mean.numpy(), answer.scores["label"], atol=1e-5)


def test_sound_alone_is_nothing_for_a_model_that_looks(weights, clip):
    for name in ("rain.wav", "sneeze.mp3"):
        path = tiny.DATA / name
        done = predict(weights["both"], path, clip, "--json")
        assert (done.code, len(done.lines)) == (3, 1)
        assert f"error: {path}: no video stream in this {path.suffix[1:]} file; this model reads frames" in done.err
        assert "use weights for audio, see `slowfast weights ls`" in done.err
    done = predict(weights["boxes"], path)
    assert (done.code, done.out) == (3, "")


def test_a_video_is_sound_for_a_model_that_listens(clip, tmp_path):
    card = Card(
        net=with_width(VARIANTS["asf-r50"], 8),
        classes={"label": NAMES},
        front_end=tiny.FRONT_END,
        clip_seconds=0.6,
        sigmoid=True,
    )
    save(tmp_path / "heard.safetensors", card.model().state_dict(), card)
    predictor = Predictor(tmp_path / "heard.safetensors", "cpu")
    assert not predictor.reads_frames
    (answer,) = predictor.files([clip])
    assert answer.end == pytest.approx(HEARD_AT + 2.6, abs=0.1)
    assert 1.5 < answer.scores["label"].sum() < 2.5  # each class for itself
    (tmp_path / "boxes.csv").write_text("time,x1,y1,x2,y2\n1,0,0,1,1\n")
    with pytest.raises(UsageError, match="classifies whole clips, not boxes"):
        Predictor(tmp_path / "heard.safetensors", "cpu", boxes=tmp_path / "boxes.csv")


def test_sources_of_every_kind(weights, clip, mute, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "videos" / "deep").mkdir(parents=True)
    shutil.copyfile(clip, "videos/clip.mkv")
    shutil.copyfile(mute, "videos/deep/mute.mp4")
    shutil.copyfile(tiny.DATA / "rain.wav", "videos/rain.wav")
    (tmp_path / "list.txt").write_text("videos/clip.mkv\n")
    (tmp_path / "sounds").mkdir()
    shutil.copyfile(tiny.DATA / "rain.wav", "sounds/rain.wav")

    def paths(*words, stdin=b""):
        done = predict(weights["seen"], *words, "--json", stdin=stdin)
        assert done.code == 0, done.err
        return [line["path"] for line in done.lines]

    assert paths("videos") == ["videos/clip.mkv", "videos/deep/mute.mp4"]  # the sound is for other models
    assert paths("videos/**/*.mp4", "list.txt") == ["videos/deep/mute.mp4", "videos/clip.mkv"]
    assert paths("-", stdin=b"videos/clip.mkv\n\nvideos/deep/mute.mp4\n") == ["videos/clip.mkv", "videos/deep/mute.mp4"]
    done = predict(weights["seen"], "sounds")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("error: sounds: a folder without video files; they end in .264, ")


def test_hostile_files_fail_and_the_others_go_on(weights, clip, tmp_path):
    whole = clip.read_bytes()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video\n" * 100)
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "cut.mp4").write_bytes(rendered.numbered(tmp_path / "long.mp4", frames=60).read_bytes()[:3000])
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "half.mkv").write_bytes(whole[: len(whole) // 2])
    names = ["empty.mp4", "text.mp4", "noise.mp4", "cut.mp4", "gone.mp4"]
    for kind in ("both", "boxes"):
        predictor = Predictor(weights[kind], "cpu")
        for timeline in (None, Timeline(window=1, hop=1)):
            *failed, last = predictor.files([*(tmp_path / name for name in names), clip], timeline)
            failed = [each for each in failed if isinstance(each, Failed)]
            assert [each.path.name for each in failed] == names
            assert all(each.reason.startswith(f"{each.path}: ") for each in failed)
            assert isinstance(last, FilePrediction)
    (half,) = Predictor(weights["seen"], "cpu").files([tmp_path / "half.mkv"])
    assert isinstance(half, FilePrediction)
    assert half.end < SECONDS  # what is there counts
    done = predict(weights["both"], tmp_path, "--json")
    assert (done.code, "Traceback" in done.err, "defect" in done.err) == (3, False, False)
    assert done.err.splitlines()[-1] == "error: 4 of 6 files could not be used"


def test_a_decoder_that_raises_anything_fails_its_file_only(predictors, clip, mute, monkeypatch):
    seek = VideoStream.seek

    def hurt(stream, since):
        if stream.path == clip:
            raise RuntimeError("what libraries say")
        return seek(stream, since)

    monkeypatch.setattr(VideoStream, "seek", hurt)
    first, second = predictors["seen"].files([clip, mute])
    assert first == Failed(
        path=clip,
        reason=f"{clip}: its decoder failed (RuntimeError: what libraries say): fetch it again, or convert it",
    )
    assert isinstance(second, FilePrediction)


def test_a_defect_of_the_network_is_not_blamed_on_the_file(predictors, mute, monkeypatch):
    def broken(*signals):
        raise RuntimeError("shapes")

    monkeypatch.setattr(predictors["seen"]._model, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        list(predictors["seen"].files([mute]))


def test_words_that_do_not_go_together(weights, clip, mute, tmp_path):
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("time,x1,y1,x2,y2\n1,0,0,1,1\n")
    (tmp_path / "bad.csv").write_text("time,x1,y1,x2,y2\n1,0,0,1,1\n1,0,0,0,1\n")
    (tmp_path / "other.csv").write_text("path,time,x1,y1,x2,y2\nother.mp4,1,0,0,1,1\n")
    for kind, words, code, reported in [
        ("seen", [clip, "--boxes", boxes], 2, "seen.safetensors classifies whole clips, not boxes: leave it out"),
        ("boxes", [clip, "--boxes", boxes, "--timeline", "1"], 2, "--boxes and --timeline: boxes have their own"),
        ("boxes", [clip, mute, "--boxes", boxes], 2, "does not say which of 2 files each box is about"),
        (
            "boxes",
            [clip, "--boxes", tmp_path / "bad.csv"],
            3,
            "row 3: box 0, 0, 0, 1: expected x1 < x2 and y1 < y2",
        ),
        ("boxes", [clip, "--boxes", tmp_path / "gone.csv"], 3, "gone.csv: cannot be read: No such file"),
        ("boxes", [clip, "--boxes", tmp_path / "other.csv"], 3, f"no box is of {clip}; they are of other.mp4"),
        ("seen", [clip, mute, "--overlay", tmp_path / "x.mp4"], 2, "draws over one video, and 2 files are named"),
        ("seen", [clip, "--overlay", clip], 2, f"--overlay {clip}: is the input video itself"),
        (
            "seen",
            [clip, "--overlay", clip.parent / ".." / clip.parent.name / clip.name],
            2,
            "is the input video itself",
        ),
        ("seen", [clip, "--overlay", tmp_path / "x.gif"], 2, "unknown video format: use one of .mp4, .m4v, .mov, .mkv"),
        (
            "seen",
            [clip, "--overlay", tmp_path / "no" / "x.mp4"],
            2,
            f"folder {tmp_path / 'no'} does not exist",
        ),
    ]:
        done = predict(weights[kind], *words)
        assert (done.code, done.out) == (code, ""), done.err
        assert reported in " ".join(done.err.split()), done.err
        assert "defect" not in done.err
    link = tmp_path / "link.mkv"
    link.hardlink_to(clip) if clip.stat().st_dev == tmp_path.stat().st_dev else link.symlink_to(clip)
    assert "is the input video itself" in predict(weights["seen"], clip, "--overlay", link).err
    late = predict(weights["boxes"], mute, "--boxes", boxes)
    assert (late.code, late.out.count("\n")) == (0, 1)
    boxes.write_text("time,x1,y1,x2,y2\n8,0,0,1,1\n")
    late = predict(weights["boxes"], mute, "--boxes", boxes)
    assert (late.code, late.out) == (3, "")
    assert f"row 2: time 8 s is after the end of {mute} (3.00 s)" in late.err


def test_weights_that_do_not_describe_what_they_look_at(tmp_path):
    for more, reported in [
        ({"video": {}}, "its header does not describe frames"),
        ({"video": {**SEEN.settings(), "speed": 2}}, "its header does not describe frames"),
        ({"front_end": {"speed": 2}}, "its header does not describe a slowfast model"),
    ]:
        path = made(tmp_path / "wrong.safetensors", "both", **more)
        with pytest.raises(WeightsError, match=reported):
            Predictor(path, "cpu")
    card = replace(card_of("both"), classes={}, sync=("res4",))
    save(tmp_path / "sync.safetensors", card.model().state_dict(), card)
    with pytest.raises(WeightsError, match="has no classes"):
        Predictor(tmp_path / "sync.safetensors", "cpu")


def pictures_of(path):
    return pixels_of(path)[1].astype(int)


def sound_of(path):
    return audio.read(Recording(id="x", path=Path(path)), rate=rendered.RATE)


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    """A video of 320 x 240 on which everything that is drawn can be seen."""
    path = tmp_path_factory.mktemp("clips") / "grey.mp4"
    pictures = (np.full((240, 320, 3), 100, np.uint8) for _ in range(75))
    return rendered.write(path, pictures, fps=25, sound=rendered.tone(3, 500))


def test_boxes_are_drawn_during_the_second_around_their_time(weights, grey, tmp_path):
    (tmp_path / "boxes.csv").write_text("time,x1,y1,x2,y2\n1,0.2,0.5,0.4,0.9\n1,0.6,0.5,0.9,0.9\n2.8,0.2,0.5,0.4,0.9\n")
    out = tmp_path / "reported.mp4"
    done = predict(weights["boxes"], grey, "--boxes", tmp_path / "boxes.csv", "--overlay", out)
    assert done.code == 0, done.err
    assert done.err.splitlines()[-1] == f"drawn: {out}"
    drawn = pictures_of(out)
    assert len(drawn) == 75
    assert len(sound_of(out)) == pytest.approx(3 * rendered.RATE, rel=0.05)
    assert np.abs(sound_of(out)[8000:40000] - sound_of(grey)[8000:40000]).max() < 0.01
    changed = np.abs(drawn - drawn[0]).max(-1) > 40  # nothing is drawn at first
    assert np.abs(drawn[0] - 100).max() < 12
    first, second = changed[:, 160, 62:67].any(1), changed[:, 160, 285:290].any(1)
    times = np.arange(75) / 25
    np.testing.assert_array_equal(first, ((times >= 0.5) & (times <= 1.5)) | (times >= 2.3))
    np.testing.assert_array_equal(second, (times >= 0.5) & (times <= 1.5))
    assert changed[25, 80:118, 60:130].any()  # labels above the box


def test_the_classes_of_the_nearest_window_are_a_caption(weights, grey, tmp_path):
    for words in ([], ["--timeline", "1/1"]):
        out = tmp_path / "reported.mkv"
        done = predict(weights["both"], grey, *words, "--json", "--overlay", out)
        assert done.code == 0, done.err
        drawn = pictures_of(out)
        assert len(drawn) == 75
        assert len(sound_of(out)) == pytest.approx(3 * rendered.RATE, rel=0.05)
        dark = (drawn[:, :60, :100] < 60).all(-1).mean((1, 2))
        assert dark.min() > 0.2  # the caption is there in every frame
        assert np.abs(drawn[:, 100:] - 100).max() < 15  # and nowhere else
    assert not list(tmp_path.glob(".*"))


def test_a_video_without_sound_is_drawn_over_as_well(weights, mute, tmp_path):
    out = tmp_path / "reported.mp4"
    assert predict(weights["boxes"], mute, "--overlay", out).code == 0
    assert len(pictures_of(out)) == FRAMES
    assert not video.probe(Recording(id="x", path=out)).has_audio


def test_what_is_heard_is_drawn_as_well(weights, grey, tmp_path):
    out = tmp_path / "reported.mp4"
    done = tiny.slowfast("predict", tiny.DATA / "rain.wav", "--overlay", out, "-w", heard_weights(tmp_path))
    assert done.code == 3
    assert "rain.wav: no video stream in this wav file" in done.err
    assert not out.exists()
    done = tiny.slowfast("predict", grey, "--timeline", "1/1", "--overlay", out, "-w", heard_weights(tmp_path))
    assert done.code == 0, done.err
    assert len(pictures_of(out)) == 75


def heard_weights(folder):
    net = with_width(VARIANTS["asf-r50"], 8)
    card = Card(net=net, classes={"label": NAMES}, front_end=tiny.FRONT_END, clip_seconds=0.6)
    save(folder / "heard.safetensors", card.model().state_dict(), card)
    return folder / "heard.safetensors"


@pytest.mark.thorough
def test_a_model_of_sound_starts_without_what_videos_need(tmp_path):
    heavy = ("predict.video", "video_clips", "media.video", "build.transforms", "predict.overlay", "PIL")
    code = (
        "import sys; from slowfast_cli.cli.app import app; "
        f"app(['predict', {str(tiny.DATA / 'rain.wav')!r}, '-w', {str(heard_weights(tmp_path))!r}], "
        "standalone_mode=False); "
        f"print([name for name in sys.modules if name.endswith({heavy!r})], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.cuda
@pytest.mark.parametrize("kind", ["both", "both-boxes"])
def test_a_gpu_gives_the_same_answers(weights, predictors, clip, kind):
    there = list(Predictor(weights[kind], "cuda").files([clip], Timeline(window=1, hop=0.2)))
    here = list(predictors[kind].files([clip], Timeline(window=1, hop=0.2)))
    assert len(here) == len(there) > 8
    for one, other in zip(here, there, strict=True):
        assert (one.start, one.end, one.box) == (other.start, other.end, other.box)
        np.testing.assert_allclose(one.scores["label"], other.scores["label"], atol=2e-3)


@pytest.mark.parametrize("kind", ["seen", "both"])
def test_a_truncated_video_is_predicted_from_what_it_contains(predictors, tmp_path, kind):
    sound = rendered.tone(4.0, 500)
    path = rendered.numbered(
        tmp_path / "x.mp4", frames=120, size=(96, 64), sound=sound, container={"movflags": "faststart"}
    )
    assert {answer.note for answer in predictors[kind].files([path])} == {""}
    path = path.rename(tmp_path / "cut.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    answers = list(predictors[kind].files([path], Timeline(window=0.5, hop=0.5)))
    assert all(answer.note.startswith(f"{path}: truncated: ") for answer in answers)
    assert 1 < answers[-1].end < 3


def test_windows_of_a_slow_video_are_as_asked(predictors, tmp_path):
    pictures = (rendered.picture_of(number) for number in range(5))
    path = rendered.write(tmp_path / "slow.mkv", pictures, times=[0.0, 3.0, 6.0, 7.0, 10.0])
    answers = list(predictors["seen"].files([path], Timeline(window=2, hop=1)))
    assert [answer.start for answer in answers] == list(range(len(answers)))
    assert all(answer.end - answer.start == pytest.approx(2) for answer in answers[:-1])


@pytest.mark.parametrize(("kind", "timeline"), [("both", None), ("seen", Timeline(window=1, hop=0.5)), ("boxes", None)])
def test_several_videos_at_a_time_give_the_answers_of_one_after_the_other(
    predictors, clip, mute, tmp_path, monkeypatch, kind, timeline
):
    paths = [clip, tmp_path / "none.mp4", mute, Failed(path=tmp_path, reason="empty"), clip, mute]
    single = [answer for path in paths for answer in predictors[kind].files([path], timeline)]
    inner, both = predictors[kind]._predictor, threading.Barrier(2)
    predict = inner.predict

    def meet(path, timeline):
        if path != tmp_path / "none.mp4":
            both.wait(10)  # breaks unless two videos are in progress at once
        yield from predict(path, timeline)

    monkeypatch.setattr(inner, "predict", meet)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    several = list(predictors[kind].files(paths, timeline))
    assert [answer.path for answer in several] == [answer.path for answer in single]
    for one, other in zip(several, single, strict=True):
        assert type(one) is type(other)
        if isinstance(one, Failed):
            assert one.reason == other.reason
        else:
            assert (one.start, one.end, one.time, one.has_audio) == (
                other.start,
                other.end,
                other.time,
                other.has_audio,
            )
            np.testing.assert_allclose(one.scores["label"], other.scores["label"], atol=1e-5)
