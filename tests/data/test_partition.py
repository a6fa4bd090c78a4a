"""Partitions are complete and balanced."""

import doctest

import numpy as np
import pytest

from slowfast_cli.data import partition as module
from slowfast_cli.data.loader import eval_keys
from slowfast_cli.data.partition import imbalance, partition
from slowfast_cli.types import Share


def test_docstring_examples():
    assert doctest.testmod(module) == (0, 3)


@pytest.mark.parametrize("ranks", [1, 2, 3, 7, 64])
def test_every_item_is_assigned_once(ranks):
    for weights in ([], [1.0] * 10, np.random.default_rng(ranks).exponential(5, 1000).tolist()):
        parts = partition(weights, ranks)
        assert len(parts) == ranks
        assert sorted(item for part in parts for item in part) == list(range(len(weights)))
        assert all(part == sorted(part) for part in parts)


def test_equal_items_are_assigned_round_robin():
    assert partition([2] * 7, 3) == [list(range(part, 7, 3)) for part in range(3)]


def test_the_heaviest_load_is_near_the_mean():
    for seed in range(5):
        weights = np.random.default_rng(seed).lognormal(0, 1, 2000)
        assert imbalance([weights[part].sum() for part in partition(weights.tolist(), 64)]) < 0.005
    assert imbalance([]) == imbalance([0.0, 0.0]) == 0.0


@pytest.mark.parametrize("world", [2, 3, 5])
def test_segments_are_weighted_by_views_and_not_split(world):
    counts = np.random.default_rng(world).integers(1, 40, 200).tolist()
    shares = [eval_keys(counts, batch=8, share=Share(rank=rank, world=world)) for rank in range(world)]
    keys = [[key for batch in share for key in batch] for share in shares]
    assert sum(map(len, keys)) == len({key for mine in keys for key in mine}) == sum(counts)
    assert sum(len({key.segment for key in mine}) for mine in keys) == len(counts)
    assert max(map(len, keys)) - min(map(len, keys)) <= 2
