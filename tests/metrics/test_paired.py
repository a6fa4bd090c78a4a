"""Models on the same segments: intervals, paired differences and p values."""

from dataclasses import replace
from functools import partial
from math import comb

import numpy as np
import pytest

from slowfast_cli.metrics import paired
from slowfast_cli.metrics.predictions import Rows
from slowfast_cli.metrics.ranking import ranking_scores
from slowfast_cli.metrics.resampling import Accuracy, MeanAP, permutation_p
from slowfast_cli.metrics.scores import score
from slowfast_cli.types import Corpus, DataError, Prediction, Recording, Segment


def corpus_of(targets, classes):
    segments = tuple(
        Segment(id=str(row), recording=Recording(id=f"r{row}", path=f"{row}.wav"), targets={"label": target})
        for row, target in enumerate(targets)
    )
    names = {"label": tuple(map(str, range(classes)))}
    return Corpus(name="made", split="test", segments=segments, classes=names)


def compare(*hits, groups=None, draws=2000):
    measures = [Accuracy(hits=np.asarray(each)) for each in hits]
    return paired.compare(measures, groups or [str(row) for row in range(len(hits[0]))], draws=draws)


def test_the_interval_of_an_accuracy_is_that_of_the_binomial():
    hits = np.arange(400) < 300
    (only,) = compare(hits, draws=10_000)
    assert (only.value, only.difference) == (75.0, None)
    half = 100 * 1.96 * np.sqrt(0.75 * 0.25 / 400)
    np.testing.assert_allclose(only.interval, (75 - half, 75 + half), atol=0.3)


def test_a_difference_is_sharper_than_the_intervals_since_segments_are_shared():
    draw = np.random.default_rng(0)
    first = draw.random(400) < 0.7
    second = first | (draw.random(400) < 0.2)  # right wherever the first is
    one, other = compare(first, second)
    assert one.interval[1] > other.interval[0]  # they overlap
    change = other.difference
    assert change.value == pytest.approx(other.value - one.value)
    assert 0 < change.interval[0] < change.value < change.interval[1]
    assert (change.p < 0.01, change.mark) == (True, "***" if change.p < 0.001 else "**")


def test_equal_models_do_not_differ():
    hits = np.arange(50) % 3 == 0
    _, other = compare(hits, hits)
    assert other.difference == paired.Difference(value=0.0, interval=(0.0, 0.0), p=1.0)
    assert other.difference.mark == ""


def test_segments_of_one_recording_are_no_further_evidence():
    hits = np.arange(60) % 3 > 0
    (alone,) = compare(hits)
    (copied,) = compare(hits.repeat(10), groups=[str(row // 10) for row in range(600)])
    np.testing.assert_allclose(copied.interval, alone.interval, atol=2.0)


@pytest.mark.parametrize("recordings", [1, 2, 3, 9])
def test_few_recordings_have_no_interval_and_no_small_p(recordings):
    groups = [str(row % recordings) for row in range(90)]
    first, other = compare(np.zeros(90, bool), np.ones(90, bool), groups=groups)
    assert (first.interval, other.interval, other.difference.interval) == (None, None, None)
    assert other.difference.p == 2 * 2.0**-recordings
    rows = np.arange(90) % 4 == 0, np.random.default_rng(5).random((90, 1))
    ranked = [MeanAP(values=values, positive=rows[0][:, None]) for values in (1 - rows[0][:, None] + rows[1], rows[1])]
    assert paired.compare(ranked, groups, draws=2000)[1].difference.p >= 2 * 2.0**-recordings


def test_ten_recordings_have_an_interval():
    groups = [str(row % 10) for row in range(90)]
    _, other = compare(np.zeros(90, bool), np.arange(90) % 9 > 0, groups=groups)
    assert other.interval == other.difference.interval != None  # noqa: E711


def test_p_of_an_accuracy_is_that_of_the_exact_sign_test():
    rows = np.arange(20)
    first, other = (
        rows < 3,
        (rows >= 2) & (rows < 14),
    )  # 2 and 11 rows are right in one only
    gains = np.array(other, int) - first
    wins, losses = int((gains > 0).sum()), int((gains < 0).sum())
    exact = 2 * sum(comb(wins + losses, more) for more in range(min(wins, losses) + 1)) / 2 ** (wins + losses)
    found = permutation_p(
        Accuracy(hits=first), Accuracy(hits=other), np.arange(20), 2 ** (wins + losses), np.random.default_rng(0)
    )
    assert found == pytest.approx(min(1.0, exact))
    assert compare(first, other, draws=10_000)[1].difference.p == pytest.approx(min(1.0, exact), abs=0.02)


def similar(kind, draw):
    """Two models that are equally good."""
    if kind == "map":
        positive = draw.random((60, 3)) < 0.3
        scales = (1, 0.1)  # of scores, which do not matter
        return [MeanAP(values=scale * (draw.random((60, 3)) + 0.3 * positive), positive=positive) for scale in scales]
    classes = draw.integers(0, 4, 60) if kind == "mca" else None
    return [Accuracy(hits=draw.random(60) < 0.6, classes=classes) for _ in range(2)]


@pytest.mark.parametrize(("kind", "pairs"), [("top1", 400), ("mca", 400), ("map", 200)])
def test_of_equally_good_models_one_in_twenty_seems_to_differ(kind, pairs):
    draw = np.random.default_rng(1)
    groups = np.arange(60) // 2
    found = [permutation_p(*similar(kind, draw), groups, 300, draw) < 0.05 for _ in range(pairs)]
    assert 0.02 < np.mean(found) < 0.08


def test_p_is_never_zero():
    _, other = compare(np.zeros(200, bool), np.ones(200, bool), draws=400)
    assert other.difference.p == pytest.approx(1 / 401)


def test_p_is_adjusted_for_the_number_of_comparisons():
    first = np.arange(200) < 120
    better = np.arange(200) < 130
    alone = compare(first, better)[1].difference.p
    among = compare(first, better, *[first] * 4)[1].difference.p
    assert among == pytest.approx(min(1.0, 5 * alone))


@pytest.mark.parametrize("levels", [1000, 3])  # with and without equal scores
def test_the_map_of_a_resample_is_that_of_its_rows(levels):
    draw = np.random.default_rng(2)
    scores = draw.integers(0, levels, (40, 6)) / levels
    truth = draw.random((40, 6)) < 0.2
    counts = draw.multinomial(40, np.full(40, 1 / 40), size=5)
    found = MeanAP(values=scores, positive=truth).scores(counts.T.astype(np.float32))
    rows = [np.arange(40).repeat(each) for each in counts]
    expected = [ranking_scores(scores[each], truth[each].astype(int))["map"] for each in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_values_are_those_of_the_score():
    draw = np.random.default_rng(3)
    for targets in (draw.integers(0, 4, 30).tolist(), [tuple(np.flatnonzero(draw.random(4) < 0.5)) for _ in range(30)]):
        corpus = replace(corpus_of(targets, 4), class_mean=True)
        scores = draw.random((30, 4))
        several = isinstance(targets[0], tuple)
        stacked = np.array([[c in t for c in range(4)] for t in targets]) if several else np.array(targets)
        rows = Rows(ids=tuple(map(str, range(30))), scores={"label": scores}, targets={"label": stacked})
        whole = score([Prediction(id=str(row), scores={"label": scores[row]}) for row in range(30)], corpus).values
        found = paired.comparisons({"a": rows, "b": rows}, corpus)
        assert {metric: by_model["b"].value for metric, by_model in found.items()} == {
            name: pytest.approx(whole[name]) for name in (["map"] if several else ["top1", "mca", "map"])
        }


def test_label_sets_are_compared_alone_and_together():
    corpus = corpus_of([0, 1], 2)
    right, wrong = np.eye(2), np.eye(2)[::-1]
    measured = partial(Rows, ids=("0", "1"), targets={"verb": np.arange(2), "noun": np.arange(2)})
    rows = {"a": measured(scores={"verb": right, "noun": right}), "b": measured(scores={"verb": right, "noun": wrong})}
    found = paired.comparisons(rows, corpus)
    assert {metric: [of.value for of in by_model.values()] for metric, by_model in found.items()} == {
        "verb_top1": [100.0, 100.0], "noun_top1": [100.0, 0.0], "action_top1": [100.0, 0.0],
    }  # fmt: skip


def test_map_of_exclusive_classes_is_left_out_where_it_takes_long(monkeypatch):
    corpus = corpus_of([0, 1], 2)
    rows = Rows(ids=("0", "1"), scores={"label": np.eye(2)}, targets={"label": np.arange(2)})
    assert list(paired.measures(rows, corpus)) == ["top1", "map"]
    monkeypatch.setattr(paired, "MAX_RANKED", 7)
    assert list(paired.measures(rows, corpus)) == ["top1"]


def test_boxes_and_splits_without_labels_are_refused():
    corpus = corpus_of([0, 1], 2)
    for rows, message in (
        (Rows(ids=("0",), scores={}, targets={}), "it has no labels to score against"),
        (Rows(ids=("0",), scores={}, targets={}, places=np.zeros((1, 4))), "its labels are of boxes"),
    ):
        with pytest.raises(DataError, match=f"made test: {message}"):
            paired.measures(rows, corpus)
