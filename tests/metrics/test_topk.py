"""Top-k accuracy against the reference's numbers, a naive implementation and its invariants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slowfast_cli.metrics.topk import ranks, restrict, topk_accuracy
from slowfast_cli.types import DataError


def naive_topk(scores, targets, k):
    hits = 0
    for row, target in zip(scores.tolist(), targets.tolist(), strict=True):
        top = sorted(range(len(row)), key=lambda c: (-row[c], c))[:k]
        hits += target in top
    return 100.0 * hits / len(targets)


@st.composite
def problems(draw):
    n, c = draw(st.integers(1, 12)), draw(st.integers(1, 9))
    few = st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0])  # many ties
    scores = draw(hnp.arrays(np.float32, (n, c), elements=few))
    targets = draw(hnp.arrays(np.int64, n, elements=st.integers(0, c - 1)))
    return scores, targets


def test_equals_the_reference(golden, results):
    got = topk_accuracy(golden["topk/preds"], golden["topk/labels"], results["topk"]["ks"])
    assert list(got.values()) == results["topk"]["accuracy"]


@settings(max_examples=60, deadline=None)
@given(problems(), st.integers(1, 10))
def test_equals_a_naive_implementation(problem, k):
    assert topk_accuracy(*problem, ks=[k]) == {f"top{k}": naive_topk(*problem, k)}


@settings(max_examples=40, deadline=None)
@given(problems())
def test_ranks_of_all_classes_are_a_permutation(problem):
    scores, _ = problem
    classes = scores.shape[1]
    by_class = np.stack([ranks(scores, np.full(len(scores), c)) for c in range(classes)], axis=1)
    np.testing.assert_array_equal(np.sort(by_class, axis=1), np.tile(np.arange(classes), (len(scores), 1)))
    np.testing.assert_array_equal(by_class.argmin(axis=1), scores.argmax(axis=1))


def test_ties_are_ranked_by_class_index():
    scores = np.zeros((10, 10), dtype=np.float32)
    assert topk_accuracy(scores, np.arange(10), ks=[1, 5, 10, 99]) == {
        "top1": 10.0,
        "top5": 50.0,
        "top10": 100.0,
        "top99": 100.0,
    }


@pytest.mark.parametrize(
    ("scores", "targets", "words"),
    [
        (np.array([[0.1, np.nan]]), np.array([0]), "NaN"),
        (np.array([[0.1, np.inf]]), np.array([0]), "infinity"),
        (np.ones((2, 3)), np.array([0, 3]), "3 classes"),
        (np.ones((2, 3)), np.array([-1, 0]), "from -1"),
        (np.ones((2, 3)), np.array([0]), "shapes"),
        (np.ones((0, 3)), np.array([], dtype=int), "at least one segment"),
        (np.ones(3), np.array([0, 1, 2]), "shapes"),
        (np.ones((2, 3)), np.array([0.0, 1.0]), "integer class indices"),
    ],
)
def test_invalid_arrays_are_refused(scores, targets, words):
    with pytest.raises(DataError, match=words):
        topk_accuracy(scores, targets)


def test_restricted_scores_are_renormalized():
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(50, 12))
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    kept = [7, 2, 9]
    targets = rng.choice(kept, 50)
    part, indices = restrict(scores, targets, kept)
    expected = np.exp(logits[:, [2, 7, 9]])
    np.testing.assert_allclose(part, expected / expected.sum(axis=1, keepdims=True))
    np.testing.assert_array_equal(np.array([2, 7, 9])[indices], targets)
    zero, _ = restrict(np.array([[1.0, 0.0, 0.0]]), np.array([1]), [1, 2])
    assert zero.tolist() == [[0.0, 0.0]]


def test_restrict_needs_valid_targets_and_classes():
    scores = np.full((2, 3), 1 / 3)
    with pytest.raises(DataError, match="1 targets, such as 0, are not among the 2 scored classes"):
        restrict(scores, np.array([0, 2]), [1, 2])
    for kept in ([], [1, 3]):
        with pytest.raises(DataError, match="expected at least one, from 0 to 2"):
            restrict(scores, np.array([1, 1]), kept)
