"""`slowfast evaluate` of several weights: one table, on the same segments."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file

from slowfast_cli.build.corpus import read_corpus
from slowfast_cli.recipe.load import load
from slowfast_cli.stages.evaluate import models, run
from slowfast_cli.types import Box, Corpus, DataError, Recording, Segment
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
        first, second, *ranked = csv.DictReader(file)
    assert [row["metric"] for row in ranked] == ["map", "map"]
    assert (first["metric"], first["model"], second["model"]) == ("top1", str(trained), str(constant))
    with np.load(folder / "out" / "predictions-1.npz") as file:
        hits = file["scores_label"].argmax(1) == file["targets_label"]
        assert float(first["score"]) == pytest.approx(100 * hits.mean())
    assert (first["difference"], first["p"]) == ("", "")
    assert float(second["score"]) == pytest.approx(100 / 3)
    assert float(second["difference"]) == pytest.approx(float(second["score"]) - float(first["score"]))
    assert (first["low"], second["low"], second["difference_low"]) == ("", "", "")
    assert 2 / 2**6 <= float(second["p"]) <= 1
    printed = " ".join(done.out.split())
    assert "scored 6 of 6 listed segments (100.0%)" in printed
    assert "no intervals: 6 recordings, fewer than 10; p by a paired permutation test over recordings" in printed
    assert "adjusted for 1 comparison (Holm)" in printed
    assert done.out.count("weights") == 2  # one table for top-1 and mAP, and the line below it
    assert re.findall(r"(folder|constant) +\S +(Top-1|mAP)", done.out) == [
        ("folder", "Top-1"), ("constant", "Top-1"), ("folder", "mAP"), ("constant", "mAP"),
    ]  # fmt: skip


def test_json_has_the_same_values(compared, trained, tmp_path):
    folder, words, constant, _ = compared
    (printed,) = tiny.good("evaluate", *words, "--json", "--out", tmp_path / "out").lines
    stored = json.loads((folder / "out" / "models.json").read_text())
    assert printed == stored  # resamples do not change from run to run
    assert list(stored["scores"]["top1"]) == [str(trained), str(constant)]
    assert (stored["segments"], stored["recordings"], stored["draws"]) == (6, 6, {"top1": 10_000, "map": 1_000})
    change = stored["scores"]["top1"][str(constant)]["difference"]
    assert (change["interval"], change["mark"]) == (None, "")
    assert stored["models"][str(trained)] == {"segments": 6, "missing": 0, "without_audio": 0, "trained_on": False}


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
    for same in (trained, f"{trained}/"):
        done = tiny.slowfast("evaluate", *words, "-w", same)
        assert (done.code, f"--weights {same}: the same weights as {trained}: name" in done.err) == (2, True), done.err
    done = tiny.slowfast("evaluate", trained, "--ensemble", f"{trained}/")
    assert (done.code, f"--ensemble {trained}/: the same weights as" in done.err) == (2, True), done.err
    done = tiny.slowfast("evaluate", *words, "-w", "runs/none")
    assert done.code == 4, done.err
    done = tiny.slowfast("evaluate", "hares", "-w", trained, "-w", "runs/none")
    assert (done.code, "several --weights: not for a suite" in done.err) == (2, True), done.err


def test_what_limits_a_model_is_printed_by_its_name(compared, trained, sounds, tmp_path):
    words = ["folder", f"data.root={sounds}", *tiny.WORDS, "-w", trained, "-w", compared[2]]
    done = tiny.good("evaluate", *words, "--split", "train", "--out", tmp_path)
    assert f"note: {trained}: the weights were trained on these very segments" in done.err
    models = json.loads((tmp_path / "models.json").read_text())["models"]
    assert [facts["trained_on"] for facts in models.values()] == [True, True]


def test_weights_that_do_not_fit_are_refused_before_any_network_runs(compared, trained, tmp_path, monkeypatch):
    card, state = read_card(trained / "last.safetensors"), load_file(trained / "last.safetensors")
    others = {
        "renamed": (replace(card, classes={"label": ("a", "b", "c")}), "trained with other classes"),
        "finer": (replace(card, front_end={**card.front_end, "hop_ms": 5.0}), "trained with frontend.hop_ms 5"),
        "longer": (replace(card, clip_seconds=0.7), "trained on clips of 0.7 s, the recipe has 0.6"),
    }
    monkeypatch.setattr(run, "_predict", lambda *_: pytest.fail("a network ran"))
    for name, (changed, message) in others.items():
        path = tmp_path / f"{name}.safetensors"
        save(path, state, changed)
        done = tiny.slowfast("evaluate", *compared[1], "-w", path)
        assert (done.code, message in done.err) == (4, True), done.err


def test_a_corpus_without_labels_is_refused_before_any_network_runs(compared, monkeypatch):
    corpus = replace(read_corpus(load("folder", compared[1][1:-4]), "test"))
    bare = replace(corpus, segments=tuple(replace(segment, targets={}) for segment in corpus.segments))
    monkeypatch.setattr(run, "read_corpus", lambda *_: bare)
    monkeypatch.setattr(run, "_predict", lambda *_: pytest.fail("a network ran"))
    done = tiny.slowfast("evaluate", *compared[1])
    assert (done.code, "it has no labels to score against" in done.err) == (3, True), done.err


def test_several_label_sets_stand_in_one_table(kitchen, trained_epic, tmp_path):
    other = tmp_path / "other.safetensors"
    path = trained_epic / "last.safetensors"
    save(other, load_file(path), read_card(path))
    words = [f"data.root={kitchen}", *tiny.EPIC_WORDS, *tiny.EPIC_SCRATCH, "-w", trained_epic, "-w", other]
    done = tiny.good("evaluate", "epic", *words, "--out", tmp_path / "out")
    assert re.findall(r"(epic|other) +\S +(\w+) Top-1", done.out) == [
        (model, labels) for labels in ("Verb", "Noun", "Action") for model in ("epic", "other")
    ]
    assert done.out.count("metric") == 1


def made(classes=("label",), **segment):
    recording = Recording(id="r", path="r.wav")
    labeled = {"targets": dict.fromkeys(classes, 0), **segment}
    return Corpus(
        name="made", split="test", segments=(Segment(id="s", recording=recording, **labeled),),
        classes=dict.fromkeys(classes, ("a", "b")),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("corpora", "message"),
    [
        ([made(boxes=(Box(place=(0, 0, 1, 1)),))] * 2, "its labels are of boxes"),
        ([made(targets={})] * 2, "it has no labels to score against"),
        ([made(("verb", "noun")), made(("verb",))], "--weights 1: predicts verb, 0 predicts verb, noun"),
        ([made(), made(targets={"label": 1})], "--weights: 's' of made test has other labels"),
    ],
)
def test_corpora_that_cannot_be_compared_are_refused(monkeypatch, corpora, message):
    given = iter(corpora)
    monkeypatch.setattr(models, "check_weights", lambda *_: next(given))
    found = [models.Model(name=str(number), recipe=load("esc10"), weights=Path("w")) for number in range(2)]
    with pytest.raises(DataError, match=message):
        models.check_models(found, "test")


def test_the_note_counts_recordings():
    for recordings, text in ((1, "no intervals: 1 recording, fewer"), (12, "resamples of 12 recordings; p")):
        comparison = models.Comparison(
            scores={"top1": {}}, models={"a": None, "b": None}, corpus=made(), segments=20, recordings=recordings
        )
        assert text in models.note(comparison)


def test_a_run_gives_its_recipe_and_its_folder(compared, trained):
    done = tiny.good("evaluate", trained, "-w", compared[2], "-w", trained / "last.safetensors")
    assert f"note: {trained} gives its recipe and data" in " ".join(done.err.split())
    assert (trained / "evaluation" / "models-test" / "models.csv").is_file()
