"""Scoring a model: the numbers, what is written, and what is refused."""

import csv
import json
import math
import re
import shutil
import zipfile

import golden
import numpy as np
import pytest
import tiny

from slowfast_cli.corpora import labels
from slowfast_cli.metrics.epic_challenge import Supervision
from slowfast_cli.metrics.predictions import Rows
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.recipe.load import load, to_yaml
from slowfast_cli.stages.evaluate import run as stage
from slowfast_cli.stages.evaluate.ensemble import EnsembleMember
from slowfast_cli.stages.evaluate.predictions import write_submission
from slowfast_cli.stages.evaluate.supervision import Provenance, provenance, supervision
from slowfast_cli.types import Corpus, Recording, Segment, UsageError, WeightsError
from slowfast_cli.weights import file as weights_file
from slowfast_cli.weights.file import Card

EPIC_SET = ["--split", "test", "data.test=test"]


@pytest.fixture(scope="module")
def evaluated(trained, sounds, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluation") / "out"
    done = tiny.good("evaluate", "folder", f"data.root={sounds}", *tiny.WORDS, "-w", trained, "--out", out)
    return out, done


def softmax_hits(scores, targets, k):
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return 100 * np.mean([target in row for target, row in zip(targets, order, strict=True)])


def average_precision(scores, truth):
    """The mean of the precision at each positive, from the top."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])
    return np.mean([hits[place] / (place + 1) for place in range(len(order)) if truth[order][place]])


def test_scores_are_those_of_the_saved_predictions(evaluated, trained, sounds):
    out, _ = evaluated
    with np.load(out / "predictions.npz", allow_pickle=False) as file:
        ids, scores, targets = file["ids"], file["scores_label"], file["targets_label"]
        assert file["classes_label"].tolist() == ["helicopter", "rain", "rooster"]
    assert len(ids) == len(set(ids.tolist())) == 6
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)
    for id, target in zip(ids.tolist(), targets, strict=True):
        assert id.split("/")[:2] == ["test", ["helicopter", "rain", "rooster"][target]]
    done = tiny.good(
        "evaluate", "folder", f"data.root={sounds}", *tiny.WORDS, "-w", trained, "--out", out, "--json", "--no-plots"
    )
    (reported,) = done.lines
    assert reported["scores"]["top1"] == pytest.approx(softmax_hits(scores, targets, 1))
    assert reported["scores"]["top5"] == pytest.approx(softmax_hits(scores, targets, 5))
    assert reported["scores"]["map"] == pytest.approx(
        np.mean([average_precision(scores[:, label], targets == label) for label in range(3)]), rel=1e-5
    )
    assert (reported["found"], reported["listed"]) == (6, 6)


def test_ours_stand_beside_the_papers_with_the_coverage(evaluated):
    out, done = evaluated
    assert "scored 6 of 6 listed segments (100.0%)" in done.out
    assert "Top-1" in done.out
    assert f"done: {out}" in done.err
    assert {path.name for path in out.iterdir()} == {
        "predictions.npz", "classes-label.csv", "classes-label.png", "confused-label.csv", "confused-label.png",
        "confusion-label.png", "calibration-label.png", "feature-maps.png", "predictions.csv", "report.html",
    }  # fmt: skip
    with (out / "classes-label.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["name"] for row in rows} == {"helicopter", "rain", "rooster"}
    assert all(path.stat().st_size > 5000 for path in out.glob("*.png"))


def test_published_numbers_and_missing_segments_are_shown(trained, sounds, tmp_path):
    root = tmp_path / "folder"
    shutil.copytree(sounds, root)
    shutil.copytree(sounds.parent / "shards", tmp_path / "shards")
    extra = root / "test" / "rain" / "late.wav"
    shutil.copyfile(root / "test" / "rain" / "rain-6.wav", extra)
    done = tiny.good(
        "evaluate", "folder", f"data.root={root}", *tiny.WORDS, "-w", trained, "--out", tmp_path / "out", "--no-plots",
        "published.top1=50", "published.map=0.25",
    )  # fmt: skip
    assert "scored 6 of 7 listed segments (85.7%)" in done.out
    assert "not scored: test/rain/late.wav: not in the shards: run `slowfast extract` again" in done.err
    (row,) = (line for line in done.out.splitlines() if "Top-1" in line and "│" in line)
    ours, paper, difference = (cell.strip() for cell in row.strip("│┃").split("│")[1:])
    assert (paper, float(difference)) == ("50.00", pytest.approx(float(ours) - 50, abs=0.01))
    assert "0.250" in done.out
    assert re.search(r"Top-1: \d of 6 right, 95 % interval \d+\.\d to \d+\.\d", done.out)


def test_views_are_averaged_and_workers_change_nothing(trained, sounds):
    one, many = (
        stage.evaluate(load("folder", [f"data.root={sounds}", *tiny.WORDS, *more]), trained / "last.safetensors")
        for more in (["data.views=1"], ["data.views=3", "data.workers=2", "optim.batch=5"])
    )
    repeated = stage.evaluate(
        load("folder", [f"data.root={sounds}", *tiny.WORDS, "data.views=3"]), trained / "last.safetensors"
    )
    assert one.rows.ids == many.rows.ids
    np.testing.assert_allclose(many.rows.scores["label"], repeated.rows.scores["label"], rtol=1e-5)
    assert np.abs(many.rows.scores["label"] - one.rows.scores["label"]).max() > 1e-4


def test_the_model_of_a_run_scores_what_the_run_logged(trained, sounds):
    """The saved averaged weights and norms are those that were scored."""
    found = stage.evaluate(
        load("folder", [f"data.root={sounds}", *tiny.WORDS]), trained / "last.safetensors", split="val"
    )
    logged = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()][-1]
    assert dict(found.scores.values) == pytest.approx(
        {key[4:]: value for key, value in logged.items() if key.startswith("val_") and key != "val_loss"}
    )


@pytest.mark.thorough
def test_two_models_are_compared_class_by_class(evaluated, trained, sounds, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "slowfast_cli.stages.evaluate.report.class_bars_plot",
        lambda rows, other, path, *, models, title: drawn.append(models) or path,
    )
    out, _ = evaluated
    other = tmp_path / "other"
    tiny.good("train", "folder", f"data.root={sounds}", *tiny.WORDS, "schedule.epochs=1", "seed=4", "--run", other)
    command = ["evaluate", "folder", f"data.root={sounds}", *tiny.WORDS]
    tiny.good(*command, "-w", other, "--no-plots")
    assert (other / "evaluation" / "test" / "predictions.npz").is_file()
    # A run folder, wherever its own files went, or a folder of predictions.
    for theirs in (other, other / "evaluation" / "test"):
        done = tiny.good(*command, "-w", trained, "--out", tmp_path / "mine", "--compare", theirs, "--min-gain", "0")
        assert "label: classes that one model does better by more than 0 points" in done.out
        assert (tmp_path / "mine" / "comparison-label.png").is_file()
    assert drawn == [(trained.name, "other")] * 2
    with np.load(out / "predictions.npz") as mine, np.load(other / "evaluation" / "test" / "predictions.npz") as file:
        first = mine["scores_label"].argmax(1) == mine["targets_label"]
        second = file["scores_label"].argmax(1) == file["targets_label"]
        better = {
            name
            for label, name in enumerate(("helicopter", "rain", "rooster"))
            if first[mine["targets_label"] == label].mean() != second[file["targets_label"] == label].mean()
        }
    table = done.out.partition("label: classes")[2]
    reported = {line.strip("│").split("│")[0].strip() for line in table.splitlines() if line.startswith("│")}
    assert reported == better
    done = tiny.good(*command, "-w", trained, "--out", tmp_path / "mine", "--compare", other, "--min-gain=0", "--json")
    (plain,) = done.lines
    sides = plain["compared"]["label"]
    assert {gain["name"] for side in ("better", "worse") for gain in sides[side]} == better


@pytest.mark.parametrize("content", [None, b"", b"no archive", b"PK\x03\x04 half of one"])
def test_predictions_that_cannot_be_compared(evaluated, trained, sounds, tmp_path, content):
    (tmp_path / "theirs").mkdir()
    if content is not None:
        (tmp_path / "theirs" / "predictions.npz").write_bytes(content)
    done = tiny.slowfast(
        "evaluate", "folder", f"data.root={sounds}", *tiny.WORDS, "-w", trained, "--out", tmp_path / "mine",
        "--no-plots", "--compare", tmp_path / "theirs",
    )  # fmt: skip
    assert done.code == 3
    if content is None:  # said before the model is run
        assert (done.out, "test/predictions.npz: no predictions there" in done.err) == ("", True)
    else:
        assert "predictions.npz: not a predictions file that can be compared" in done.err
    assert "run `slowfast evaluate` on that run first" in done.err


def test_weights_that_predict_nan_are_named(trained, sounds, tmp_path):
    card, state = weights_file.read(trained / "best.safetensors")
    weights_file.save(tmp_path / "own.safetensors", {name: value * math.nan for name, value in state.items()}, card)
    done = tiny.slowfast(
        "evaluate", "folder", f"data.root={sounds}", *tiny.WORDS, "-w", tmp_path / "own.safetensors",
        "--out", tmp_path / "out", "--no-plots",
    )  # fmt: skip
    assert done.code in (3, 4)
    assert f"error: {tmp_path / 'own.safetensors'}: " in done.err


def test_epic_is_scored_as_its_challenge_and_its_paper_do(kitchen, trained_epic, tmp_path):
    done = tiny.good(
        "evaluate", "epic", f"data.root={kitchen}", *tiny.EPIC_WORDS, *tiny.EPIC_SCRATCH, "-w", trained_epic,
        "--out", tmp_path, "--json", "--no-plots",
    )  # fmt: skip
    (reported,) = done.lines
    with np.load(tmp_path / "predictions.npz") as file:
        ids = file["ids"]
        verb, noun = file["scores_verb"], file["scores_noun"]
        verbs, nouns = file["targets_verb"], file["targets_noun"]
    assert verb.shape == (8, 97)
    assert noun.shape == (8, 300)
    for name, rows in {"": np.ones(8, bool), "unseen_": np.char.startswith(ids, "P18")}.items():
        inside = [np.flatnonzero(rows), 5]
        for k in (1, inside[1]):
            v = np.array([t in np.argsort(-s, kind="stable")[:k] for s, t in zip(verb, verbs, strict=True)])
            n = np.array([t in np.argsort(-s, kind="stable")[:k] for s, t in zip(noun, nouns, strict=True)])
            assert reported["scores"][f"{name}verb_top{k}"] == pytest.approx(100 * v[rows].mean())
            assert reported["scores"][f"{name}noun_top{k}"] == pytest.approx(100 * n[rows].mean())
            assert reported["scores"][f"{name}action_top{k}"] == pytest.approx(100 * (v & n)[rows].mean())
    assert reported["published"]["action_top1"] == 15.22


def test_a_submission_is_what_the_challenge_takes(kitchen, trained_epic, tmp_path):
    done = tiny.good(
        "evaluate", "epic", f"data.root={kitchen}", *tiny.EPIC_WORDS, *tiny.EPIC_SCRATCH, "-w", trained_epic,
        *EPIC_SET, "--out", tmp_path / "out", "--submission", tmp_path / "test.json",
    )  # fmt: skip
    assert "epic test: 4 of 4 segments (100.0%): no labels, so no scores" in done.err
    assert done.out == ""
    plain = json.loads((tmp_path / "test.json").read_text())
    assert set(plain["results"]) == {f"P33_01_{number}" for number in range(4)}
    assert {"version", "challenge", "sls_pt", "sls_tl", "sls_td"} <= set(plain)
    for answer in plain["results"].values():
        assert list(answer) == ["verb", "noun"]
        assert set(answer["verb"]) == {str(number) for number in range(97)}
        assert set(answer["noun"]) == {str(number) for number in range(300)}
    assert (tmp_path / "out" / "feature-maps.png").is_file()


def test_a_submission_is_epics_only(trained, sounds, tmp_path):
    done = tiny.slowfast(
        "evaluate", "folder", f"data.root={sounds}", *tiny.WORDS, "-w", trained, "--out", tmp_path, "--no-plots",
        "--submission", tmp_path / "x.json",
    )  # fmt: skip
    assert done.code == 3
    assert "--submission: the challenges are EPIC-KITCHENS-100's and EPIC-SOUNDS'; folder has label" in done.err


def test_a_class_that_is_not_scored(trained, sounds, tmp_path):
    words = ["evaluate", "folder", f"data.root={sounds}", *tiny.WORDS, "-w", trained, "--no-plots", "--json"]
    (whole,) = tiny.good(*words, "--out", tmp_path / "whole").lines
    (rest,) = tiny.good(*words, "--out", tmp_path / "rest", "--redact", "rain").lines
    assert (whole["found"], rest["found"], rest["listed"]) == (6, 4, 4)
    with np.load(tmp_path / "rest" / "predictions.npz", allow_pickle=False) as file:
        assert file["scores_label"].shape == (4, 3)
        assert set(file["targets_label"].tolist()) == {0, 2}
        hits = file["scores_label"].argmax(axis=1) == file["targets_label"]
    assert rest["scores"]["top1"] == pytest.approx(100 * hits.mean())
    done = tiny.slowfast(*words, "--redact", "ran")
    assert (done.code, "no class is called 'ran'; did you mean 'rain'" in done.err) == (3, True)


def test_the_submission_of_epic_sounds(tmp_path):
    official = golden.REFERENCE / "metrics" / "epic_sounds_submission.json"
    with np.load(golden.REFERENCE / "metrics" / "epic_sounds_recognition.npz") as file:
        scores = file["views/scores"][:3].sum(axis=1)
    ids = ("P95_01_0", "P95_02_1", "P95_03_2")
    segments = tuple(Segment(id=id_, recording=Recording(id=id_, path=tmp_path)) for id_ in ids)
    classes = {"label": labels.names("epic_sounds44")}
    evaluated = stage.Evaluated(
        scores=None, published={}, tables={}, rows=Rows(ids=ids, scores={"label": scores}, targets={}),
        corpus=Corpus(name="epic-sounds", split="test", segments=segments, classes=classes),
    )  # fmt: skip
    plain = write_submission(evaluated, tmp_path / "test.json", Provenance(supervision=Supervision(), t_mod=0))
    assert plain.read_bytes() == official.read_bytes()
    for made_by, fields in (
        (Provenance(supervision=Supervision(), t_mod=0), b'"sls_pt": 2, "sls_tl": 3, "sls_td": 3, "t_mod": 0'),
        (
            Provenance(supervision=Supervision(pt=1, td=4), t_mod=2),
            b'"sls_pt": 1, "sls_tl": 3, "sls_td": 4, "t_mod": 2',
        ),
    ):
        packed = write_submission(evaluated, tmp_path / "a.zip", made_by)
        with zipfile.ZipFile(packed) as archive:
            assert archive.namelist() == ["test.json"]
            assert archive.getinfo("test.json").compress_type == zipfile.ZIP_DEFLATED
            assert archive.read("test.json") == official.read_bytes().replace(
                b'"sls_pt": 2, "sls_tl": 3, "sls_td": 3, "t_mod": 0', fields
            )


def weights_of(folder, variant="asf-r50", **card):
    """A small network with a card."""
    folder.mkdir(parents=True)
    net = with_width(VARIANTS[variant], 8)
    card = Card(net=net, classes={"label": ("a", "b")}, front_end=tiny.FRONT_END, clip_seconds=0.5, **card)
    weights_file.save(folder / "last.safetensors", card.model().state_dict(), card)
    return folder / "last.safetensors"


def test_the_levels_are_those_of_the_recipe_and_the_split_of_the_weights(tmp_path):
    recipe = load("epic-sounds")
    both, train = (weights_of(tmp_path / split, train_split=split) for split in ("trainval", "train"))
    earlier = weights_of(tmp_path / "earlier")
    trained = load("epic-sounds", ["data.train=trainval", "keep=last"])
    (earlier.parent / "recipe.yaml").write_text(to_yaml(trained))
    for weights, words, level in (
        (train, [], Supervision()),
        (both, [], Supervision(td=4)),
        (earlier, [], Supervision(td=4)),
        (weights_of(tmp_path / "loose"), ["data.train=trainval"], Supervision()),  # the weights were not trained by it
        (both, ["challenge.pretraining=1", "challenge.labels=5", "challenge.data=5"], Supervision(pt=1, tl=5, td=5)),
    ):
        assert supervision(load("epic-sounds", words), weights_file.read_card(weights), weights) == level
    members = [EnsembleMember(recipe=recipe, weights=weights) for weights in (train, both)]
    assert provenance(members) == Provenance(supervision=Supervision(td=4), t_mod=0)
    frames = weights_of(tmp_path / "frames", "slowfast-8x8-r50")
    assert provenance([*members, EnsembleMember(recipe=recipe, weights=frames)]).t_mod == 2
    assert provenance([EnsembleMember(recipe=recipe, weights=frames)]).t_mod == 1
    with pytest.raises(UsageError, match=r"challenge\.labels: .*less than or equal to 5"):
        load("epic-sounds", ["challenge.labels=6"])


def test_weights_of_another_recipe_are_refused(trained, trained_epic, sounds, kitchen, tmp_path):
    epic = ["evaluate", "epic", f"data.root={kitchen}", *tiny.EPIC_WORDS, *tiny.EPIC_SCRATCH]
    done = tiny.slowfast(*epic, "-w", trained)
    assert done.code == 4
    assert "trained with other classes: label set 'verb' has 0 there, 97 in epic" in done.err
    assert "evaluate on the data that the weights were trained on, by recipe folder" in done.err
    tiny.good("extract", "--dataset", "folder", "--root", sounds, "-j", 1, *tiny.FRONT, "frontend.hop_ms=20")
    with pytest.raises(
        WeightsError, match=r"trained with frontend\.hop_ms 10, the recipe has 20: .* frontend\.hop_ms=10"
    ):
        stage.evaluate(
            load("folder", [f"data.root={sounds}", *tiny.WORDS, "frontend.hop_ms=20"]), trained / "last.safetensors"
        )
    root = tmp_path / "folder"  # the same number of classes, called otherwise
    shutil.copytree(sounds, root)
    shutil.copytree(sounds.parent / "shards", tmp_path / "shards")
    for part in tiny.PARTS:
        (root / part / "rain").rename(root / part / "river")
    done = tiny.slowfast(
        "evaluate", "folder", f"data.root={root}", *tiny.WORDS, "-w", trained, "--out", tmp_path, "data.source=media"
    )
    assert done.code == 4
    assert "label set 'label' has 3 there, 3 in folder, and class 1 is " in done.err


def test_shards_and_media_give_nearly_the_same_scores(trained, sounds):
    one, other = (
        stage.evaluate(load("folder", [f"data.root={sounds}", *tiny.WORDS, *more]), trained / "last.safetensors")
        for more in ([], ["data.source=media"])
    )
    np.testing.assert_allclose(one.rows.scores["label"], other.rows.scores["label"], atol=0.05)


@pytest.mark.parametrize("option", [["--out", "file/below"], ["--submission", "file/below.json"]])
def test_output_that_cannot_be_written(kitchen, trained_epic, tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    done = tiny.slowfast(
        "evaluate", "epic", f"data.root={kitchen}", *tiny.EPIC_WORDS, *tiny.EPIC_SCRATCH, "-w", trained_epic,
        *EPIC_SET, "--no-plots", "--out", tmp_path / "out", *option,
    )  # fmt: skip
    assert done.code in (1, 2)
    assert re.search(rf"error: .*{option[1]}: (cannot be written|folder .* does not exist)", done.err)
    assert "defect" not in done.err


@pytest.mark.processes
def test_three_processes_score_as_one_does(trained, sounds, tmp_path):
    """Six segments of three views."""
    command = [
        "evaluate",
        "folder",
        f"data.root={sounds}",
        *tiny.WORDS,
        "data.views=3",
        "-w",
        trained,
        "--no-plots",
        "--json",
        "--split",
    ]
    one = tiny.good(*command, "test", "--out", tmp_path / "one").lines
    three = tiny.process(*command, "test", "--out", tmp_path / "three", "--gpus", "3")
    assert three.code == 0, three.err
    assert three.lines == one
    with np.load(tmp_path / "one" / "predictions.npz") as mine, np.load(tmp_path / "three" / "predictions.npz") as all_:
        assert len(set(mine["ids"])) == len(mine["ids"]) == 6
        assert mine["ids"].tolist() == all_["ids"].tolist()
        np.testing.assert_allclose(mine["scores_label"], all_["scores_label"], rtol=1e-5)


@pytest.mark.processes
@pytest.mark.slow
def test_uneven_views_and_a_broken_recording_over_three_processes(trained, sounds, tmp_path):
    """Views that cover recordings of 0.5 to 2.6 s, eight of them; one cannot be read."""
    root = tmp_path / "sounds"
    shutil.copytree(sounds, root)
    for number in range(2):
        samples = tiny.sound("rooster.flac", 1.9 + 0.7 * number)
        tiny.write(root / "test" / "rooster" / f"long-{number}.wav", samples)
    next((root / "test" / "rain").iterdir()).write_bytes(b"broken")
    words = [word for word in tiny.WORDS if not word.startswith("data.views")]
    command = [
        "evaluate", "folder", f"data.root={root}", *words, "data.views=0", "data.source=media", "-w", trained,
        "--no-plots", "--json",
    ]  # fmt: skip
    one = tiny.good(*command, "--out", tmp_path / "one")
    three = tiny.process(*command, "--out", tmp_path / "three", "--gpus", "3")
    assert three.code == 0, three.err
    assert three.lines == one.lines
    assert (one.lines[0]["found"], one.lines[0]["listed"]) == (7, 8)
    assert three.err.count("not scored: ") == one.err.count("not scored: ") == 1
    with np.load(tmp_path / "one" / "predictions.npz") as mine, np.load(tmp_path / "three" / "predictions.npz") as all_:
        assert mine["ids"].tolist() == all_["ids"].tolist()
        np.testing.assert_allclose(mine["scores_label"], all_["scores_label"], rtol=1e-5)
