"""A network answers by PyTorch, by a cached program from the first clip, or by one converted meanwhile."""

import json
import logging
from dataclasses import replace

import pytest
import torch
from inference_networks import CPU

from slowfast_cli.inference import cache, choose, network
from slowfast_cli.inference.choose import ENGINES
from slowfast_cli.inference.network import EngineChoice, Network, Source
from slowfast_cli.inference.program import parse_metadata
from slowfast_cli.models.baselines.zoo import BASELINES
from slowfast_cli.models.folding import prepare_for_inference
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.spec import Net, Pathway
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.types import UsageError, WeightsError

TINY = Net(pathways={"audio": Pathway(width=4, depth=(1, 1, 1, 1))})
SIGNALS = {"logmel": torch.linspace(-1, 1, 3 * 32 * 16).reshape(3, 1, 32, 16)}
ENGINE = "onnx"


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "weights"
    path.write_bytes(b"weights")
    return path


def make(weights, engine=ENGINE, precision="fp32", **changes):
    torch.manual_seed(0)
    model = prepare_for_inference(Recognizer(TINY, {"label": 5}).eval(), CPU)
    source = replace(Source(weights=weights, net=TINY), **changes)
    return Network(model, source, EngineChoice(engine=engine, precision=precision))


def remarks(caplog):
    return [record.getMessage() for record in caplog.records]


def expected(weights):
    return make(weights, "torch")(SIGNALS)["label"]


@pytest.mark.thorough
@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_a_named_engine_converts_once_and_answers_as_pytorch(weights, engine, caplog, monkeypatch):
    caplog.set_level(logging.INFO, "slowfast_cli.inference")
    first = make(weights, engine)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):  # no mode of the caller changes the program
        found = first(SIGNALS)["label"]
    with torch.inference_mode():
        torch.testing.assert_close(found, expected(weights), atol=1e-5, rtol=1e-4)
    assert remarks(caplog) == [f"converting for {ENGINES[engine].title}, once for these weights"]
    first({"logmel": torch.zeros(1, 1, 40, 16)})  # sizes that the program does not take
    assert remarks(caplog)[1:] == [
        f"PyTorch answers clips of other sizes than the first: {ENGINES[engine].title} was given that one's"
    ]
    monkeypatch.setattr(network, "write_checked", None)  # a second conversion would call it
    for threads in (1, 2):
        torch.set_num_threads(threads)
        assert torch.equal(make(weights, engine)(SIGNALS)["label"], found) or threads == 2
    torch.set_num_threads(1)


@pytest.mark.thorough
def test_auto_answers_by_pytorch_until_a_conversion_pays(weights, caplog, monkeypatch):
    caplog.set_level(logging.INFO, "slowfast_cli.inference")
    monkeypatch.setattr(choose, "ENGINES", {name: ENGINES[name] for name in (ENGINE, "torch")})
    few = make(weights, "auto")
    few.expect(1000)
    few(SIGNALS)
    assert few._conversion is None
    assert remarks(caplog) == []
    monkeypatch.setattr(network, "WORTH", 0.0)
    many = make(weights, "auto")
    many.expect(1000)
    with torch.inference_mode():
        torch.testing.assert_close(many(SIGNALS)["label"], expected(weights), atol=1e-6, rtol=1e-5)
        assert many._program is None
        many._conversion.exception()  # waits for it
        many(SIGNALS)
        assert many._program is not None
    assert remarks(caplog) == ["converting for ONNX Runtime, once for these weights; PyTorch answers until then"]
    cached = make(weights, "auto")
    cached({"logmel": SIGNALS["logmel"][:1]})
    assert cached._program is not None
    longer = {"logmel": torch.zeros(1, 1, 40, 16)}  # other shapes than the program's
    torch.testing.assert_close(cached(longer)["label"], cached._answers(longer)["label"], atol=1e-6, rtol=1e-5)


@pytest.mark.thorough
def test_a_damaged_program_is_converted_again(weights, caplog):
    caplog.set_level(logging.INFO, "slowfast_cli.inference")
    found = make(weights)(SIGNALS)["label"]
    (file,) = cache.default_cache().glob("programs/*/program.onnx")
    file.write_bytes(file.read_bytes()[:-100])
    assert torch.equal(make(weights)(SIGNALS)["label"], found)
    (hashes,) = cache.default_cache().glob("programs/*/files.json")
    hashes.write_text("[")
    assert torch.equal(make(weights)(SIGNALS)["label"], found)
    assert len(remarks(caplog)) == 3
    weights.write_bytes(b"other weights")
    make(weights)(SIGNALS)
    assert len(list(cache.default_cache().glob("programs/*/program.onnx"))) == 2


def test_a_network_that_cannot_be_converted_stays_with_pytorch(weights, caplog, monkeypatch):
    caplog.set_level(logging.INFO, "slowfast_cli.inference")
    monkeypatch.setattr(network, "WORTH", 0.0)
    net = VARIANTS["slow-r50-ava"]
    with pytest.raises(UsageError, match=r"--engine onnx: cannot take .*weights: it classifies boxes.*--engine torch"):
        make(weights, net=net)
    with pytest.raises(UsageError, match="it is a Python module, which may change while its weights do not"):
        make(weights, net=replace(BASELINES["cnn14"], kind="mine:Net"))
    auto = make(weights, "auto", net=net)
    auto.expect(10)
    auto(SIGNALS)
    auto(SIGNALS)
    (remark,) = remarks(caplog)
    assert remark.startswith("PyTorch answers, not ")
    assert "it classifies boxes" in remark
    features = make(weights, net=net, gives="features")  # those of a detector's trunk need no boxes
    assert features.engine is ENGINES["onnx"]


@pytest.mark.thorough
def test_answers_that_differ_are_refused(weights, monkeypatch):
    monkeypatch.setattr("slowfast_cli.inference.convert.TOLERANCE", -1.0)
    with pytest.raises(UsageError, match=r"its answers differ from PyTorch's by .*, expected at most"):
        make(weights)(SIGNALS)
    assert not list(cache.default_cache().glob("programs/*/program.onnx"))


def test_engines_are_chosen_by_what_is_installed(monkeypatch):
    def find_spec(missing):
        return lambda name: None if name in missing else object()

    monkeypatch.setattr(choose, "find_spec", find_spec(()))
    assert choose.choose("auto", reads_frames=True).name == "openvino"
    assert choose.choose("auto").name == "onnx"
    assert choose.choose("auto", on_cpu=False).name == "torch"
    assert choose.choose("auto", precision="bf16").name == "openvino"
    monkeypatch.setattr(choose, "find_spec", find_spec({"openvino"}))
    assert choose.choose("auto").name == "onnx"
    assert choose.choose("auto", precision="bf16").name == "torch"
    with pytest.raises(UsageError, match=r"--engine openvino: OpenVINO is not installed: pip install 'slowfast-cli\[o"):
        choose.choose("openvino")
    with pytest.raises(UsageError, match="--engine tflite: expected auto, openvino, onnx, torch"):
        choose.choose("tflite")
    with pytest.raises(UsageError, match="--engine onnx --precision bf16: ONNX Runtime has no bf16: use openvino or t"):
        choose.choose("onnx", precision="bf16")
    with pytest.raises(UsageError, match="--engine onnx: runs on a CPU here"):
        choose.choose("onnx", on_cpu=False)


def test_bf16_without_hardware_is_said():
    slow = replace(ENGINES["openvino"], bf16_in_hardware=lambda: False)
    assert choose.slow_bf16(slow, "bf16").startswith("this processor has no bfloat16 arithmetic")
    assert choose.slow_bf16(slow, "fp32") == ""


def test_files_of_others_are_refused(tmp_path):
    for engine in ENGINES.values():
        path = tmp_path / f"text{engine.suffix}"
        path.write_text("no program")
        with pytest.raises(WeightsError, match="export it again"):
            engine.read(path, "fp32")
    with pytest.raises(WeightsError, match="not written by `slowfast export`"):
        parse_metadata(tmp_path / "x.onnx", None)
    with pytest.raises(WeightsError, match="format 9, expected 1"):
        parse_metadata(tmp_path / "x.onnx", json.dumps({"format": 9}))
