"""Work that is dealt to many is dealt once, and evenly."""

import numpy as np
import pytest

from slowfast_cli.data.loader import eval_keys as view_keys
from slowfast_cli.data.partition import imbalance, partition
from slowfast_cli.types import Share


@pytest.mark.parametrize("ranks", [1, 2, 3, 7, 64])
def test_every_piece_is_dealt_once(ranks):
    for weights in ([], [1.0] * 10, np.random.default_rng(ranks).exponential(5, 1000).tolist()):
        found = partition(weights, ranks)
        assert len(found) == ranks
        assert sorted(piece for hand in found for piece in hand) == list(range(len(weights)))
        assert all(hand == sorted(hand) for hand in found)


def test_equal_pieces_go_round():
    assert partition([2] * 7, 3) == [list(range(hand, 7, 3)) for hand in range(3)]


def test_the_most_is_near_the_mean_whatever_the_weights():
    for seed in range(5):
        weights = np.random.default_rng(seed).lognormal(0, 1, 2000)
        assert imbalance([weights[hand].sum() for hand in partition(weights.tolist(), 64)]) < 0.005
    assert imbalance([]) == imbalance([0.0, 0.0]) == 0.0


@pytest.mark.parametrize("world", [2, 3, 5])
def test_segments_with_more_views_weigh_more_and_stay_whole(world):
    counts = np.random.default_rng(world).integers(1, 40, 200).tolist()
    shares = [view_keys(counts, batch=8, share=Share(rank=rank, world=world)) for rank in range(world)]
    keys = [[key for batch in share for key in batch] for share in shares]
    assert sum(map(len, keys)) == len({key for mine in keys for key in mine}) == sum(counts)
    assert sum(len({key.segment for key in mine}) for mine in keys) == len(counts)
    assert max(map(len, keys)) - min(map(len, keys)) <= 2
