"""torch.compile takes the networks whole: a graph break would cost what compiling gains."""

import pytest
import torch

from slowfast_cli.models.slowfast import Recogniser
from slowfast_cli.models.spec import compared_at, narrowed
from slowfast_cli.models.zoo import VARIANTS

NETS = {
    "slowfast-8x8-r50": (),
    "avslowfast-8x8-r50": ("res3", "res4", "res5"),
    "avslowfast-8x8-r50-nonlocal": (),
    "slowfast-8x8-r101-nonlocal": (),
    "asf-r50": (),
}


def broken(explained):
    return [str(each.reason) for each in explained.break_reasons]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", [name for name in NETS if name in VARIANTS])
def test_a_network_is_one_graph(name, training):
    net = compared_at(narrowed(VARIANTS[name], 8), NETS[name])
    model = Recogniser(net, {"label": 5}, dropout=0.5, sync=NETS[name]).train(training)
    sounds = 2 * 2 if NETS[name] else 2  # those that belong, and those that do not
    signals = {"frames": torch.randn(2, 3, 32, 32, 32), "logmel": torch.randn(sounds, 1, 64, 80), "heard": torch.ones(2)}
    signals = {key: value for key, value in signals.items() if key in (*net.signals, *(("heard",) * len(net.signals)))}
    if len(net.signals) == 1:
        signals.pop("heard", None)
    torch._dynamo.reset()
    explained = torch._dynamo.explain(model)(signals)
    assert (explained.graph_count, explained.graph_break_count, broken(explained)) == (1, 0, [])


def test_most_of_these_networks_are_there():
    assert {"slowfast-8x8-r50", "avslowfast-8x8-r50", "asf-r50"} <= set(VARIANTS)
