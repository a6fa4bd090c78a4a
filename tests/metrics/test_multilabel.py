"""Multi-label scores against the reference (Charades), per-class tables, subsets, several label sets."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slowfast_cli.metrics.per_class import confusion_matrices, gains, measure, tables
from slowfast_cli.metrics.predictions import merge, stack
from slowfast_cli.metrics.scores import score
from slowfast_cli.types import Corpus, DataError, Prediction, Recording, Segment

FOLDER = Path(__file__).parents[1] / "assets" / "reference" / "metrics"


@pytest.fixture(scope="module")
def expected():
    return json.loads((FOLDER / "video_metrics.json").read_text())["charades"]


@pytest.fixture(scope="module")
def arrays():
    with np.load(FOLDER / "video_metrics.npz") as file:
        return {name: file[name] for name in file if name.startswith("charades")}


def segment(id_, target, labels="label"):
    return Segment(id=id_, recording=Recording(id=id_, path=Path(f"{id_}.mp4")), targets={labels: target})


def corpus_of(targets, classes, **more):
    """Build a corpus whose segments have the given targets, integers or tuples."""
    segments = tuple(segment(f"s{row}", target) for row, target in enumerate(targets))
    names = {"label": tuple(f"class {index}" for index in range(classes))}
    return Corpus(name="some", split="test", segments=segments, classes=names, **more)


def to_tuples(multi_hot):
    return [tuple(np.flatnonzero(row).tolist()) for row in multi_hot]


def predictions_of(scores):
    return [Prediction(id=f"s{row}", scores={"label": values}) for row, values in enumerate(scores)]


def test_charades_equals_the_reference(arrays, expected):
    corpus = corpus_of(to_tuples(arrays["charades/labels"]), 157)
    got = score(predictions_of(arrays["charades/preds"]), corpus)
    assert got.values == {"map": pytest.approx(expected["mAP"], abs=1e-9)}
    table = tables(stack(predictions_of(arrays["charades/preds"]), corpus.segments), corpus)["label"]
    np.testing.assert_allclose([row.ap for row in table], arrays["charades/AP"], rtol=0, atol=1e-9)
    empty = {row.index for row in table if not row.count}
    assert empty == set(np.flatnonzero(np.isnan(arrays["charades/AP"]))) >= set(expected["classes_without_positives"])
    assert [row.count for row in table] == arrays["charades/labels"].sum(axis=0).tolist()
    assert all(math.isnan(row.accuracy) and math.isnan(row.top5) for row in table)
    assert measure(table) == "average precision"


def test_charades_views_equal_the_reference(arrays, expected):
    views = arrays["charades_views/clip_preds"]
    predictions = [
        Prediction(id=f"s{row}", scores={"label": scores})
        for view in range(views.shape[1])
        for row, scores in enumerate(views[:, view])
    ]
    got = score(merge(predictions, "max"), corpus_of(to_tuples(arrays["charades_views/labels"]), 157))
    assert got.values["map"] == pytest.approx(expected["mAP_of_views_max"], abs=1e-9)


def test_stack_makes_multi_hot_targets():
    corpus = corpus_of([(0, 2), (), (1,)], 3)
    rows = stack(predictions_of(np.zeros((3, 3), np.float32)), corpus.segments)
    assert rows.targets["label"].tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    with pytest.raises(DataError, match="target class 2, but scores of 2 classes"):
        stack(predictions_of(np.zeros((3, 2), np.float32)), corpus.segments)


def test_several_label_sets_are_prefixed_with_their_names():
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


def test_subsets_are_scored_separately():
    rng = np.random.default_rng(1)
    scores, targets = rng.random((40, 9)), rng.integers(0, 9, 40)
    subsets = {"ks": frozenset(f"s{row}" for row in range(0, 40, 3)), "empty": frozenset()}
    corpus = corpus_of(targets.tolist(), 9, subsets=subsets)
    got = score(predictions_of(scores), corpus).values
    assert got["ks_top1"] == pytest.approx(100 * (scores.argmax(axis=1) == targets)[::3].mean())
    assert "ks_top5" in got
    assert not any(name.startswith("empty") for name in got)
    without = score(predictions_of(scores), replace(corpus, subsets={})).values
    assert set(without) == {"top1", "top5", "map", "auc", "dprime"}
    assert {name: got[name] for name in without} == without
    few = score(predictions_of(scores[:, :4]), corpus_of((targets % 4).tolist(), 4, subsets=subsets)).values
    assert "ks_top1" in few
    assert "ks_top5" not in few
    multi_label = corpus_of([(int(target),) for target in targets], 9, subsets=subsets)
    assert set(score(predictions_of(scores), multi_label).values) == {"map", "ks_map"}


def test_scores_are_restricted_to_the_scored_classes():
    scores = np.array([[0.6, 0.1, 0.3], [0.5, 0.4, 0.1], [0.2, 0.1, 0.7]])
    corpus = corpus_of([2, 1, 2], 3)
    assert score(predictions_of(scores), corpus).values["top1"] == pytest.approx(100 / 3)
    restricted = replace(corpus, scored={"label": frozenset({1, 2})})
    assert score(predictions_of(scores), restricted).values["top1"] == 100
    rows = stack(predictions_of(scores), restricted.segments)
    assert [(row.index, row.name, row.count, row.accuracy) for row in tables(rows, restricted)["label"]] == [
        (1, "class 1", 1, 100),
        (2, "class 2", 2, 100),
    ]
    counts, names = confusion_matrices(rows, restricted)["label"]
    assert counts.tolist() == [[1, 0], [0, 2]]
    assert names == ("class 1", "class 2")


def test_multi_label_sets_have_no_confusion_matrix():
    corpus = corpus_of([(0,), (1,)], 2)
    assert confusion_matrices(stack(predictions_of(np.eye(2)), corpus.segments), corpus) == {}


def test_gains_of_average_precision_by_points_and_by_ratio():
    targets = to_tuples(np.array([[1, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]]))
    corpus = corpus_of(targets, 3)
    better = np.array([[0.9, 0.1, 0.5], [0.1, 0.2, 0.5], [0.8, 0.9, 0.5], [0.2, 0.8, 0.5]])
    worse = np.array([[0.1, 0.1, 0.5], [0.9, 0.2, 0.5], [0.2, 0.9, 0.5], [0.8, 0.8, 0.5]])
    ours, theirs = (tables(stack(predictions_of(s), corpus.segments), corpus)["label"] for s in (better, worse))
    (gain,) = gains(ours, theirs, 20)
    ap = (1 / 3 + 2 / 4) / 2
    assert (gain.name, gain.better, gain.worse) == ("class 0", pytest.approx(100), pytest.approx(100 * ap))
    (gain,) = gains(ours, theirs, 2, unit="ratio")
    assert gain.ratio == pytest.approx(1 / ap)
    assert gains(ours, theirs, 2.5, unit="ratio") == ()


def test_a_class_with_value_zero_has_no_ratio():
    corpus = corpus_of([0, 1], 2)
    ours, theirs = (
        tables(stack(predictions_of(scores), corpus.segments), corpus)["label"]
        for scores in (np.eye(2), np.array([[0.1, 0.9], [0.1, 0.9]]))
    )
    assert [gain.name for gain in gains(ours, theirs, 50)] == ["class 0"]
    assert gains(ours, theirs, 50)[0].ratio == math.inf
    assert gains(ours, theirs, 1, unit="ratio") == ()


def test_all_top1_equals_a_naive_implementation():
    rng = np.random.default_rng(2)
    sizes = {"action": 3, "object": 5, "location": 2}
    segments, predictions, correct = [], [], 0
    for row in range(200):
        targets = {labels: int(rng.integers(size)) for labels, size in sizes.items()}
        scores = {labels: rng.random(size).astype(np.float32) for labels, size in sizes.items()}
        for labels, target in targets.items():
            scores[labels][target] += 0.7 * rng.random()
        recording = Recording(id=f"s{row}", path=Path("x.wav"))
        segments.append(Segment(id=f"s{row}", recording=recording, targets=targets))
        predictions.append(Prediction(id=f"s{row}", scores=scores))
        correct += all(int(scores[labels].argmax()) == target for labels, target in targets.items())
    assert 20 < correct < 180
    classes = {labels: tuple(map(str, range(size))) for labels, size in sizes.items()}
    corpus = Corpus(name="some", split="test", segments=tuple(segments), classes=classes)
    got = score(predictions, corpus).values
    assert got["all_top1"] == pytest.approx(100 * correct / 200)
    assert got["all_top1"] < min(got[f"{labels}_top1"] for labels in sizes)
    with_subsets = replace(corpus, subsets={"first": frozenset(f"s{row}" for row in range(10)), "empty": frozenset()})
    expected = score(predictions[:10], replace(corpus, segments=corpus.segments[:10])).values
    assert score(predictions, with_subsets).values["first_all_top1"] == pytest.approx(expected["all_top1"])
    single = corpus_of([segment.targets["action"] for segment in segments], 3)
    assert (
        "all_top1"
        not in score(predictions_of([prediction.scores["action"] for prediction in predictions]), single).values
    )


def test_all_top1_ranks_ties_by_class_index():
    segments = tuple(
        Segment(id=f"s{row}", recording=Recording(id=f"s{row}", path=Path("x.wav")), targets={"a": row, "b": 0})
        for row in range(2)
    )
    corpus = Corpus(name="some", split="test", segments=segments, classes={"a": ("x", "y"), "b": ("x", "y")})
    predictions = [Prediction(id=segment.id, scores={"a": np.ones(2), "b": np.ones(2)}) for segment in segments]
    assert score(predictions, corpus).values["all_top1"] == 50
