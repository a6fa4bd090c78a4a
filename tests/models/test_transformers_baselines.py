"""Networks that transformers builds: sizes, gradients, lengths; and our ResNet-50 is its ResNet-50."""

import re
import sys
from dataclasses import replace

import pytest
import torch

import slowfast_cli.torchaudio_import  # noqa: F401  the guard goes before transformers
from slowfast_cli.models.baseline import BaselineTrunk
from slowfast_cli.models.baselines.zoo import BASELINES
from slowfast_cli.models.slowfast import SlowFast
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.types import UsageError

NAMES = pytest.mark.parametrize("name", ["vit-base", "efficientnet-b0"])


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers")


def tiny(name):
    if name == "vit-base":
        return replace(BASELINES[name], length=64, bands=32, frames=96)
    return replace(BASELINES[name], length=640)


@pytest.mark.parametrize(
    ("name", "millions", "parameters"),
    # HARES Table 2 prints 4.0 and 86: a ViT-Base of pictures has 85.8, this one has one channel and fewer positions.
    [("efficientnet-b0", 4.0, 4_006_972), ("vit-base", 85.3, 85_324_032)],
)
def test_sizes_are_the_published_ones(name, millions, parameters, transformers):
    with torch.device("meta"):
        trunk = BaselineTrunk(BASELINES[name])
    assert sum(parameter.numel() for parameter in trunk.parameters()) == parameters
    assert round(parameters / 1e6, 1) == millions


@NAMES
def test_every_parameter_gets_a_gradient(name, transformers):
    torch.manual_seed(0)
    trunk = BaselineTrunk(tiny(name)).train()
    feature = trunk({"logmel": torch.randn(2, 1, 96, 32)})["audio"]
    assert feature.shape == (2, trunk.net.length)
    (feature * torch.randn_like(feature)).sum().backward()
    silent = [key for key, p in trunk.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    # The class token answers nothing: at the end the patches are averaged. It is still attended to.
    assert not silent


@NAMES
@pytest.mark.parametrize("frames", [40, 97, 131])
def test_any_length_of_clip_goes_through(name, frames, transformers):
    trunk = BaselineTrunk(tiny(name)).eval()
    with torch.inference_mode():
        assert trunk({"logmel": torch.randn(1, 1, frames, 32)})["audio"].isfinite().all()


def test_vit_is_theirs_at_the_size_it_was_made_for(transformers):
    body = BaselineTrunk(tiny("vit-base")).body.eval()
    settings = transformers.ViTConfig(
        num_channels=1, image_size=(96, 32), hidden_size=64, num_attention_heads=1, intermediate_size=256
    )
    theirs = transformers.ViTModel(settings, add_pooling_layer=False).eval()
    state = body.network.state_dict()
    state["embeddings.cls_token"] = state.pop("embeddings.first")
    state["embeddings.position_embeddings"] = state.pop("embeddings.positions")
    theirs.load_state_dict(state)
    x = torch.randn(2, 1, 96, 32)
    with torch.inference_mode():
        want = theirs(pixel_values=x).last_hidden_state[:, 1:]
        found = body(x)
    assert found.shape == (2, 64, 6, 2)
    torch.testing.assert_close(found.flatten(2).transpose(1, 2), want)


def test_positions_follow_the_clip(transformers):
    """A clip twice as long gets positions in between: at the middle of the old ones, what was there."""
    embeddings = BaselineTrunk(tiny("vit-base")).body.network.embeddings
    with torch.no_grad():
        embeddings.positions[0, 1:] = torch.arange(6.0).repeat_interleave(2)[:, None]
        found = embeddings._positions((12, 2))[0, 1:, 0].unflatten(0, (12, 2))
    assert torch.equal(found[:, 0], found[:, 1])
    torch.testing.assert_close(found[3:9, 0], torch.arange(1.25, 4, 0.5), atol=0.05, rtol=0)


def test_statistics_of_efficientnet_move_slowly(transformers):
    norms = [m for m in BaselineTrunk(tiny("efficientnet-b0")).modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert {norm.momentum for norm in norms} == {0.01}


def their_name(name):
    """Of our ResNet-50 in transformers."""
    name = name.replace("stages.audio_stem.conv", "embedder.embedder.convolution")
    name = name.replace("stages.audio_stem.norm", "embedder.embedder.normalization")
    name = re.sub(r"stages\.audio_res(\d)\.", lambda m: f"encoder.stages.{int(m[1]) - 2}.layers.", name)
    name = re.sub(r"\.([abc])(_norm)?\.", lambda m: f".layer.{'abc'.index(m[1])}.{PARTS[bool(m[2])]}.", name)
    return name.replace("shortcut.conv.", "shortcut.convolution.").replace("shortcut.norm.", "shortcut.normalization.")


PARTS = ("convolution", "normalization")


def test_resnet50_is_the_resnet_of_transformers(transformers):
    torch.manual_seed(0)
    theirs = transformers.ResNetModel(transformers.ResNetConfig(num_channels=1)).eval()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    ours = SlowFast(VARIANTS["resnet50"]).eval()
    state = theirs.state_dict()
    ours.load_state_dict({name: state.pop(their_name(name)) for name in ours.state_dict()})
    assert not state
    x = torch.randn(2, 1, 100, 80)
    with torch.inference_mode():
        found, want = ours({"logmel": x})["audio"], theirs(x).pooler_output.flatten(1)
    assert want.std() > 0.01
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-4)


@NAMES
def test_without_the_extra_it_says_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"pip install 'slowfast\[baselines\]'"):
        BaselineTrunk(BASELINES[name])


def test_it_is_imported_only_when_such_a_network_is_built():
    import subprocess

    code = (
        "import sys, dataclasses\n"
        "from slowfast_cli.models.baseline import BaselineTrunk\n"
        "from slowfast_cli.models.baselines.zoo import BASELINES\n"
        "BaselineTrunk(dataclasses.replace(BASELINES['byola-cnn'], length=8))\n"
        "print('transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
