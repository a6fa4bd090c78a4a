"""AP, AUC and d-prime against the reference, scikit-learn, a naive implementation and their invariants."""

import math
import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score, roc_auc_score

from slowfast_cli.metrics.ranking import class_ranking, dprime, ranking_scores
from slowfast_cli.types import DataError

KINDS = ["single_label", "multi_label", "ties"]


def naive_ap_and_auc(scores, positive):
    """By definition: precision at every threshold; every pair of a positive and a negative."""
    total, ap, last = sum(positive), 0.0, 0
    for threshold in sorted(set(scores), reverse=True):
        selected = [p for s, p in zip(scores, positive, strict=True) if s >= threshold]
        ap += (sum(selected) - last) / total * sum(selected) / len(selected)
        last = sum(selected)
    positives = [s for s, p in zip(scores, positive, strict=True) if p]
    negatives = [s for s, p in zip(scores, positive, strict=True) if not p]
    wins = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
    return ap, wins / (len(positives) * len(negatives)) if negatives else math.nan


@st.composite
def columns(draw):
    n = draw(st.integers(2, 25))
    values = draw(st.sampled_from([st.floats(-1, 1, width=32), st.sampled_from([0.0, 0.5, 1.0])]))
    scores = draw(hnp.arrays(np.float32, (n, 1), elements=values))
    positive = draw(hnp.arrays(np.int8, (n, 1), elements=st.integers(0, 1)))
    positive[draw(st.integers(0, n - 1))] = 1
    return scores, positive


@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_reference(golden, results, kind):
    scores, targets = golden[f"stats/{kind}/scores"], golden[f"stats/{kind}/targets"]
    by_class = class_ranking(scores, targets)
    np.testing.assert_allclose(by_class.ap, golden[f"stats/{kind}/AP"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(by_class.auc, golden[f"stats/{kind}/AUC"], rtol=0, atol=1e-9)
    got, expected = ranking_scores(scores, targets), results[f"stats_{kind}"]
    assert got["map"] == pytest.approx(expected["mAP"], abs=1e-9)
    assert got["auc"] == pytest.approx(expected["AUC"], abs=1e-9)
    assert got["dprime"] == pytest.approx(expected["d_prime"], abs=1e-7)
    assert got["ranked_classes"] == 40


@pytest.mark.parametrize("kind", ["single_label", "ties"])
def test_class_indices_equal_one_hot_targets(golden, kind):
    scores, targets = golden[f"stats/{kind}/scores"], golden[f"stats/{kind}/targets"]
    assert (targets.sum(axis=1) == 1).all()
    assert ranking_scores(scores, targets.argmax(axis=1)) == ranking_scores(scores, targets)


def test_dprime_values(results):
    for auc, expected in results["d_prime_values"].items():
        assert dprime(float(auc)) == pytest.approx(expected, abs=1e-7)
    assert dprime(1.0) == math.inf
    assert dprime(0.0) == -math.inf
    assert math.isnan(dprime(math.nan))


def test_chance_auc_has_dprime_zero():
    assert dprime(0.5) == 0


@settings(max_examples=80, deadline=None)
@given(columns())
def test_equals_sklearn_and_a_naive_implementation(problem):
    scores, positive = problem
    got = class_ranking(scores, positive)
    ap, auc = naive_ap_and_auc(scores[:, 0].tolist(), positive[:, 0].tolist())
    assert got.ap[0] == pytest.approx(ap, abs=1e-12)
    assert got.auc[0] == pytest.approx(auc, abs=1e-12, nan_ok=True)
    assert got.ap[0] == pytest.approx(average_precision_score(positive[:, 0], scores[:, 0]), abs=1e-12)
    if 0 < positive.sum() < len(positive):
        assert got.auc[0] == pytest.approx(roc_auc_score(positive[:, 0], scores[:, 0]), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(columns())
def test_invariance_to_row_order_and_monotone_scaling(problem):
    scores, positive = problem
    scores = scores.round(2)
    transformed = class_ranking(3 * scores[::-1].astype(np.float64) + 1, positive[::-1])
    plain = class_ranking(scores, positive)
    np.testing.assert_allclose(transformed.ap, plain.ap, atol=1e-12)
    np.testing.assert_allclose(transformed.auc, plain.auc, atol=1e-12)


def test_classes_without_positives_are_left_out():
    scores = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.3, 0.6, 0.1]])
    got = ranking_scores(scores, np.array([0, 1, 1]))
    assert got == {"map": 1.0, "auc": 1.0, "dprime": math.inf, "ranked_classes": 2.0}
    by_class = class_ranking(scores, np.array([0, 1, 1]))
    assert math.isnan(by_class.ap[2])
    assert math.isnan(by_class.auc[2])


def test_a_class_without_negatives_has_ap_but_no_auc():
    got = ranking_scores(np.array([[0.9], [0.2]]), np.array([0, 0]))
    assert got["map"] == 1.0
    assert math.isnan(got["auc"])
    assert math.isnan(got["dprime"])


@pytest.mark.parametrize(
    ("scores", "targets", "words"),
    [
        (np.ones((3, 2)), np.zeros((3, 3)), "differ, expected"),
        (np.ones((3, 2)), np.full((3, 2), 2), "0 or 1"),
        (np.full((3, 2), np.nan), np.zeros((3, 2)), "NaN"),
    ],
)
def test_invalid_arrays_are_refused(scores, targets, words):
    with pytest.raises(DataError, match=words):
        class_ranking(scores, targets)


def test_speed_at_the_size_of_vggsound():
    rng = np.random.default_rng(0)
    scores = rng.random((15_446, 309), dtype=np.float32)
    targets = rng.integers(0, 309, 15_446)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = ranking_scores(scores, targets)
    assert time.perf_counter() - start < 8
    assert got["auc"] == pytest.approx(0.5, abs=0.01)
