"""Logits, intermediates and training-mode statistics equal those of the reference implementation."""

import golden
import numpy as np
import pytest
import torch
import yaml

from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.weights.file import load_matching
from slowfast_cli.weights.foreign import pyslowfast
from slowfast_cli.weights.foreign.pyslowfast_names import own_name


def build(name: str, cfg: bool = True) -> tuple[Recognizer, pyslowfast.Checkpoint, torch.Tensor, dict[str, np.ndarray]]:
    meta, state, x, outputs = golden.model(name)
    converted = pyslowfast.convert(state, yaml.safe_dump(meta["settings"]) if cfg else None)
    model = Recognizer(converted.net, dict(converted.heads))
    report = load_matching(model, converted.state)
    assert not report.fresh
    assert not report.unused
    assert not converted.unexpected
    assert len(report.loaded) == sum(not key.endswith("num_batches_tracked") for key in state)
    return model, converted, x, outputs


def test_there_are_eight_golden_models():
    assert len(golden.ASF) == 8


@pytest.mark.parametrize("name", golden.ASF)
def test_logits_equal_the_reference(name):
    model, converted, x, outputs = build(name)
    with torch.inference_mode():
        logits = model.eval()({"logmel": x})
    for labels, value in logits.items():
        suffix = "" if labels == "label" else f"_{labels}"
        for kind in ("logits", "logits_fp64"):
            want = outputs[f"{kind}/head.projection{suffix}"].reshape(value.shape)
            assert np.abs(value.numpy() - want).max() <= 1e-5 * np.abs(want).max()
    assert sum(p.numel() for p in model.parameters()) == golden.model(name)[0]["param_count"]
    assert set(converted.heads) == set(logits)


@pytest.mark.parametrize("name", ["asf_slowfast_r50_epic", "asf_slow_r50_vggsound"])
def test_intermediates_equal_the_reference(name):
    model, converted, x, outputs = build(name)
    paths = list(converted.net.pathways)
    with torch.inference_mode():
        maps = model.eval().trunk.maps(
            {"logmel": x}, [f"{path}_{stage}" for path in paths for stage in ("stem", "res2", "res3", "res4", "res5")]
        )
    for number, path in enumerate(paths):
        for at, stage in enumerate(("stem", "res2", "res3", "res4", "res5"), 1):
            got = maps[f"{path}_{stage}"].numpy()
            key = (
                f"stage/s{at}.pathway{number}" if f"stage/s{at}.pathway{number}/spread64" in outputs else f"stage/s{at}"
            )
            want = outputs[f"{key}/spread64"]
            picked = got.reshape(-1)[np.linspace(0, got.size - 1, 64).astype(np.int64)]
            assert np.abs(picked - want).max() <= 1e-4 * got.std()


def test_training_mode_equals_the_reference():
    model, _, x, outputs = build("asf_slowfast_r50_vggsound")
    with torch.no_grad():
        logits = model.train()({"logmel": x})["label"].numpy()
    want = outputs["train_mode/logits/class"]
    assert np.abs(logits - want).max() <= 1e-4 * np.abs(want).max()
    after = {
        key.removeprefix("train_mode/after/"): value
        for key, value in outputs.items()
        if key.startswith("train_mode/after/")
    }
    assert len(after) > 10
    state = model.state_dict()
    for name, value in after.items():
        np.testing.assert_allclose(state[own_name(name, ["slow", "fast"])].numpy(), value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", golden.ASF)
def test_published_settings_are_the_default(name):
    with_cfg, without = build(name)[1], build(name, cfg=False)[1]
    assert without.net == with_cfg.net
    assert (without.front_end, without.clip_seconds) == (with_cfg.front_end, with_cfg.clip_seconds)
    assert any("front end is not in the file" in note for note in without.notes)
    assert not with_cfg.notes


def test_unpublished_settings_are_read_from_the_checkpoint():
    """Other alpha, beta, kernel, ratio and depth: strides come from cfg, the rest from the shapes."""
    from dataclasses import replace

    from slowfast_cli.models.spec import Lateral, Net, Pathway

    slow = Pathway(stride=8, width=24, depth=(1, 2, 1, 1), time=(1, 1, 1, 3, 3))
    fast = Pathway(width=6, depth=(1, 2, 1, 1), time=(5, 3, 3, 3, 3))
    net = Net(
        pathways={"slow": slow, "fast": fast}, laterals={"f2s": Lateral(src="fast", dst="slow", kernel=5, ratio=3)}
    )
    model = Recognizer(net, {"label": 7})
    state = {golden.pyslowfast_name(name): value for name, value in model.state_dict().items()}
    cfg = yaml.safe_dump(
        {
            "SLOWFAST": {"ALPHA": 8},
            "AUDIO_DATA": {
                "SAMPLING_RATE": 8000,
                "CLIP_SECS": 1.5,
                "WINDOW_LENGTH": 25,
                "HOP_LENGTH": 10,
                "NUM_FREQUENCIES": 40,
            },
        }
    )
    converted = pyslowfast.convert(state, cfg)
    assert converted.net == replace(net)
    assert not converted.unexpected
    assert converted.front_end == {
        "rate": 8000,
        "window_ms": 25.0,
        "hop_ms": 10.0,
        "mels": 40,
        "fft": 2048,
        "floor": 1e-6,
    }
    other = Recognizer(converted.net, dict(converted.heads))
    assert not load_matching(other, converted.state).fresh
    x = {"logmel": torch.randn(2, 1, 151, 40)}
    with torch.inference_mode():
        torch.testing.assert_close(other.eval()(x)["label"], model.eval()(x)["label"])
