"""Exported files answer as the weights do, carry their metadata, and are kept only then."""

import json
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import tiny

from slowfast_cli.inference import convert
from slowfast_cli.inference.choose import ENGINES
from slowfast_cli.inference.onnx_engine import OPSET
from slowfast_cli.light import LightPredictor, main
from slowfast_cli.stages.export.run import export
from slowfast_cli.stages.predict.predictor import Predictor
from slowfast_cli.types import UsageError, WeightsError
from slowfast_cli.weights.file import DEFAULT, read_card

pytestmark = pytest.mark.thorough
CLIPS = [tiny.DATA / name for name in ("dog.ogg", "rain.wav", "rooster.flac")]  # 5, 5 and 3 s


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """The bundled model with its front end, for ONNX Runtime, and the report."""
    path = tmp_path_factory.mktemp("exported") / "sounds.onnx"
    return path, export(DEFAULT, path, ENGINES["onnx"], front_end=True, paths=CLIPS)


def scores(weights, path):
    (prediction,) = Predictor(weights, "cpu", engine="auto" if weights != DEFAULT else "torch")(path)
    return prediction.scores["label"]


def test_a_file_with_the_front_end_answers_as_the_weights(sounds):
    path, report = sounds
    assert report.difference < 1e-5
    assert (report.clips, report.agreement, report.before) == (3, 1.0, None)
    for clip in CLIPS:
        np.testing.assert_allclose(scores(path, clip), scores(DEFAULT, clip), atol=1e-5)
    (windows, *_) = Predictor(path).files([CLIPS[0]], None), 0
    assert len(list(windows)) == 1


def test_it_cannot_be_explained(sounds, tmp_path):
    done = tiny.slowfast("predict", CLIPS[0], "-w", sounds[0], "--explain", tmp_path / "why.png")
    assert (done.code, done.out) == (2, "")
    assert "--explain: an exported file has no gradients" in done.err


def test_the_metadata_says_what_the_file_is(sounds):
    path, _ = sounds
    session = onnxruntime.InferenceSession(str(path))
    metadata = json.loads(session.get_modelmeta().custom_metadata_map["slowfast"])
    card = read_card(DEFAULT)
    assert metadata["card"]["classes"] == {"label": list(card.classes["label"])}
    assert metadata["card"]["front_end"] == dict(card.front_end)
    assert (metadata["card"]["views"], metadata["gives"], metadata["front_end"]) == (1, "probabilities", True)
    assert len(metadata["weights"]) == 64
    assert f"onnxruntime {onnxruntime.__version__}" in metadata["written_by"]
    assert session.get_inputs()[0].shape[0] == "batch" or isinstance(session.get_inputs()[0].shape[0], str)
    assert OPSET == 18
    assert str(tiny.DATA.parents[1]).encode() not in path.read_bytes()  # no paths of this machine


def test_light_predictions_import_no_torch(sounds, capsys):
    path, _ = sounds
    (prediction,) = LightPredictor(path).files([CLIPS[2]])
    np.testing.assert_allclose(prediction.scores["label"], scores(DEFAULT, CLIPS[2]), atol=1e-5)
    assert main([str(path), str(CLIPS[0]), "missing.wav", "--json", "-k", "1"]) == 3
    done = capsys.readouterr()
    assert json.loads(done.out)["top"][0]["label"] == "dog"
    assert done.err.startswith("error: missing.wav")
    assert main(["predict", str(CLIPS[0])]) == 2
    assert "pip install slowfast-cli" in capsys.readouterr().err
    code = "import sys; sys.modules['torch'] = None; from slowfast_cli.light import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", code, path, CLIPS[1], "--timeline", "2.5/2.5"]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split("  ")[1] for line in lines] == ["0.00-2.50 s", "2.50-5.00 s"]


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_other_engines_write_logits_of_log_mels(engine, tmp_path):
    out = tmp_path / f"default{ENGINES[engine].suffix}"
    report = export(DEFAULT, out, ENGINES[engine])
    assert report.on_noise
    assert report.difference < 1e-5
    assert out in report.files
    np.testing.assert_allclose(scores(out, CLIPS[0]), scores(DEFAULT, CLIPS[0]), atol=1e-5)


def test_half_precision_and_integers_print_how_they_differ(tmp_path, monkeypatch):
    folders = [tmp_path / clip.stem / clip.name for clip in CLIPS]
    for folder, clip in zip(folders, CLIPS, strict=True):
        folder.parent.mkdir()
        folder.write_bytes(clip.read_bytes())
    halves = export(DEFAULT, tmp_path / "half.onnx", ENGINES["onnx"], precision="fp16", front_end=True, paths=folders)
    assert 1e-6 < halves.difference < 5e-3
    integers = export(DEFAULT, tmp_path / "int8.xml", ENGINES["openvino"], precision="int8", paths=folders)
    assert (integers.before, integers.after, integers.agreement) == (1.0, 1.0, 1.0)
    assert sum(file.stat().st_size for file in integers.files) < DEFAULT.stat().st_size


def test_answers_that_differ_leave_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("slowfast_cli.stages.export.run.TOLERANCE", -1.0)
    with pytest.raises(convert.ConversionError, match="not kept: its answers differ from PyTorch's by"):
        export(DEFAULT, tmp_path / "a.pt2", ENGINES["torch"])
    assert list(tmp_path.iterdir()) == []


def test_options_that_do_not_go_together_are_refused(tmp_path, sounds):
    path, _ = sounds
    for words, problem in (
        (("--to", "onnx", "--out", "a.xml"), "expected a name that ends in .onnx"),
        (("--to", "tflite"), "--to tflite: expected openvino, onnx, torch"),
        (("--to", "torch", "--precision", "int8", "--out", "a.pt2"), "PyTorch has no int8 here: use onnx or openvino"),
        (("--to", "onnx", "--precision", "int8", "--out", "a.onnx"), "--precision int8: needs --clips"),
        (("--to", "onnx", "--precision", "int4", "--out", "a.onnx"), "expected fp32, fp16, int8"),
        (("--to", "onnx", "--out", path), "already exists"),
    ):
        done = tiny.slowfast("export", "default", *words)
        assert done.code == 2
        assert problem in done.err
    with pytest.raises(UsageError, match="is for ONNX Runtime: leave the option out"):
        Predictor(path, engine="openvino")
    with pytest.raises(UsageError, match="in its own precision"):
        Predictor(path, precision="bf16")
    with pytest.raises(WeightsError, match="has no front end: export it with --with-front-end"):
        LightPredictor(_without_front_end(tmp_path))


def _without_front_end(folder):
    export(DEFAULT, folder / "logits.onnx", ENGINES["onnx"])
    return folder / "logits.onnx"


def test_a_file_that_would_lie_beside_is_not_overwritten(tmp_path):
    (tmp_path / "mine.bin").write_text("precious")
    with pytest.raises(UsageError, match=r"mine.bin: already exists"):
        export(DEFAULT, tmp_path / "mine.xml", ENGINES["openvino"])
    assert (tmp_path / "mine.bin").read_text() == "precious"
