"""Several classes at once: Charades against the reference, its tables, and the scores of subsets."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slowfast_cli.metrics.per_class import confusions, gains, measure, tables
from slowfast_cli.metrics.predictions import merge, stack
from slowfast_cli.metrics.scores import score
from slowfast_cli.types import Corpus, DataError, Prediction, Recording, Segment

FOLDER = Path(__file__).parents[1] / "assets" / "reference" / "metrics"


@pytest.fixture(scope="module")
def right():
    return json.loads((FOLDER / "video_metrics.json").read_text())["charades"]


@pytest.fixture(scope="module")
def arrays():
    with np.load(FOLDER / "video_metrics.npz") as file:
        return {name: file[name] for name in file if name.startswith("charades")}


def segment(id_, target, labels="label"):
    return Segment(id=id_, recording=Recording(id=id_, path=Path(f"{id_}.mp4")), targets={labels: target})


def corpus_of(targets, classes, **more):
    """A corpus whose segments have these targets: ints, or tuples."""
    segments = tuple(segment(f"s{row}", target) for row, target in enumerate(targets))
    names = {"label": tuple(f"class {index}" for index in range(classes))}
    return Corpus(name="some", split="test", segments=segments, classes=names, **more)


def of(table):
    return [tuple(np.flatnonzero(row).tolist()) for row in table]


def predictions_of(scores):
    return [Prediction(id=f"s{row}", scores={"label": values}) for row, values in enumerate(scores)]


def test_charades_equals_the_reference(arrays, right):
    corpus = corpus_of(of(arrays["charades/labels"]), 157)
    got = score(predictions_of(arrays["charades/preds"]), corpus)
    assert got.values == {"map": pytest.approx(right["mAP"], abs=1e-9)}
    table = tables(stack(predictions_of(arrays["charades/preds"]), corpus.segments), corpus)["label"]
    np.testing.assert_allclose([row.ap for row in table], arrays["charades/AP"], rtol=0, atol=1e-9)
    empty = {row.index for row in table if not row.count}
    assert empty == set(np.flatnonzero(np.isnan(arrays["charades/AP"]))) >= set(right["classes_without_positives"])
    assert [row.count for row in table] == arrays["charades/labels"].sum(axis=0).tolist()
    assert all(math.isnan(row.accuracy) and math.isnan(row.top5) for row in table)
    assert measure(table) == "average precision"


def test_charades_views_equal_the_reference(arrays, right):
    views = arrays["charades_views/clip_preds"]
    made = [
        Prediction(id=f"s{row}", scores={"label": scores})
        for view in range(views.shape[1])
        for row, scores in enumerate(views[:, view])
    ]
    got = score(merge(made, "max"), corpus_of(of(arrays["charades_views/labels"]), 157))
    assert got.values["map"] == pytest.approx(right["mAP_of_views_max"], abs=1e-9)


def test_stack_makes_zeros_and_ones():
    corpus = corpus_of([(0, 2), (), (1,)], 3)
    rows = stack(predictions_of(np.zeros((3, 3), np.float32)), corpus.segments)
    assert rows.targets["label"].tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    with pytest.raises(DataError, match="scores of 2 classes for a target of 2"):
        stack(predictions_of(np.zeros((3, 2), np.float32)), corpus.segments)


def test_several_label_sets_of_both_kinds_keep_their_names():
    segments = tuple(
        Segment(
            id=f"s{row}",
            recording=Recording(id=f"s{row}", path=Path("x.wav")),
            targets={"tags": tags, "place": place},
        )
        for row, (tags, place) in enumerate([((0,), 0), ((0, 1), 1), ((), 1)])
    )
    corpus = Corpus(name="some", split="test", segments=segments, classes={"tags": ("a", "b"), "place": ("c", "d")})
    scores = np.random.default_rng(0).random((3, 2)).astype(np.float32)
    got = score([Prediction(id=f"s{row}", scores={"tags": s, "place": s}) for row, s in enumerate(scores)], corpus)
    assert {"tags_map", "place_map", "place_top1", "place_top5", "place_auc", "place_dprime"} == set(got.values)


def test_subsets_are_scored_apart():
    rng = np.random.default_rng(1)
    scores, targets = rng.random((40, 9)), rng.integers(0, 9, 40)
    some = frozenset(f"s{row}" for row in range(0, 40, 3))
    subsets = {"ks": some, "nobody": frozenset()}
    corpus = corpus_of(targets.tolist(), 9, subsets=subsets)
    got = score(predictions_of(scores), corpus).values
    assert got["ks_top1"] == pytest.approx(100 * (scores.argmax(axis=1) == targets)[::3].mean())
    assert "ks_top5" in got
    assert not any(name.startswith("nobody") for name in got)
    alone = score(predictions_of(scores), replace(corpus, subsets={})).values
    assert set(alone) == {"top1", "top5", "map", "auc", "dprime"}
    assert {name: got[name] for name in alone} == alone
    few = score(predictions_of(scores[:, :4]), corpus_of((targets % 4).tolist(), 4, subsets=subsets)).values
    assert "ks_top1" in few
    assert "ks_top5" not in few
    many = corpus_of([(int(target),) for target in targets], 9, subsets=subsets)
    assert set(score(predictions_of(scores), many).values) == {"map", "ks_map"}


def test_only_scored_classes_compete():
    scores = np.array([[0.6, 0.1, 0.3], [0.5, 0.4, 0.1], [0.2, 0.1, 0.7]])
    corpus = corpus_of([2, 1, 2], 3)
    assert score(predictions_of(scores), corpus).values["top1"] == pytest.approx(100 / 3)
    only = replace(corpus, scored={"label": frozenset({1, 2})})
    assert score(predictions_of(scores), only).values["top1"] == 100
    rows = stack(predictions_of(scores), only.segments)
    assert [(row.index, row.name, row.count, row.accuracy) for row in tables(rows, only)["label"]] == [
        (1, "class 1", 1, 100),
        (2, "class 2", 2, 100),
    ]
    counts, names = confusions(rows, only)["label"]
    assert counts.tolist() == [[1, 0], [0, 2]]
    assert names == ("class 1", "class 2")


def test_confusions_are_of_label_sets_with_one_class_a_segment():
    corpus = corpus_of([(0,), (1,)], 2)
    assert confusions(stack(predictions_of(np.eye(2)), corpus.segments), corpus) == {}


def test_gains_of_average_precision_by_points_and_by_ratio():
    targets = of(np.array([[1, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]]))
    corpus = corpus_of(targets, 3)
    better = np.array([[0.9, 0.1, 0.5], [0.1, 0.2, 0.5], [0.8, 0.9, 0.5], [0.2, 0.8, 0.5]])
    worse = np.array([[0.1, 0.1, 0.5], [0.9, 0.2, 0.5], [0.2, 0.9, 0.5], [0.8, 0.8, 0.5]])
    ours, theirs = (tables(stack(predictions_of(s), corpus.segments), corpus)["label"] for s in (better, worse))
    (gain,) = gains(ours, theirs, 20)
    ap = (1 / 3 + 2 / 4) / 2
    assert (gain.name, gain.better, gain.worse) == ("class 0", pytest.approx(100), pytest.approx(100 * ap))
    (times,) = gains(ours, theirs, 2, by="ratio")
    assert times.ratio == pytest.approx(1 / ap)
    assert gains(ours, theirs, 2.5, by="ratio") == ()


def test_a_class_that_is_never_right_has_no_ratio():
    corpus = corpus_of([0, 1], 2)
    ours, theirs = (
        tables(stack(predictions_of(scores), corpus.segments), corpus)["label"]
        for scores in (np.eye(2), np.array([[0.1, 0.9], [0.1, 0.9]]))
    )
    assert [gain.name for gain in gains(ours, theirs, 50)] == ["class 0"]
    assert gains(ours, theirs, 50)[0].ratio == math.inf
    assert gains(ours, theirs, 1, by="ratio") == ()


def test_right_in_every_label_set():
    """A slow twin: one segment after the other, one label set after the other."""
    rng = np.random.default_rng(2)
    sizes = {"action": 3, "object": 5, "location": 2}
    segments, guesses, right = [], [], 0
    for row in range(200):
        targets = {labels: int(rng.integers(size)) for labels, size in sizes.items()}
        scores = {labels: rng.random(size).astype(np.float32) for labels, size in sizes.items()}
        for labels, target in targets.items():
            scores[labels][target] += 0.7 * rng.random()
        recording = Recording(id=f"s{row}", path=Path("x.wav"))
        segments.append(Segment(id=f"s{row}", recording=recording, targets=targets))
        guesses.append(Prediction(id=f"s{row}", scores=scores))
        right += all(int(scores[labels].argmax()) == target for labels, target in targets.items())
    assert 20 < right < 180
    classes = {labels: tuple(map(str, range(size))) for labels, size in sizes.items()}
    corpus = Corpus(name="some", split="test", segments=tuple(segments), classes=classes)
    got = score(guesses, corpus).values
    assert got["all_top1"] == pytest.approx(100 * right / 200)
    assert got["all_top1"] < min(got[f"{labels}_top1"] for labels in sizes)
    some = replace(corpus, subsets={"first": frozenset(f"s{row}" for row in range(10)), "nobody": frozenset()})
    ten = score(guesses[:10], replace(corpus, segments=corpus.segments[:10])).values
    assert score(guesses, some).values["first_all_top1"] == pytest.approx(ten["all_top1"])
    alone = corpus_of([segment.targets["action"] for segment in segments], 3)
    assert "all_top1" not in score(predictions_of([each.scores["action"] for each in guesses]), alone).values


def test_equal_scores_are_right_only_for_the_first_class_in_every_label_set():
    segments = tuple(
        Segment(id=f"s{row}", recording=Recording(id=f"s{row}", path=Path("x.wav")), targets={"a": row, "b": 0})
        for row in range(2)
    )
    corpus = Corpus(name="some", split="test", segments=segments, classes={"a": ("x", "y"), "b": ("x", "y")})
    flat = [Prediction(id=each.id, scores={"a": np.ones(2), "b": np.ones(2)}) for each in segments]
    assert score(flat, corpus).values["all_top1"] == 50
