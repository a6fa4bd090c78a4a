"""Every published network is converted for every engine and answers as PyTorch does; exceptions are named."""

import warnings

import pytest
import torch
from inference_networks import small

from slowfast_cli.inference.choose import ENGINES
from slowfast_cli.inference.convert import arrays, describe, difference, export_program, obstacle
from slowfast_cli.models.baselines.zoo import BASELINES
from slowfast_cli.models.zoo import VARIANTS

NETWORKS = {**VARIANTS, **BASELINES}
DETECTORS = {name for name in VARIANTS if name.endswith("-ava")}
WHY = "it classifies boxes, and the samples of RoIAlign depend on the sizes of the boxes"
EXCEPTIONS: dict[tuple[str, str], str] = {}  # (network, engine): the start of the reason
# Small ones of each kind: all others take ten minutes, and are for `pytest -m slow`.
FAMILIES = {"asf-small", "slowfast-small", "avslowfast-small", "sf-small", "byola-cnn"}
# Names of equal networks, of which one is converted.
DISTINCT = {repr(net): name for name, net in reversed(NETWORKS.items()) if name not in DETECTORS}


def test_only_detectors_are_refused_by_all_engines():
    assert {name: reason for name, net in NETWORKS.items() if (reason := obstacle(net))} == dict.fromkeys(
        DETECTORS, WHY
    )


def _networks():
    for name in sorted(DISTINCT.values()):
        yield pytest.param(name, marks=pytest.mark.thorough if name in FAMILIES else pytest.mark.slow)


def test_the_families_are_networks():
    assert set(DISTINCT.values()) >= FAMILIES


@pytest.mark.parametrize("name", list(_networks()))
def test_engines_answer_as_pytorch(name, tmp_path):
    model, signals = small(name)
    with torch.inference_mode():
        expected = arrays(model(signals))
    clips = arrays(signals)
    three = {key: value[[0, 1, 0]] for key, value in clips.items()}
    exported = export_program(model, signals)
    for engine in ("onnx", "openvino"):
        path = tmp_path / f"{name}{ENGINES[engine].suffix}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if reason := EXCEPTIONS.get((name, engine)):
                with pytest.raises(Exception, match=reason):
                    ENGINES[engine].write(exported, path, describe(exported, weights="", gives="logits"))
                continue
            ENGINES[engine].write(exported, path, describe(exported, weights="", gives="logits"))
        program = ENGINES[engine].read(path, "fp32")
        assert difference(program.run(clips), expected) < 1e-4, engine
        assert program.run(three)["label"].shape == (3, 5)
