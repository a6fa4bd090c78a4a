"""torch.compile takes the networks whole: a graph break would cost what compiling gains."""

import pytest
import torch

from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import compared_at, narrowed
from slowfast_cli.models.zoo import VARIANTS

QUICK = ("asf-r50", "sf-nfnet-f0", "avslowfast-4x16-r50")
MORE = ("slowfast-8x8-r50", "slowfast-8x8-r50-nl", "avslowfast-4x16-r50-attention", "avslowfast-8x8-r50", "sf-r50-ln")
NETS = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)]


def network(name):
    net = VARIANTS[name] if "nfnet" in name else narrowed(VARIANTS[name], 8)
    sync = tuple(net.sync()) if len(net.signals) > 1 else ()
    model = Recognizer(compared_at(net, sync), {"label": 5}, dropout=0.5, sync=sync)
    sounds = 2 * 2 if sync else 2  # those that belong, and those that do not
    made = {"frames": torch.randn(2, 3, 32, 32, 32), "logmel": torch.randn(sounds, 1, 128, 80)}
    signals = {key: made[key] for key in net.signals}
    return model, signals | ({"has_audio": torch.ones(2)} if len(signals) == 2 else {})


@pytest.mark.parametrize("name", NETS)
def test_a_network_is_one_graph(name):
    """In training, which is what is compiled."""
    model, signals = network(name)
    graphs = []

    def counted(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    outputs = torch.compile(model.train(), backend=counted, fullgraph=True)(signals)  # a break would raise
    assert len(graphs) == 1
    assert outputs["label"].isfinite().all()
