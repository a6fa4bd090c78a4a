"""Per-class tables, the confusion matrix, and the comparison of two runs."""

import math

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix

from slowfast_cli.metrics.per_class import ClassRow, class_rows, confusion_matrix, gains
from slowfast_cli.metrics.ranking import ranking_scores
from slowfast_cli.metrics.topk import topk_accuracy
from slowfast_cli.types import DataError


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 11, 300)  # class 11 has no segments
    scores = rng.random((300, 12))
    scores[np.arange(300), targets] += 0.4
    return scores, targets


def row(name, accuracy, index=0):
    return ClassRow(index=index, name=name, count=10, accuracy=accuracy, top5=100.0, ap=0.5, auc=0.5)


def test_class_rows_average_to_the_overall_scores(problem):
    rows = class_rows(*problem, [f"c{i}" for i in range(12)])
    assert [r.count for r in rows] == np.bincount(problem[1], minlength=12).tolist()
    overall = topk_accuracy(*problem)
    assert sum(r.accuracy * r.count for r in rows[:11]) / 300 == pytest.approx(overall["top1"])
    assert sum(r.top5 * r.count for r in rows[:11]) / 300 == pytest.approx(overall["top5"])
    assert np.nanmean([r.ap for r in rows]) == pytest.approx(ranking_scores(*problem)["map"])
    assert rows[11].count == 0
    assert all(math.isnan(v) for v in (rows[11].accuracy, rows[11].top5, rows[11].ap, rows[11].auc))


def test_confusion_equals_sklearn(problem):
    scores, targets = problem
    got = confusion_matrix(scores, targets)
    np.testing.assert_array_equal(got, sklearn_confusion_matrix(targets, scores.argmax(axis=1), labels=range(12)))
    assert got.sum() == 300


def test_gains_are_above_the_threshold_and_sorted():
    a = [row("airplane", 80.0), row("zither", 50.0), row("bee", 90.0), row("cat", 40.0), row("dog", math.nan)]
    b = [row("airplane", 50.0), row("zither", 30.0), row("bee", 60.0), row("cat", 60.0), row("dog", 10.0)]
    assert [(g.name, g.points) for g in gains(a, b, 20)] == [("airplane", 30.0), ("bee", 30.0)]
    assert [g.name for g in gains(a, b, 19.9)] == ["airplane", "bee", "zither"]
    assert [g.name for g in gains(b, a, 10)] == ["cat"]


def test_gains_need_the_same_classes():
    with pytest.raises(DataError, match="different classes"):
        gains([row("a", 1.0)], [row("b", 1.0)], 0)


def test_a_wrong_number_of_names_is_refused(problem):
    with pytest.raises(DataError, match="11 names for 12 classes"):
        class_rows(*problem, [f"c{i}" for i in range(11)])
