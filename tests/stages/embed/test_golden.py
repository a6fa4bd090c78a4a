"""Features of the golden models are those of the reference: unfolded, folded, and what its classifier makes of them."""

import golden
import numpy as np
import pytest
import torch
import yaml

from slowfast_cli.models.folding import fold_batch_norms
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.stages.embed.network import TrunkFeatures
from slowfast_cli.weights.file import load_matching
from slowfast_cli.weights.foreign import pyslowfast


def build(name):
    meta, state, x, outputs = golden.model(name)
    converted = pyslowfast.convert(state, yaml.safe_dump(meta["settings"]))
    with torch.device("meta"):  # skips random initialization: all weights are replaced
        model = Recognizer(converted.net, converted.heads)
    load_matching(model.to_empty(device="cpu"), converted.state)
    signal = "frames" if "frames" in converted.net.signals else "logmel"
    return model.eval(), {signal: x}, state, outputs


@pytest.mark.parametrize("name", ["asf_slowfast_r50_epic", "asf_slow_r50_vggsound"])
def test_features_are_those_of_the_trunk_and_classify_as_the_reference(name):
    model, signals, state, outputs = build(name)
    features = TrunkFeatures(model).of(signals)
    with torch.inference_mode():
        directly = torch.cat(list(model.trunk(signals).values()), dim=1)
    scale = directly.abs().max()
    assert (features - directly).abs().max() <= 1e-6 * scale
    assert (TrunkFeatures(fold_batch_norms(model)).of(signals) - directly).abs().max() <= 1e-5 * scale
    for head in (key.removesuffix(".weight") for key in state if key.startswith("head.") and key.endswith(".weight")):
        logits = features @ state[f"{head}.weight"].T + state[f"{head}.bias"]
        want = outputs[f"logits/{head}"].reshape(logits.shape)
        assert np.abs(logits.numpy() - want).max() <= 1e-5 * np.abs(want).max()


def test_features_of_frames_of_256_pixels_are_the_average_over_the_positions_of_the_reference():
    """The classifier is linear: what it makes of the average is the average of its four logits."""
    model, signals, state, outputs = build("psf_slowfast_8x8_r50_full256")
    features = TrunkFeatures(model).of(signals)
    logits = features @ state["head.projection.weight"].T + state["head.projection.bias"]
    want = outputs["logits/head.projection"].mean((1, 2, 3))
    assert features.shape == (1, 2304)
    assert np.abs(logits.numpy() - want).max() <= 1e-5 * np.abs(want).max()
