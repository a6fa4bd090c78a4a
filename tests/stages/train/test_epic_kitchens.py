"""EPIC-KITCHENS-100 by sight and by sound, on lines of the official lists: train, predict, fuse, submit."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import rendered
import soundfile
import tiny
import tiny_video

from slowfast_cli.metrics.ensemble import late_fusion
from slowfast_cli.stages.predict.explain import explain
from slowfast_cli.stages.predict.predictor import Predictor
from slowfast_cli.types import Prediction
from slowfast_cli.weights.file import read, save

LISTS = tiny.DATA / "annotations"
VIDEO = [
    "epic-video", *tiny_video.SMALL, *tiny_video.SCRATCH, "video.frames=8", "video.step=8", "data.views=2",
    "optim.batch=2",
]  # fmt: skip
SOUND = ["epic", *tiny.EPIC_WORDS, *tiny.EPIC_SCRATCH, "data.source=media", "optim.batch=2", "schedule.epochs=1"]


def lines(name, count):
    """The header and the first genuine rows, which lie in the first seconds of their videos."""
    return "\n".join((LISTS / name).read_text().splitlines()[: 1 + count]) + "\n"


def colored(number, size=(48, 48)):
    """A picture whose colors differ, and change with time."""
    pixels = np.zeros((*size[::-1], 3), np.uint8)
    pixels[..., 0] = np.linspace(40, 250, size[0]).astype(np.uint8)
    pixels[..., 1] = 5 * (number % 50)
    pixels[number % size[1], :, 2] = 255
    return pixels


def kitchen(root, kind):
    """P01_11 (two rows of validation, also to train on) and P01_101 (two rows of test), as frames or as videos."""
    root.mkdir()
    (root / "EPIC_100_train.csv").write_text(lines("EPIC_100_validation.csv", 2))
    (root / "EPIC_100_validation.csv").write_text(lines("EPIC_100_validation.csv", 3))
    (root / "EPIC_100_test_timestamps.csv").write_text(lines("EPIC_100_test_timestamps.csv", 2))
    (root / "audio").mkdir()
    for video, fps, seconds in (("P01_11", 60, 3), ("P01_101", 50, 6)):
        pictures = [colored(number) for number in range(fps * seconds)]
        if kind == "frames":
            folder = root / "P01" / "rgb_frames" / video
            folder.mkdir(parents=True)
            for number, pixels in enumerate(pictures, 1):
                (folder / f"frame_{number:010d}.jpg").write_bytes(rendered.coded(pixels, png=False))
        else:
            (root / "P01" / "videos").mkdir(parents=True, exist_ok=True)
            rendered.write(root / "P01" / "videos" / f"{video}.MP4", pictures, fps=fps)
        soundfile.write(root / "audio" / f"{video}.wav", tiny.sound("rain.wav", seconds, rate=24000), 24000)
    return root


@pytest.fixture(scope="module", params=["frames", "videos"])
def root(request, tmp_path_factory):
    return kitchen(tmp_path_factory.mktemp(request.param) / "epic", request.param)


@pytest.fixture(scope="module")
def seen(root):
    run = root.parent / "seen"
    tiny.good("train", *VIDEO, f"data.root={root}", "--run", run)
    return run


def test_a_step_is_trained_and_what_is_missing_counted(root, seen):
    steps = [json.loads(line) for line in (seen / "metrics.jsonl").read_text().splitlines()]
    losses = [line for line in steps if "loss_verb" in line]
    assert losses[0]["loss"] == pytest.approx(losses[0]["loss_verb"] + losses[0]["loss_noun"], rel=1e-6)
    assert losses[0]["loss"] == pytest.approx(0.5 * (np.log(97) + np.log(300)), abs=0.1)
    card, _ = read(seen / "last.safetensors")
    assert (card.video["channels"], card.video["bounds"], card.video["fps"]) == ("bgr", "segment", 60)
    done = tiny.good("evaluate", seen, f"data.root={root}", "--json", "--no-plots")
    scored = json.loads(done.out)
    assert (scored["found"], scored["listed"]) == (2, 3)  # the third starts after 3 s
    assert {"verb_top1", "noun_top5", "action_top1", "joint_action_top5"} <= scored["scores"].keys()
    assert "P01_11_10 starts at 49.15 s, but the video ends at 3.00 s" in done.err


def test_the_order_of_colors_must_be_that_of_training(root, seen):
    done = tiny.slowfast("evaluate", *VIDEO, f"data.root={root}", "video.channels=rgb", "--weights", seen, "--no-plots")
    assert done.code == 4
    assert "trained with video.channels bgr, the recipe has rgb: use the settings of the weights" in done.err


def test_the_submission_has_the_logarithms_of_the_predictions(root, seen, tmp_path):
    out = tmp_path / "test"
    tiny.good(
        "evaluate", seen, f"data.root={root}", "data.test=test", "--submission", tmp_path / "test.zip", "--out", out,
        "--no-plots",
    )  # fmt: skip
    with zipfile.ZipFile(tmp_path / "test.zip") as archive:
        assert archive.namelist() == ["test.json"]
        document = json.loads(archive.read("test.json"))
    assert list(document) == ["version", "challenge", "sls_pt", "sls_tl", "sls_td", "results"]
    assert (document["version"], document["sls_td"]) == ("0.2", 3)
    found = np.load(out / "predictions.npz")
    assert list(document["results"]) == found["ids"].tolist() == ["P01_101_0", "P01_101_1"]
    for row, answer in enumerate(document["results"].values()):
        assert list(answer) == ["verb", "noun"]
        for labels in ("verb", "noun"):
            scores = [answer[labels][str(index)] for index in range(len(answer[labels]))]
            np.testing.assert_allclose(np.exp(scores), found[f"scores_{labels}"][row], rtol=1e-6)


@pytest.mark.thorough
def test_sight_and_sound_are_fused_before_the_softmax(root, seen, tmp_path):
    heard = tmp_path / "heard"
    tiny.good("train", *SOUND, f"data.root={root}", "--run", heard)
    parts = []
    for run in (seen, heard):
        tiny.good("evaluate", run, f"data.root={root}", "--no-plots", "--out", tmp_path / "one")
        parts.append(np.load(tmp_path / "one" / "predictions.npz"))
        parts[-1] = {name: parts[-1][name] for name in parts[-1]}
    runs = [
        [
            Prediction(id=id_, scores={labels: part[f"scores_{labels}"][row] for labels in ("verb", "noun")})
            for row, id_ in enumerate(part["ids"].tolist())
        ]
        for part in parts
    ]
    for words, how in (([], "logits"), (["data.fusion=probabilities"], "probabilities")):
        out = tmp_path / how
        tiny.good("evaluate", seen, f"data.root={root}", *words, "--ensemble", heard, "--no-plots", "--out", out)
        found = np.load(out / "predictions.npz")
        assert found["ids"].tolist() == ["P01_11_0", "P01_11_1"]
        for labels in ("verb", "noun"):
            expected = [prediction.scores[labels] for prediction in late_fusion(runs, how)]
            np.testing.assert_allclose(found[f"scores_{labels}"], expected, rtol=1e-4, atol=1e-7)
    done = tiny.slowfast("evaluate", seen, f"data.root={root}", "--ensemble", tmp_path / "one", "--no-plots")
    assert done.code == 4
    assert "not a finished run" in done.err


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """The same film, losslessly: whole, with red and blue exchanged, and its first second."""
    folder = tmp_path_factory.mktemp("films")
    for name, order, count in (("film", [0, 1, 2], 120), ("swapped", [2, 1, 0], 120), ("short", [0, 1, 2], 60)):
        pictures = [np.ascontiguousarray(colored(number)[..., order]) for number in range(count)]
        rendered.write(folder / f"{name}.mkv", pictures, fps=60, codec="ffv1", pix_fmt="bgr0", bframes=0)
    return folder


def test_predictions_read_blue_green_red(seen, films, tmp_path):
    card, state = read(seen / "last.safetensors")
    state = {name: value + 0.3 if name.endswith("linears.verb.0.weight") else value for name, value in state.items()}
    save(tmp_path / "bgr.safetensors", state, card)
    save(tmp_path / "rgb.safetensors", state, replace(card, video={**card.video, "channels": "rgb"}))

    def verbs(order, film):
        return Predictor(tmp_path / f"{order}.safetensors")(films / f"{film}.mkv")[0].scores["verb"]

    np.testing.assert_array_equal(verbs("bgr", "film"), verbs("rgb", "swapped"))
    assert np.abs(verbs("bgr", "film") - verbs("rgb", "film")).max() > 1e-7
    shown = [
        explain(Predictor(tmp_path / f"{order}.safetensors"), films / "short.mkv").signals["frames"]
        for order in ("bgr", "rgb")
    ]
    np.testing.assert_array_equal(*shown)
    assert np.abs(shown[0][0].astype(int).mean((0, 1)) - colored(0).mean((0, 1))).max() < 9
    answers = tiny.good("predict", films / "film.mkv", "-w", seen, "--json").lines
    assert {answer["set"] for answer in answers} == {"verb", "noun", "action"}
