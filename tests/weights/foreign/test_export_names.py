"""Names of other programs: the golden models come back under the names that they came with, bit for bit."""

import golden
import pytest
import torch

from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.types import WeightsError
from slowfast_cli.weights.foreign import pyslowfast
from slowfast_cli.weights.foreign.export_names import to_pyslowfast, to_pytorchvideo


def converted(name):
    reported, state, _, _ = golden.model(name)
    return state, pyslowfast.convert(state, reported.get("cfg"))


@pytest.mark.parametrize("name", [*golden.ASF, *golden.VIDEO])
def test_golden_models_get_their_names_back_bitwise(name):
    state, ours = converted(name)
    theirs = to_pyslowfast(ours.net, ours.state)
    assert theirs.keys() == set(state)
    for key, value in theirs.items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(value.reshape(state[key].shape), state[key]), key
            assert value.ndim == state[key].ndim or key.startswith("head."), key


HUB = [name for name in golden.VIDEO if name.startswith("psf_slow") and "nln" not in name]


@pytest.mark.parametrize("name", HUB)
def test_names_of_pytorchvideo_come_back(name):
    _, ours = converted(name)
    theirs = to_pytorchvideo(ours.net, ours.state)
    back = pyslowfast.convert(theirs, None)
    assert all(key.startswith("blocks.") for key in theirs)
    assert {
        key: value for key, value in back.state.items() if torch.equal(value, ours.state[key])
    }.keys() == ours.state.keys()


def test_networks_that_others_do_not_have_are_refused():
    net = VARIANTS["sf-nfnet-f0"]
    with torch.device("meta"):
        state = Recognizer(net, {"label": 3}).state_dict()
    with pytest.raises(WeightsError, match="PySlowFast"):
        to_pyslowfast(net, state)
    _, ours = converted(golden.ASF[0])
    with pytest.raises(WeightsError, match="PyTorchVideo's hub does not have"):
        to_pytorchvideo(ours.net, ours.state)
