"""`slowfast bench predict`: engines side by side, on noise and on files."""

import json

import pytest
import tiny

from slowfast_cli.inference.choose import ENGINES
from slowfast_cli.stages.predict.noise import noise
from slowfast_cli.stages.predict.predictor import Predictor


def rows(done):
    return [json.loads(line) for line in done.out.splitlines()]


def test_the_network_is_timed_on_noise():
    done = tiny.good("bench", "predict", "--engine", "torch", "--batch", "1,2", "--rounds", "2", "--json")
    found = rows(done)
    assert [(row["engine"], row["batch"]) for row in found] == [("torch", "1"), ("torch", "2")]
    assert all(row["clips_per_second"] > 0 and row["p50_ms"] > 0 for row in found)


def test_files_are_predicted_one_by_one_and_concurrently_and_failures_named(tmp_path):
    (tmp_path / "bad.wav").write_text("no sound")
    (tmp_path / "empty").mkdir()
    files = (tiny.DATA / "dog.ogg", tmp_path / "bad.wav", tmp_path / "empty")
    done = tiny.good("bench", "predict", *files, "--engine", "torch", "--threads", "1", "--json")
    alone, together = rows(done)
    assert (alone["files"], alone["repetitions"]) == ("one by one", 2)
    assert set(alone["stages_ms"]) == {"reading and features", "network"}
    assert 0 < alone["stages_ms"]["network"] < alone["p99_ms"]
    assert (together["files"], "p50_ms" in together) == ("concurrent", False)
    assert "2 files failed, such as" in together["problem"]


def test_files_of_which_none_can_be_predicted_are_refused(tmp_path):
    done = tiny.slowfast("bench", "predict", tmp_path, "--engine", "torch")
    assert done.code == 3, done.err
    (tmp_path / "bad.wav").write_text("no sound")
    done = tiny.slowfast("bench", "predict", tmp_path, "--engine", "torch")
    assert (done.code, "no file can be predicted: " in done.err) == (3, True), done.err


def test_a_precision_that_an_engine_lacks_is_reported():
    pytest.importorskip(ENGINES["onnx"].package)
    done = tiny.good("bench", "predict", "--engine", "onnx", "--precision", "bf16", "--json")
    assert [row["problem"] for row in rows(done)] == ["ONNX Runtime does not compute in bf16"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engine", "tpu"], "--engine tpu: expected auto, "),
        (["--precision", "fp8"], "--precision fp8: expected fp32 or bf16"),
        (["--batch", "x"], "--batch 'x': expected whole numbers from 1 up"),
    ],
)
def test_wrong_options_are_refused(words, message):
    done = tiny.slowfast("bench", "predict", *words)
    assert (done.code, message in done.err) == (2, True), done.err


def test_noise_has_the_sizes_that_the_model_reads():
    predictor = Predictor()
    signals = noise(predictor.card, 3)
    assert set(signals) == predictor.card.net.signals
    assert signals["logmel"].shape[0] == 3
