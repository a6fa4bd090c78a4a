"""Every variant: published parameter counts, gradients of all parameters, clips of any length."""

import pytest
import torch

from slowfast_cli.models import count
from slowfast_cli.models.architecture import from_dict
from slowfast_cli.models.pathway import subsample_time
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import Lateral, Net, Pathway, with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.nn.nf import NFBlock

EPIC = {"verb": 97, "noun": 300}
# ASF Table 2: millions, truncated after the second digit.
PUBLISHED = {
    "asf-slow-r50": 24.89,
    "asf-fast-r50": 0.49,
    "asf-two-slow-r50": 49.78,
    "asf-slow-r101": 46.11,
    "asf-late-r50": 25.38,
    "asf-r50": 26.88,
}


@pytest.mark.parametrize(("variant", "millions"), PUBLISHED.items())
def test_parameter_counts_match_the_paper(variant, millions):
    with torch.device("meta"):
        model = Recognizer(VARIANTS[variant], EPIC)
    assert int(count.parameters(model) / 1e4) / 100 == millions


def test_gflops_count_a_multiply_add_once():
    with torch.device("meta"):
        model = Recognizer(
            Net(pathways={"a": Pathway(width=1, depth=(1, 1, 1, 1), time=(1, 1, 1, 1, 1))}), {"label": 2}
        )
        x = torch.zeros(1, 1, 4, 32)
        stem = 1 * 2 * 16 * 7  # 1 channel, 2 x 16 positions, a kernel of 1 x 7
        assert stem / 1e9 < count.gflops(model, {"logmel": x}) < 3e-5


@pytest.mark.parametrize("variant", [name for name, net in VARIANTS.items() if net.signals == {"logmel"}])
def test_every_parameter_gets_a_gradient(variant):
    torch.manual_seed(0)
    # A standardized kernel with a single weight is zero, so normalizer-free networks need a larger width.
    width = 32 if "nf" in variant else 8
    model = Recognizer(with_width(VARIANTS[variant], width), {"verb": 3, "noun": 4}, dropout=0.1).train()
    for module in model.modules():  # initialized to zero, which would stop the branch's gradients
        if hasattr(module, "c_norm"):
            last = module.c if isinstance(module.c_norm, torch.nn.Identity) else module.c_norm
            torch.nn.init.ones_(last.weight)
        if isinstance(module, NFBlock):
            torch.nn.init.ones_(module.skip_gain)
            module.drop = 0.0
    logits = model({"logmel": torch.randn(2, 1, 64, 32)})
    assert {name: tuple(value.shape) for name, value in logits.items()} == {"verb": (2, 3), "noun": (2, 4)}
    sum(value.square().sum() for value in logits.values()).backward()
    without_gradient = [
        name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.abs().sum()
    ]
    assert not without_gradient


@pytest.mark.parametrize("frames", [1, 3, 31, 97, 250, 401, 998])
def test_clips_of_any_length(frames):
    model = Recognizer(with_width(VARIANTS["asf-r50"], 8), {"label": 5}).eval()
    with torch.inference_mode():
        assert model({"logmel": torch.randn(1, 1, frames, 64)})["label"].isfinite().all()


@pytest.mark.parametrize(("steps", "stride"), [(400, 4), (512, 4), (249, 4), (7, 2), (3, 4), (32, 8), (1000, 16)])
def test_slow_frames_equal_linspace_of_the_reference(steps, stride):
    x = torch.arange(steps, dtype=torch.float32).view(1, 1, steps, 1)
    kept = max(1, steps // stride)
    want = torch.linspace(0, steps - 1, kept, dtype=torch.float64).long()
    assert subsample_time(x, stride).flatten().long().tolist() == want.tolist()


def test_slow_frames_equal_the_golden_index():
    import golden

    meta = golden.model("asf_slowfast_r50_epic")[0]
    index = subsample_time(torch.arange(400.0).view(1, 1, 400, 1), 4)
    assert index.flatten().long().tolist() == meta["input"]["slow_index"]


def test_initialization_equals_the_reference():
    torch.manual_seed(0)
    model = Recognizer(VARIANTS["asf-r50"], EPIC)
    blocks = [module for module in model.modules() if hasattr(module, "c_norm")]
    assert len(blocks) == 32
    assert all(not block.c_norm.weight.any() and (block.a_norm.weight == 1).all() for block in blocks)
    conv = model.trunk.stages["slow_res5"][0].c.weight
    assert conv.std().item() == pytest.approx((2 / conv.shape[0]) ** 0.5, rel=0.01)
    head = model.heads.linears["noun"][0]
    assert head.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not head.bias.any()


def test_all_norms_but_the_first_are_frozen():
    model = Recognizer(with_width(VARIANTS["asf-r50"], 8), {"label": 3}, freeze_bn="all-but-first").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model({"logmel": torch.randn(4, 1, 64, 32) + 1})["label"].sum().backward()
    updated = {
        name
        for name, value in model.state_dict().items()
        if "running_mean" in name and not torch.equal(value, before[name])
    }
    first = ("stages.slow_stem", "stages.fast_stem", "laterals.f2s_stem")
    assert updated == {f"trunk.{name}.norm.running_mean" for name in first}
    trainable = {name for name, parameter in model.named_parameters() if "norm" in name and parameter.grad is not None}
    assert trainable == {f"trunk.{name}.norm.{part}" for name in first for part in ("weight", "bias")}


def test_late_fusion_averages_logits():
    model = Recognizer(with_width(VARIANTS["asf-late-r50"], 8), {"label": 3}).eval()
    x = {"logmel": torch.randn(2, 1, 64, 32)}
    with torch.inference_mode():
        features = model.trunk(x)
        want = (
            model.heads.linears["label"][0](features["slow"]) + model.heads.linears["label"][1](features["fast"])
        ) / 2
        torch.testing.assert_close(model(x)["label"], want)


def test_a_net_survives_json():
    import json
    from dataclasses import asdict

    for net in VARIANTS.values():
        assert from_dict(json.loads(json.dumps(asdict(net)))) == net


def test_invalid_specs_are_refused():
    with pytest.raises(ValueError, match="pathways are a"):
        Net(pathways={"a": Pathway()}, laterals={"x": Lateral(src="b", dst="a")})
    with pytest.raises(ValueError, match="odd"):
        Pathway(time=(2, 1, 1, 1, 1))
    with pytest.raises(KeyError, match="slow_res9"):
        Recognizer(with_width(VARIANTS["asf-slow-r50"], 8), {"label": 2}).trunk.maps(
            {"logmel": torch.zeros(1, 1, 32, 32)}, ["slow_res9"]
        )
