"""`slowfast evaluate` of several weights: one table, on the same segments."""

import csv
import json

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file

from slowfast_cli.weights.file import read_card, save


@pytest.fixture(scope="module")
def compared(trained, sounds, tmp_path_factory):
    """The trained weights beside others that always answer the first class."""
    folder = tmp_path_factory.mktemp("models")
    state = load_file(trained / "last.safetensors")
    bias = next(name for name in state if name.endswith("bias") and len(state[name]) == 3 and "head" in name)
    state[bias] = torch.tensor([1e3, 0.0, 0.0])
    constant = folder / "constant.safetensors"
    save(constant, state, read_card(trained / "last.safetensors"))
    words = ["folder", f"data.root={sounds}", *tiny.WORDS, "-w", trained, "-w", constant]
    return folder, words, constant, tiny.good("evaluate", *words, "--out", folder / "out")


def test_the_table_has_scores_intervals_and_differences(compared, trained):
    folder, _, constant, done = compared
    with (folder / "out" / "models.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["metric"], first["model"], second["model"]) == ("top1", str(trained), str(constant))
    with np.load(folder / "out" / "predictions-1.npz") as file:
        hits = file["scores_label"].argmax(1) == file["targets_label"]
        assert float(first["score"]) == pytest.approx(100 * hits.mean())
    assert (first["difference"], first["p"]) == ("", "")
    assert float(second["score"]) == pytest.approx(100 / 3)
    assert float(second["difference"]) == pytest.approx(float(second["score"]) - float(first["score"]))
    assert float(second["difference_low"]) <= float(second["difference"]) <= float(second["difference_high"])
    assert 0 < float(second["p"]) <= 1
    assert "6 segments" in done.err
    assert "a paired bootstrap of 10,000 resamples of 6 recordings" in " ".join(done.out.split())


def test_json_has_the_same_values(compared, trained, tmp_path):
    folder, words, constant, _ = compared
    (printed,) = tiny.good("evaluate", *words, "--json", "--out", tmp_path / "out").lines
    stored = json.loads((folder / "out" / "models.json").read_text())
    assert printed == stored  # resamples do not change from run to run
    assert list(stored["scores"]["top1"]) == [str(trained), str(constant)]
    assert (stored["segments"], stored["recordings"], stored["draws"]) == (6, 6, {"top1": 10_000})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--events"], "--events: not together with several --weights"),
        (["--labels", "vggsounder"], "--labels: not together with several --weights"),
        (["--gpus", "2"], "--gpus and --nodes: not together with several --weights"),
    ],
)
def test_options_of_one_model_are_refused(compared, words, message):
    done = tiny.slowfast("evaluate", *compared[1], *words)
    assert (done.code, message in done.err) == (2, True), done.err


def test_weights_that_are_named_twice_or_not_there_are_refused(compared, trained):
    words = compared[1]
    done = tiny.slowfast("evaluate", *words, "-w", trained)
    assert (done.code, f"--weights {trained}: is named twice" in done.err) == (2, True), done.err
    done = tiny.slowfast("evaluate", *words, "-w", "runs/none")
    assert done.code == 4, done.err
    done = tiny.slowfast("evaluate", "hares", "-w", trained, "-w", "runs/none")
    assert (done.code, "several --weights: not for a suite" in done.err) == (2, True), done.err
