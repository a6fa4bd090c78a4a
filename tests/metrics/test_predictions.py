"""Merging views and stacking rows."""

from pathlib import Path

import numpy as np
import pytest

from slowfast_cli.metrics.predictions import merge, stack
from slowfast_cli.types import DataError, Prediction, Recording, Segment


def prediction(id_, *scores):
    return Prediction(id=id_, scores={"label": np.array(scores, dtype=np.float32)})


def segment(id_, **targets):
    return Segment(id=id_, recording=Recording(id=id_, path=Path("x.wav")), targets=targets)


def test_mean_and_max_of_views_in_any_order():
    views = [prediction("b", 0.1, 0.9), prediction("a", 1, 0), prediction("b", 0.5, 0.5), prediction("a", 0, 1)]
    mean = merge(iter(views))
    assert [p.id for p in mean] == ["b", "a"]
    np.testing.assert_allclose(mean[0].scores["label"], [0.3, 0.7], rtol=1e-6)
    np.testing.assert_allclose(mean[1].scores["label"], [0.5, 0.5])
    np.testing.assert_allclose(merge(views, "max")[0].scores["label"], [0.5, 0.9], rtol=1e-6)
    assert mean[0].scores["label"].dtype == np.float32


def test_merge_does_not_modify_the_views():
    view = prediction("a", 0.25, 0.75)
    merge([view, view, view])
    np.testing.assert_array_equal(view.scores["label"], np.float32([0.25, 0.75]))


def test_mean_of_equal_views_is_the_view():
    view = prediction("a", *np.random.default_rng(0).random(50))
    np.testing.assert_array_equal(merge([view] * 10)[0].scores["label"], view.scores["label"])


def test_stack_orders_rows_by_segment():
    rows = stack([prediction("b", 0, 1), prediction("a", 1, 0)], [segment(i, label=n) for n, i in enumerate("abc")])
    assert rows.ids == ("a", "b")
    np.testing.assert_array_equal(rows.targets["label"], [0, 1])
    np.testing.assert_array_equal(rows.scores["label"], [[1, 0], [0, 1]])


def test_stack_without_labels_has_no_targets():
    assert stack([prediction("a", 1, 0)], [segment("a")]).targets == {}


@pytest.mark.parametrize(
    ("predictions", "words"),
    [
        ([], "none for the 1 segments"),
        ([prediction("a", 1.0), prediction("a", 1.0)], "has more than one, expected one each"),
        ([prediction("z", 1.0)], "not in this split, such as 'z'"),
    ],
)
def test_stack_refuses_invalid_predictions(predictions, words):
    with pytest.raises(DataError, match=words):
        stack(predictions, [segment("a", label=0)])
