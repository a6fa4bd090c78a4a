"""torch.compile compiles each network to a single graph, without graph breaks."""

import pytest
import torch

from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import keep_taps, with_width
from slowfast_cli.models.zoo import VARIANTS

QUICK = ("asf-r50", "sf-nfnet-f0", "avslowfast-4x16-r50")
MORE = ("slowfast-8x8-r50", "slowfast-8x8-r50-nl", "avslowfast-4x16-r50-attention", "avslowfast-8x8-r50", "sf-r50-ln")
NETS = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)]


def network(name):
    net = VARIANTS[name] if "nfnet" in name else with_width(VARIANTS[name], 8)
    sync = tuple(net.sync_laterals()) if len(net.signals) > 1 else ()
    model = Recognizer(keep_taps(net, sync), {"label": 5}, dropout=0.5, sync=sync)
    clips = 2 * 2 if sync else 2  # audio of the clips, and AV-sync negatives
    inputs = {"frames": torch.randn(2, 3, 32, 32, 32), "logmel": torch.randn(clips, 1, 128, 80)}
    signals = {key: inputs[key] for key in net.signals}
    return model, signals | ({"has_audio": torch.ones(2)} if len(signals) == 2 else {})


@pytest.mark.thorough
@pytest.mark.parametrize("name", NETS)
def test_a_network_is_one_graph(name):
    """In training mode, the mode that is compiled."""
    model, signals = network(name)
    graphs = []

    def counted(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    outputs = torch.compile(model.train(), backend=counted, fullgraph=True)(signals)  # a graph break raises
    assert len(graphs) == 1
    assert outputs["label"].isfinite().all()
