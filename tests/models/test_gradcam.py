"""Grad-CAM: shapes for every kind of network, and the sanity checks of Adebayo et al. (NeurIPS 2018)."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from slowfast_cli.models.architecture import Baseline
from slowfast_cli.models.baselines.zoo import BASELINES
from slowfast_cli.models.gradcam import grad_cam, normalized
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS

# One network of each description, apart from width and depth, which tests reduce.
KINDS = {
    (
        net.merge,
        tuple((path.reads, path.pick, path.norm, path.attend, path.block) for path in net.pathways.values()),
        bool(net.laterals),
    ): name
    for name, net in reversed(VARIANTS.items())
    if net.regions == "none"
}


def small(variant):
    net = with_width(VARIANTS[variant], 32 if "nf" in variant else 16)
    depth = {
        name: replace(path, depth=tuple(min(count, 1) for count in path.depth)) for name, path in net.pathways.items()
    }
    torch.manual_seed(0)
    model = Recognizer(replace(net, pathways=depth), {"label": 4}).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if name.endswith(("c_norm.weight", "skip_gain")):
            torch.nn.init.ones_(parameter)
    for linear in (module for module in model.heads.modules() if isinstance(module, torch.nn.Linear)):
        torch.nn.init.normal_(linear.weight)
    return model


def inputs(net):
    made = {"logmel": torch.randn(1, 1, 64, 32), "frames": torch.randn(1, 3, 32, 64, 64), "has_audio": torch.ones(1)}
    names = {*net.signals, "has_audio"} if len(net.signals) > 1 else net.signals
    return {name: value for name, value in made.items() if name in names}


@pytest.mark.parametrize("variant", KINDS.values())
def test_maps_have_the_size_of_the_signals_and_change_with_the_weights(variant):
    model = small(variant)
    signals = inputs(model.trunk.net)
    index = int(model(signals)["label"].reshape(-1, 4).mean(0).argmax())  # what speaks for other classes may be nothing
    cams = grad_cam(model, signals, "label", index)
    assert cams.keys() == model.trunk.net.signals
    for name, cam in cams.items():
        assert cam.shape == signals[name].shape[2:]
        assert cam.min() >= 0
    assert max(cam.max() for cam in cams.values()) > 0
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    other = grad_cam(model, signals, "label", index)
    for name, cam in cams.items():
        assert not torch.allclose(*(normalized({name: map_})[name] for map_ in (cam, other[name])), atol=0.1)


def test_maps_of_classes_differ_and_are_the_same_every_time():
    model = small("asf-r50")
    signals = inputs(model.trunk.net)
    maps = [grad_cam(model, signals, "label", index)["logmel"].numpy() for index in (0, 1, 0)]
    np.testing.assert_array_equal(maps[0], maps[2])
    assert np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1] < 0.9
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_map_lies_where_the_sound_is():
    model = small("asf-r50")
    net = model.trunk.net
    silence = torch.zeros(1, 1, 256, 32)
    sound = silence.clone()
    sound[:, :, 32:64] = 3 * torch.randn(1, 1, 32, 32)
    index = int((model({"logmel": sound})["label"] - model({"logmel": silence})["label"]).argmax())
    cam = grad_cam(model, {"logmel": sound}, "label", index, "res3")["logmel"].sum(1)
    quiet = grad_cam(model, {"logmel": silence}, "label", index, "res3")["logmel"].sum(1)
    change = (cam - quiet).abs()
    assert "logmel" in net.signals
    assert change[:96].sum() > 0.8 * change.sum()


def test_a_clip_without_audio_has_maps_of_its_frames_alone():
    variant = next(name for name, net in VARIANTS.items() if len(net.signals) == 2 and net.regions == "none")
    model = small(variant)
    signals = {**inputs(model.trunk.net), "has_audio": torch.zeros(1)}
    cams = grad_cam(model, signals, "label", 0)
    assert cams["frames"].max() > 0
    assert "logmel" not in cams or cams["logmel"].max() == 0


def test_baselines_have_their_last_map():
    name, net = next(
        (name, net) for name, net in BASELINES.items() if isinstance(net, Baseline) and net.reads == "logmel"
    )
    torch.manual_seed(0)
    model = Recognizer(net, {"label": 3}).eval().requires_grad_(False)
    cam = grad_cam(model, {"logmel": torch.randn(1, 1, 256, 64)}, "label", 1)["logmel"]
    assert cam.shape == (256, 64), name
    assert cam.min() >= 0
