"""The order of the 309 classes of Auditory Slow-Fast's heads."""

import numpy as np
import pytest
import torch

from slowfast_cli.build.init_weights import reorder_heads
from slowfast_cli.corpora import labels
from slowfast_cli.models.architecture import Baseline
from slowfast_cli.weights.file import Card
from slowfast_cli.weights.foreign.vggsound_order import BY_COUNT, SORTED, class_order, rank_correlation

CLIPS = {row["name"]: int(row["clips"]) for row in labels.table(BY_COUNT)}


def bias(order, noise):
    """The logarithm of the class frequencies, as a classifier learns it, and noise."""
    counts = torch.tensor([CLIPS[name] for name in labels.names(order)])
    return counts.double().log() + noise * torch.randn(309, generator=torch.Generator().manual_seed(0))


def test_both_lists_name_the_same_classes_by_falling_count():
    counts = [CLIPS[name] for name in labels.names(BY_COUNT)]
    assert counts == sorted(counts, reverse=True)
    assert sorted(labels.names(BY_COUNT)) == sorted(labels.names(SORTED))
    known = {"chicken crowing": (4, 42), "dog barking": (125, 62), "raining": (197, 245), "helicopter": (12, 106)}
    for name, places in known.items():
        assert tuple(labels.names(order).index(name) for order in (BY_COUNT, SORTED)) == places


@pytest.mark.parametrize(
    ("head", "order", "text"),
    [
        (bias(BY_COUNT, 0.5), BY_COUNT, "that of VGG-Sound's stat.csv; confirmed"),
        (bias(SORTED, 0.5), SORTED, "sorted names, not that of VGG-Sound's stat.csv"),
        (torch.zeros(309), BY_COUNT, "stat.csv; undecided, so check it on a few known clips"),
    ],
    ids=["by count", "sorted", "no bias"],
)
def test_the_bias_decides(head, order, text):
    names, note = class_order(head)
    assert names == labels.names(order)
    assert text in note


def test_rank_correlation_with_ties_is_that_of_the_ranks():
    assert rank_correlation(np.array([1.0, 1.0, 3.0]), np.array([5, 5, 9])) == pytest.approx(1)
    assert rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([3, 2, 1])) == pytest.approx(-1)


def test_a_head_is_brought_into_the_order_of_the_data():
    card = Card(
        net=Baseline(kind="x", reads="samples", rate=16000, length=2),
        classes={"label": ("c", "a", "b"), "other": ("x",)}, front_end={}, clip_seconds=1.0,
    )  # fmt: skip
    state = {
        "heads.linears.label.0.weight": torch.arange(6.0).view(3, 2),
        "heads.linears.label.0.bias": torch.arange(3.0),
    }
    ordered = reorder_heads(state, card, {"label": ("a", "b", "c"), "other": ("y",)})
    assert ordered.classes == {"label": ("a", "b", "c"), "other": ("x",)}
    assert state["heads.linears.label.0.bias"].tolist() == [1, 2, 0]
    assert state["heads.linears.label.0.weight"].tolist() == [[2, 3], [4, 5], [0, 1]]
