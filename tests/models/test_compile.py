"""torch.compile takes the networks whole: a graph break would cost what compiling gains."""

import pytest
import torch

from slowfast_cli.models.recogniser import Recogniser
from slowfast_cli.models.spec import compared_at, narrowed
from slowfast_cli.models.zoo import VARIANTS

NETS = {
    "slowfast-8x8-r50": (),
    "avslowfast-8x8-r50": ("res3", "res4", "res5"),
    "avslowfast-4x16-r50-attention": (),
    "slowfast-8x8-r50-nl": (),
    "asf-r50": (),
}


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NETS)
def test_a_network_is_one_graph(name, training):
    net = compared_at(narrowed(VARIANTS[name], 8), NETS[name])
    model = Recogniser(net, {"label": 5}, dropout=0.5, sync=NETS[name]).train(training)
    sounds = 2 * 2 if NETS[name] else 2  # those that belong, and those that do not
    made = {"frames": torch.randn(2, 3, 32, 32, 32), "logmel": torch.randn(sounds, 1, 128, 80)}
    signals = {key: made[key] for key in net.signals}
    if len(signals) == 2:
        signals["heard"] = torch.ones(2)
    torch._dynamo.reset()
    explained = torch._dynamo.explain(model)(signals)
    reasons = [str(each.reason) for each in explained.break_reasons]
    assert (explained.graph_count, explained.graph_break_count, reasons) == (1, 0, [])
