"""Small archives do not unpack to large arrays."""

import numpy as np
import pytest
import tiny

from slowfast_cli.storage.bounded_zip import require_bounded


@pytest.fixture
def bomb(tmp_path):
    """An ``.npz`` of 1 GB of zeros in 1 MB."""
    np.savez_compressed(tmp_path / "bomb.npz", w=np.zeros(1 << 27))
    return tmp_path / "bomb.npz"


def test_archives_that_unpack_to_much_are_refused(bomb, tmp_path):
    with pytest.raises(ValueError, match=r"unpacks to 1.1 GB, and has 1.\d MB"):
        require_bounded(bomb)
    done = tiny.slowfast("weights", "convert", bomb, tmp_path / "out.safetensors")
    assert (done.code, f"{bomb}: unpacks to 1.1 GB" in done.err) == (4, True)
    np.savez(tmp_path / "good.npz", w=np.zeros(100), v=np.random.default_rng(0).random(1 << 16))
    require_bounded(tmp_path / "good.npz")
