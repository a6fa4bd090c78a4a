"""Networks with folded batch norms give the outputs of the original ones, for every family of variants."""

import copy

import pytest
import torch
from torch import nn

from slowfast_cli.models.baselines.zoo import BASELINES
from slowfast_cli.models.folding import fold_batch_norms, prepare_for_inference
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import keep_taps, with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.nn.nf import WSConv
from slowfast_cli.nn.nonlocal_block import NonLocal

SHAPES = {"frames": (3, 32, 32, 32), "logmel": (1, 128, 80)}
BATCH_NORM = nn.modules.batchnorm._BatchNorm
BASELINE_NAMES = ("cnn14", "byola-cnn", "mcdonnell-gao", "bidir-cpc")  # those without extra dependencies


def with_random_norms(model):
    """Randomize the norms, so that a wrong fold changes the output."""
    for module in model.modules():
        if isinstance(module, BATCH_NORM):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.3, 0.8)
                nn.init.normal_(module.bias, std=0.3)
        if hasattr(module, "skip_gain"):
            nn.init.ones_(module.skip_gain)
        if isinstance(module, NonLocal):  # dot products of fresh features would overflow
            nn.init.normal_(module.theta.weight, std=0.01)
    return model.eval()


def build(name, width=None):
    torch.manual_seed(0)
    net = with_width(VARIANTS[name], width or (32 if "nf" in name else 8))
    sizes = SHAPES if "frames" in net.signals else {"logmel": (1, 64, 32)}
    signals = {key: torch.randn(2, *sizes[key]) for key in net.signals}
    boxes = None if net.regions == "none" else torch.tensor([[0.0, 2, 2, 20, 20], [1.0, 0, 0, 31, 31]])
    return with_random_norms(Recognizer(net, {"label": 5})), signals, boxes


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_keeps_its_output(name):
    model, signals, boxes = build(name)
    before = copy.deepcopy(model.state_dict())
    with torch.inference_mode():
        want = model(signals, boxes)["label"]
        assert want.isfinite().all()
        assert want.std() > 0
        folded = prepare_for_inference(model, torch.device("cpu"))
        got = folded(signals, boxes)["label"]
    torch.testing.assert_close(got.softmax(1), want.softmax(1), atol=1e-5, rtol=0)
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)
    assert not [name for name, module in folded.named_modules() if isinstance(module, BATCH_NORM | WSConv)]
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert {name for name, _ in folded.named_modules()} == {name for name, _ in model.named_modules()}


@pytest.mark.parametrize("name", BASELINE_NAMES)
def test_baselines_keep_their_output(name):
    torch.manual_seed(0)
    model = with_random_norms(Recognizer(BASELINES[name], {"label": 5}))
    reads = model.trunk.net.reads
    shape = (1, 96, model.trunk.net.bands or 128) if reads == "logmel" else (16000,)
    signals = {reads: torch.randn(2, *shape)}
    with torch.inference_mode():
        want = model(signals)["label"]
        got = prepare_for_inference(model, torch.device("cpu"))(signals)["label"]
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["asf-r50", "avslowfast-4x16-r50", "slowfast-8x8-r50-nl", "sf-nfnet-f0"])
def test_intermediates_keep_their_names_and_values(name):
    model, signals, _ = build(name)
    trunk = prepare_for_inference(model, torch.device("cpu")).trunk
    assert trunk.intermediates == model.trunk.intermediates
    with torch.inference_mode():
        got, want = (network.maps(signals, network.intermediates) for network in (trunk, model.trunk))
    assert list(got) == list(want)
    for key, value in want.items():
        torch.testing.assert_close(got[key], value, atol=1e-4, rtol=1e-4)


def test_sync_outputs_with_negatives_are_unchanged():
    torch.manual_seed(0)
    stages = ("res3", "res4", "res5")
    net = keep_taps(with_width(VARIANTS["avslowfast-8x8-r50"], 8), stages)
    model = with_random_norms(Recognizer(net, {"label": 5}, sync=stages))
    signals = {
        "frames": torch.randn(2, 3, 32, 32, 32),
        "logmel": torch.randn(4, 1, 128, 80),
        "has_audio": torch.ones(2),
    }
    with torch.inference_mode():
        want, got = model(signals), prepare_for_inference(model, torch.device("cpu"))(signals)
    assert list(got) == list(want)
    for key, value in want.items():
        torch.testing.assert_close(got[key], value, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("freeze", ["all", "all-but-first"])
def test_frozen_norms_are_folded_too(freeze):
    torch.manual_seed(0)
    model = with_random_norms(Recognizer(with_width(VARIANTS["asf-r50"], 8), {"label": 5}, freeze_bn=freeze))
    folded = prepare_for_inference(model, torch.device("cpu"))
    x = {"logmel": torch.randn(2, 1, 64, 32)}
    with torch.inference_mode():
        torch.testing.assert_close(folded.eval()(x)["label"], model(x)["label"], atol=1e-5, rtol=1e-4)


def test_norms_with_batch_statistics_are_not_folded():
    """A norm without running statistics, or in training mode, has no constant gain."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2)).eval()
    model[1].train()
    model[3] = nn.BatchNorm2d(2, track_running_stats=False).eval()
    assert fold_batch_norms(model) is model


def test_unknown_modules_are_not_folded():
    """Attribute order says nothing about the order in forward()."""

    class NormFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.a_norm = nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)

        def forward(self, x):
            return self.a(self.a_norm(x))

    module = NormFirst().eval()
    assert fold_batch_norms(module) is module
