"""Members of an ensemble, and what they have in common."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slowfast_cli.build import init_weights
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.recipe.load import load, read
from slowfast_cli.stages.evaluate import ensemble
from slowfast_cli.stages.evaluate import run as stage
from slowfast_cli.types import Corpus, DataError, Failure, Prediction, Recording, Segment, UsageError, WeightsError
from slowfast_cli.weights.file import Card


def named(recipe, *words):
    return ensemble.NamedRecipe(source=read(recipe), overrides=words)


CLASSES = {"verb": ("take", "put", "wash"), "noun": ("tap", "spoon")}


def segment(number, verb=0):
    id_ = f"P01_11_{number}"
    recording = Recording(id="P01_11", path=Path("P01_11.wav"))
    return Segment(id=id_, recording=recording, targets={"verb": verb, "noun": 1})


def lost(number, reason="not on disk"):
    return Failure(id=f"P01_11_{number}", path=Path("P01_11.MP4"), reason=reason)


def corpus(segments, missing=(), **changes):
    plain = Corpus(name="epic", split="validation", segments=tuple(segments), classes=CLASSES, missing=tuple(missing))
    return replace(plain, **changes)


def test_segments_that_one_run_lacks_are_missing():
    first = corpus([segment(0), segment(1), segment(2)], [lost(3, "silent")])
    second = corpus([segment(1), segment(2), segment(3)], [lost(0)])
    common = ensemble.common_corpus(first, [second])
    assert [one.id for one in common.segments] == ["P01_11_1", "P01_11_2"]
    assert {failure.id: failure.reason for failure in common.missing} == {
        "P01_11_3": "silent",
        "P01_11_0": "not on disk",
    }
    assert common.listed == 4


def test_runs_of_other_label_sets_are_joined():
    verbs, nouns = (
        corpus(
            [replace(segment(0), targets={labels: 1})], classes={labels: CLASSES[labels]}
        )
        for labels in ("verb", "noun")
    )  # fmt: skip
    common = ensemble.common_corpus(verbs, [nouns])
    assert dict(common.classes) == CLASSES
    assert common.segments[0].targets == {"verb": 1, "noun": 1}


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (corpus([segment(0)], split="test"), "that run is about epic test, this one about epic validation"),
        (corpus([segment(0)], name="epic55"), "that run is about epic55 validation"),
        (
            corpus([segment(0)], classes={**CLASSES, "verb": ("take", "put")}),
            "label set verb has 2 classes in that run and 3 in this one",
        ),
        (
            corpus([segment(0)], classes={**CLASSES, "noun": ("spoon", "tap")}),
            "label set noun has 2 classes in that run and 2 in this one, or in another order",
        ),
        (
            corpus([segment(0), segment(7)]),
            "1 segments of epic validation are in the list of one run only, such as 'P01_11_7'",
        ),
        (corpus([segment(0, verb=2)]), "'P01_11_0' of epic validation has other labels in that run"),
        (corpus([], [lost(0, "no frames")]), "no segment of epic validation is read by all runs: no frames"),
    ],
)
def test_runs_that_do_not_match_are_refused(other, words):
    with pytest.raises(DataError, match=words):
        ensemble.common_corpus(corpus([segment(0)]), [other])


def test_a_run_that_is_none_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"not a finished run: expected recipe\.yaml and last\.safetensors there"):
        ensemble.ensemble_member(str(tmp_path), named("epic"))


def test_official_weights_bring_their_recipe(monkeypatch, tmp_path):
    card = Card(
        net=VARIANTS["asf-r50"], classes={}, clip_seconds=1.5, recipe="epic", views=7, scores={"verb_top1": 46.05},
        front_end={"rate": 24000, "window_ms": 10.0, "hop_ms": 5.0, "mels": 128, "fft": 2048, "floor": 1e-6},
    )  # fmt: skip
    asked = []
    monkeypatch.setattr(ensemble, "weight_file", lambda word, offline: asked.append((word, offline)) or tmp_path / "a")
    for module in (ensemble, init_weights):
        monkeypatch.setattr(module, "read_card", lambda path: card)
    first = named("epic-video", f"data.root={tmp_path}", "data.test=test")
    member = ensemble.ensemble_member("asf-epic", first, offline=True)
    assert asked == [("asf-epic", True)]
    assert (member.weights, member.recipe.frontend.rate) == (tmp_path / "a", 24000)
    assert (member.recipe.data.root, member.recipe.data.test) == (tmp_path, "test")
    data = member.recipe.data
    assert (data.clip_seconds, data.views, member.recipe.published) == (1.5, 7, {"verb_top1": 46.05})
    with pytest.raises(DataError, match="--weights asf-epic: that run is about epic, this one about ssv2"):
        ensemble.ensemble_member("asf-epic", named("ssv2"), option="--weights")


def test_fields_of_the_command_line_come_after_the_settings_of_official_weights(monkeypatch, tmp_path):
    settings = {**load("ssv2").video.settings(), "frames": 32, "crops": 3}
    card = Card(
        net=VARIANTS["slowfast-8x8-r50"], classes={}, front_end={}, clip_seconds=64 / 30, recipe="ssv2", video=settings
    )
    monkeypatch.setattr(ensemble, "weight_file", lambda word, offline: tmp_path / "a")
    for module in (ensemble, init_weights):
        monkeypatch.setattr(module, "read_card", lambda path: card)
    of = lambda *words: ensemble.ensemble_member("slowfast-8x8-r50-ssv2", named("ssv2", *words)).recipe  # noqa: E731
    assert (of().video.frames, of().video.crops, load("ssv2").video.crops) == (32, 3, 1)
    assert (of("video.crops=1").video.frames, of("video.crops=1").video.crops) == (32, 1)


def test_the_same_weights_twice_are_refused(tmp_path):
    (tmp_path / "a").mkdir()
    paths = [tmp_path / "a" / "w", tmp_path / "b", tmp_path / "a" / ".." / "a" / "w"]
    with pytest.raises(UsageError, match="--ensemble a/: the same weights as a: name them once"):
        ensemble.require_distinct(["a", "b", "a/"], paths, "--ensemble")
    ensemble.require_distinct(["a", "b"], paths[:2], "--ensemble")


def test_an_ensemble_reports_what_limits_any_of_its_members(monkeypatch):
    scores = {"verb": np.full(3, 1 / 3, np.float32), "noun": np.full(2, 0.5, np.float32)}
    runs = [
        stage._Predicted(
            signals=frozenset({"frames"}), corpus=corpus([segment(0), segment(1)]), sync={}, trained_on=number == 1,
            without_audio=frozenset({f"P01_11_{number}"}),
            predictions=[Prediction(id=f"P01_11_{row}", scores=scores) for row in range(2)],
        )
        for number in range(2)
    ]  # fmt: skip
    given = iter(runs)
    monkeypatch.setattr(stage, "_predict", lambda *_: next(given))
    monkeypatch.setattr(stage, "check_weights", lambda *_: None)
    member = ensemble.EnsembleMember(recipe=load("epic-video"), weights=Path("b"))
    result = stage.evaluate(load("epic-video"), Path("a"), ensemble=[member])
    assert (result.without_audio, result.trained_on) == (2, True)


@pytest.mark.parametrize("words", [[], ["data.fusion=probabilities"]])
def test_the_first_recipe_says_what_is_averaged(monkeypatch, words):
    rows = ([0.9, 0.05, 0.05], [0.1, 0.6, 0.3])

    def predicted(row):
        scores = {"verb": np.array(row, np.float32), "noun": np.array([0.5, 0.5], np.float32)}
        return stage._Predicted(
            signals=frozenset({"logmel"}), corpus=corpus([segment(0)]), sync={}, trained_on=False,
            without_audio=frozenset(),
            predictions=[Prediction(id="P01_11_0", scores=scores)],
        )  # fmt: skip

    runs = iter(map(predicted, rows))
    monkeypatch.setattr(stage, "_predict", lambda *_: next(runs))
    monkeypatch.setattr(stage, "check_weights", lambda *_: None)
    recipe = load("epic-video", words)
    member = ensemble.EnsembleMember(recipe=load("epic"), weights=Path("b"))
    found = stage.evaluate(recipe, Path("a"), ensemble=[member]).rows.scores["verb"][0]
    powers = np.sqrt(np.prod(rows, axis=0))
    np.testing.assert_allclose(found, np.mean(rows, axis=0) if words else powers / powers.sum(), rtol=1e-5)


def test_logits_of_independent_classes_are_not_averaged():
    with pytest.raises(UsageError, match=r"data\.fusion: logits are averaged before a softmax, which task multilabel"):
        load("charades-av", ["data.fusion=logits"])
