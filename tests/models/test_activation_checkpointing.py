"""Activation checkpointing changes memory only, not gradients or statistics."""

import pytest
import torch

from slowfast_cli.build.network import build_recognizer
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.recipe.load import load
from slowfast_cli.types import UsageError


def saved_bytes(model, signals):
    """Run forward and backward; return the bytes that the forward pass saves for backward."""
    saved = {}

    def pack(value):
        saved[value.data_ptr()] = value.numel() * value.element_size()
        return value

    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        logits = model(signals)
    logits["label"].square().sum().backward()
    return sum(saved.values())


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["asf-r50", "slowfast-4x16-r50", "sf-nfnet-f0", "sf-r50-ln"])
def test_gradients_and_statistics_are_unchanged(name):
    net = VARIANTS[name] if "nfnet" in name else with_width(VARIANTS[name], 8)
    inputs = {"frames": torch.randn(2, 3, 32, 64, 64), "logmel": torch.randn(2, 1, 128, 80)}
    signals = {key: inputs[key] for key in net.signals}
    models, sizes = [], []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = Recognizer(net, {"label": 5}, dropout=0.5).train()
        model.trunk.activation_checkpointing = checkpointing
        sizes.append(saved_bytes(model, signals))
        models.append(model)
    one, other = models
    for (key, a), b in zip(one.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, msg=key)
    for (key, a), b in zip(one.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(a, b, msg=key)
    assert sizes[1] < 0.5 * sizes[0]


def test_recipe_option_and_conflicts():
    option = "optim.activation_checkpointing=true"
    recipe = load("vggsound", [option, "model.width=8"])
    assert build_recognizer(recipe, {"label": 5}).trunk.activation_checkpointing
    with pytest.raises(UsageError, match=r"optim\.activation_checkpointing: cnn14 is not split into stages"):
        build_recognizer(load("vggsound", [option, "model.variant=cnn14", "frontend.mels=80"]), {})
    with pytest.raises(UsageError, match=r"optim\.activation_checkpointing: does not work with optim\.compile"):
        load("vggsound", [option, "optim.compile=true"])
    with pytest.raises(UsageError, match=r"optim\.activation_checkpointing: does not work with optim\.cuda_graphs"):
        load("vggsound", [option, "optim.cuda_graphs=true"])
    with pytest.raises(UsageError, match=r"optim\.cuda_graphs: records whole batches in fp32 or bf16"):
        load("vggsound", ["optim.cuda_graphs=true", "optim.grad_accum_steps=2"])
