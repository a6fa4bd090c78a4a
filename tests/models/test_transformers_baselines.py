"""Networks from transformers: parameter counts, gradients, clip lengths; our ResNet-50 equals transformers'."""

import re
import sys
from dataclasses import replace

import pytest
import torch

import slowfast_cli.torchaudio_import  # noqa: F401  the guard must run before transformers
from slowfast_cli.models.baseline import BaselineTrunk
from slowfast_cli.models.baselines.zoo import BASELINES
from slowfast_cli.models.slowfast import SlowFast
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.types import UsageError

pytestmark = pytest.mark.thorough
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
    # HARES Table 2: 4.0 and 86; ViT-Base for images has 85.8, this one has one channel and fewer positions.
    [("efficientnet-b0", 4.0, 4_006_972), ("vit-base", 85.3, 85_324_032)],
)
def test_parameter_counts_match_the_paper(name, millions, parameters, transformers):
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
    without_gradient = [key for key, p in trunk.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not without_gradient  # the class token is not averaged, but attended to


@NAMES
@pytest.mark.parametrize("frames", [40, 97, 131])
def test_clips_of_any_length(name, frames, transformers):
    trunk = BaselineTrunk(tiny(name)).eval()
    with torch.inference_mode():
        assert trunk({"logmel": torch.randn(1, 1, frames, 32)})["audio"].isfinite().all()


def test_vit_equals_transformers_at_its_configured_size(transformers):
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
        got = body(x)
    assert got.shape == (2, 64, 6, 2)
    torch.testing.assert_close(got.flatten(2).transpose(1, 2), want)


def test_position_embeddings_are_interpolated(transformers):
    """A clip twice as long gets positions halfway between the original ones."""
    embeddings = BaselineTrunk(tiny("vit-base")).body.network.embeddings
    with torch.no_grad():
        embeddings.positions[0, 1:] = torch.arange(6.0).repeat_interleave(2)[:, None]
        positions = embeddings._positions((12, 2))[0, 1:, 0].unflatten(0, (12, 2))
    assert torch.equal(positions[:, 0], positions[:, 1])
    torch.testing.assert_close(positions[3:9, 0], torch.arange(1.25, 4, 0.5), atol=0.05, rtol=0)


def test_batch_norm_momentum_of_efficientnet(transformers):
    norms = [m for m in BaselineTrunk(tiny("efficientnet-b0")).modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms
    assert {norm.momentum for norm in norms} == {0.01}


def transformers_name(name):
    """Map a parameter name of our ResNet-50 to transformers'."""
    name = name.replace("stages.audio_stem.conv", "embedder.embedder.convolution")
    name = name.replace("stages.audio_stem.norm", "embedder.embedder.normalization")
    name = re.sub(r"stages\.audio_res(\d)\.", lambda m: f"encoder.stages.{int(m[1]) - 2}.layers.", name)
    name = re.sub(r"\.([abc])(_norm)?\.", lambda m: f".layer.{'abc'.index(m[1])}.{PARTS[bool(m[2])]}.", name)
    return name.replace("shortcut.conv.", "shortcut.convolution.").replace("shortcut.norm.", "shortcut.normalization.")


PARTS = ("convolution", "normalization")


def test_resnet50_equals_transformers(transformers):
    torch.manual_seed(0)
    theirs = transformers.ResNetModel(transformers.ResNetConfig(num_channels=1)).eval()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    ours = SlowFast(VARIANTS["resnet50"]).eval()
    state = theirs.state_dict()
    ours.load_state_dict({name: state.pop(transformers_name(name)) for name in ours.state_dict()})
    assert not state
    x = torch.randn(2, 1, 100, 80)
    with torch.inference_mode():
        got, want = ours({"logmel": x})["audio"], theirs(x).pooler_output.flatten(1)
    assert want.std() > 0.01
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


@NAMES
def test_missing_transformers_names_the_extra_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"pip install 'slowfast-cli\[baselines\]'"):
        BaselineTrunk(BASELINES[name])


def test_transformers_is_imported_lazily():
    import subprocess

    code = (
        "import sys, dataclasses\n"
        "from slowfast_cli.models.baseline import BaselineTrunk\n"
        "from slowfast_cli.models.baselines.zoo import BASELINES\n"
        "BaselineTrunk(dataclasses.replace(BASELINES['byola-cnn'], length=8))\n"
        "print('transformers' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "False"
