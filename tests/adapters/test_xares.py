"""The encoder for X-ARES: attributes and shapes that its checker asks for, features of the trunk, and the checker."""

import numpy as np
import pytest
import tiny
import torch

from slowfast_cli.adapters import xares
from slowfast_cli.api import log_mel, read_audio
from slowfast_cli.models.spec import with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.types import WeightsError
from slowfast_cli.weights.file import Card, build, save


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    for name, variant in (("heard", "asf-r50"), ("seen", "slow-r50")):
        net = with_width(VARIANTS[variant], 8)
        card = Card(net=net, classes={"label": ("a", "b")}, front_end=tiny.FRONT_END, clip_seconds=0.5)
        torch.manual_seed(0)
        save(folder / f"{name}.safetensors", card.model().state_dict(), card)
    return folder


def test_features_are_the_maps_of_the_trunk_averaged_over_frequency(weights):
    path = weights / "heard.safetensors"
    encoder = xares.SlowFastEncoder(str(path))
    samples = read_audio(tiny.DATA / "dog.ogg", encoder.sampling_rate, seconds=2.0)
    features = encoder(torch.from_numpy(np.stack([samples, samples[::-1].copy()])))
    card, model = build(path)
    logmel = torch.from_numpy(log_mel(samples, card.front_end))[None, None]
    with torch.inference_mode():
        last, _ = model.trunk.run({"logmel": logmel})
    slow = last["slow"].mean(3)[0].T
    assert features.shape == (2, len(slow), encoder.output_dim)
    np.testing.assert_allclose(features[0, :, : slow.shape[1]], slow, rtol=1e-4, atol=1e-5)
    fast = last["fast"].mean((2, 3))[0]
    np.testing.assert_allclose(features[0, :, slow.shape[1] :].mean(0), fast, rtol=1e-2, atol=1e-3)
    assert 2000 / features.shape[1] == pytest.approx(encoder.hop_size_in_ms, rel=0.1)


def test_the_encoder_is_made_without_arguments_and_is_the_only_one_of_its_module(weights, monkeypatch):
    monkeypatch.setenv("SLOWFAST_XARES_WEIGHTS", str(weights / "heard.safetensors"))
    (name,) = [name for name in dir(xares) if name.endswith("Encoder")]
    encoder = getattr(xares, name)()
    assert encoder.sampling_rate == 16000
    assert encoder.output_dim == 256 + 32
    assert encoder(torch.randn(2, 50000)).ndim == 3


def test_weights_that_read_frames_are_refused(weights):
    with pytest.raises(WeightsError, match="X-ARES needs features at every time"):
        xares.SlowFastEncoder(str(weights / "seen.safetensors"))


def test_the_checker_of_xares_accepts_the_encoder(weights):
    checker = pytest.importorskip("xares.audio_encoder_checker", reason="the extra `xares` is not installed")
    assert checker.check_audio_encoder(xares.SlowFastEncoder(str(weights / "heard.safetensors")))
