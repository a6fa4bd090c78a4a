"""What decoders share: the mono mix."""

import numpy as np
import pytest

from slowfast_cli.media.source import mixed


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_the_mix_is_the_mean_to_the_last_bit(channels):
    block = np.random.default_rng(channels).standard_normal((1000, channels)).astype(np.float32)
    found = mixed(block)
    assert (found.dtype, found.shape) == (np.float32, (1000,))
    np.testing.assert_array_equal(found, block.mean(axis=1, dtype=np.float32))


def test_an_empty_block_stays_empty():
    assert mixed(np.zeros((0, 2), np.float32)).shape == (0,)
