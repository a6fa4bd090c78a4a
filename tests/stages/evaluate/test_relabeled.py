"""Predictions for VGG-Sound, scored by VGGSounder's labels beside the original one."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny

from slowfast_cli.corpora import labels, vggsounder
from slowfast_cli.metrics.predictions import Rows
from slowfast_cli.recipe.load import load
from slowfast_cli.stages.evaluate import run as stage
from slowfast_cli.stages.evaluate.relabeled import relabel, write
from slowfast_cli.types import Corpus, DataError, Prediction, Recording, Segment

OFFICIAL = tiny.DATA / "lists" / "vggsounder" / "vggsounder+background-music.160clips.csv"
NAMES = labels.names("vggsound")
CLIP, OTHER = "-Cv3gOXEoxA_000040", "0-EgET9q3qE_000030"  # dogs, and cat purring with others


def one_hot(*classes):
    return np.eye(len(NAMES), dtype=np.float32)[[NAMES.index(name) for name in classes]]


def evaluated(ids, targets, scores, modalities=()):
    def rows(scores_NC):
        return Rows(ids=ids, scores={"label": scores_NC}, targets={"label": np.array(list(map(NAMES.index, targets)))})

    corpus = Corpus(name="vggsound", split="test", segments=(), classes={"label": NAMES})
    return stage.Evaluated(
        scores=None, published={}, corpus=corpus, rows=rows(scores), tables={},
        modalities={name: rows(scores_NC) for name, scores_NC in dict(modalities).items()},
    )  # fmt: skip


def test_the_original_label_stands_beside_the_new_ones(tmp_path):
    result = evaluated(
        ("unknown_000001", CLIP), ("people marching", "dog barking"), one_hot("people marching", "dog baying")
    )
    got = relabel(result, vggsounder.read(OFFICIAL))
    assert (got.clips, got.missing, got.not_annotated, got.confusion) == (1, 159, 1, {})
    assert got.all_clips["original"].values["hit_rate@1"] == 0
    assert got.all_clips["all"].values["hit_rate@1"] == 1
    assert got.all_clips["av"].values["recall@1"] == pytest.approx(1 / 3)
    assert (got.all_clips["a only"].clips, got.all_clips["a only"].values) == (0, {})
    assert got.without_music["all"].clips == 1
    stored = json.loads(write(got, tmp_path).read_text())
    assert stored["all_clips"]["a"] == {"clips": 1, "values": dict(got.all_clips["a"].values)}


def test_sound_and_frames_that_lose_against_each_other():
    right, wrong = one_hot("dog barking"), one_hot("people marching")
    for audio, video, both, expected in (
        (right, right, wrong, {"a": 1, "v": 1, "av": 1}),
        (right, wrong, wrong, {"a": 1, "v": 0, "av": 0}),
        (right, right, right, {"a": 0, "v": 0, "av": 0}),
    ):
        result = evaluated((CLIP,), ("dog barking",), both, {"a": audio, "v": video})
        assert relabel(result, vggsounder.read(OFFICIAL)).confusion == expected


def test_nothing_in_common_is_refused():
    with pytest.raises(DataError, match="none of its 160 clips is among those predicted"):
        relabel(evaluated(("x_000001",), ("dog barking",), one_hot("rapping")), vggsounder.read(OFFICIAL))


@pytest.mark.parametrize(("signals", "kept"), [("frames", {"a", "v"}), ("logmel", set())])
def test_an_ensemble_keeps_sound_and_frames_apart(monkeypatch, signals, kept):
    segments = tuple(
        Segment(id=id_, recording=Recording(id=id_, path=Path("a.wav")), targets={"label": 0}) for id_ in (CLIP, OTHER)
    )
    corpus = Corpus(name="vggsound", split="test", segments=segments, classes={"label": NAMES})

    def predicted(signals, name):
        return stage._Predicted(
            signals=frozenset({signals}), corpus=corpus, sync={}, trained_on=False,
            without_audio=frozenset(),
            predictions=[Prediction(id=segment.id, scores={"label": one_hot(name)[0]}) for segment in segments],
        )  # fmt: skip

    runs = iter([predicted("logmel", "dog barking"), predicted(signals, "rapping")])
    monkeypatch.setattr(stage, "_predict", lambda *_: next(runs))
    monkeypatch.setattr(stage, "check_weights", lambda *_: None)
    recipe = load("vggsound")
    member = stage.EnsembleMember(recipe=recipe, weights=Path("b"))
    found = stage.evaluate(recipe, Path("a"), ensemble=[member])
    assert found.modalities.keys() == kept
    for name, class_ in (("a", "dog barking"), ("v", "rapping")) if kept else ():
        np.testing.assert_array_equal(found.modalities[name].scores["label"], one_hot(class_, class_))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on sounds that bear the names of annotated clips."""
    root = tmp_path_factory.mktemp("vggsound")
    ids = (CLIP, OTHER, "trainclip00_000001", "testclip000_000001")
    for id_ in ids:
        shutil.copyfile(tiny.DATA / "rain.wav", root / f"{id_}.wav")
    rows = [(id_[:11], int(id_[12:]), "dog barking", "train" if "train" in id_ else "test") for id_ in ids]
    with (root / "vggsound.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    shutil.copyfile(OFFICIAL, root / "vggsounder+background-music.csv")
    words = [*tiny.MODEL, *tiny.SCHEDULE, "schedule.epochs=1", "data.source=media", "data.clip_seconds=0.6"]
    words += ["schedule.precise_bn_batches=1", "optim.batch=1"]
    tiny.good("train", "vggsound", f"data.root={root}", *words, "--run", root / "run")
    return root / "run"


@pytest.mark.thorough
def test_evaluate_prints_and_writes_both(run, tmp_path):
    words = ("evaluate", run, "--labels", "vggsounder", "--no-plots", "--out", tmp_path)
    done = tiny.good(*words)
    assert "VGGSounder (vggsounder+background-music.csv): 2 of 160 clips, in %" in done.out
    assert "VGGSounder does not label 1 of the predicted clips" in done.err
    assert [line.split("│")[1].strip() for line in done.out.splitlines() if line.startswith("│")][-7:] == [
        "original", "all", "a", "v", "av", "a only", "v only",
    ]  # fmt: skip
    (plain,) = tiny.good(*words, "--json").lines
    assert plain["vggsounder"] == json.loads((tmp_path / "vggsounder.json").read_text())
    assert plain["vggsounder"]["all_clips"]["original"]["clips"] == 2
    for more, problem in (
        (("--split", "train"), "labels the test split of vggsound, and this is train"),
        (("--events",), "--labels: not together with --events"),
    ):
        refused = tiny.slowfast(*words, *more)
        assert (refused.code, problem in refused.err) == (2, True)
