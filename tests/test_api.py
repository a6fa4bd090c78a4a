"""The Python API: its frozen surface, and that each name returns values and prints nothing."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

import slowfast_cli
from slowfast_cli.types import DataError

SURFACE = Path(__file__).parent / "api_surface.txt"
DOG = tiny.DATA / "dog.ogg"


def surface():
    """Every public name with its signature, and the first line of its documentation."""
    lines = []
    for name in sorted(slowfast_cli.__all__):
        value = getattr(slowfast_cli, name)
        if callable(value):
            summary = (inspect.getdoc(value) or "").splitlines()[0]
            # Annotations print as strings or as types, with module names that depend on the Python version.
            signature = re.sub(
                r"\b(?:\w+\.)+(?=[A-Za-z_])|'(?=[A-Z(a-z])|(?<=[\w\])])'", "", str(inspect.signature(value))
            )
            lines.append(f"{name}{signature}\n    {summary}\n")
    return "".join(lines)


def test_the_surface_is_the_golden_one():
    assert surface() == SURFACE.read_text(encoding="utf-8"), "intended? then run: python tests/test_api.py"


@pytest.mark.parametrize("name", [name for name in slowfast_cli.__all__ if name != "__version__"])
def test_every_name_is_documented(name):
    value = getattr(slowfast_cli, name)
    text = inspect.getdoc(value)
    assert len(text.splitlines()) > 3 or name == "FrontEnd"


def test_importing_the_package_does_not_import_torch():
    code = "import sys, slowfast_cli; dir(slowfast_cli); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        slowfast_cli.nothing  # noqa: B018


def test_predict_returns_values(capsys):
    predictor = slowfast_cli.Predictor()
    (prediction,) = predictor(DOG)
    (best, *rest) = predictor.top(prediction, 3)["label"]
    assert (best.label, len(rest)) == ("dog", 2)
    assert prediction.scores["label"].sum() == pytest.approx(1, abs=1e-5)
    with pytest.raises(DataError, match="nothere"):
        predictor("nothere.wav")
    assert capsys.readouterr() == ("", "")


def test_reading_and_features():
    samples = slowfast_cli.read_audio(DOG, 16000, start=0.5, seconds=1.0)
    assert (samples.shape, samples.dtype) == ((16000,), np.float32)
    front_end = slowfast_cli.FrontEnd(mels=64)
    rows = slowfast_cli.log_mel(samples, front_end)
    assert rows.shape == (front_end.frames(16000), 64)
    np.testing.assert_array_equal(slowfast_cli.log_mel(samples, vars(front_end)), rows)
    both = slowfast_cli.log_mel(np.stack([samples, samples]), front_end)
    np.testing.assert_allclose(both[1], rows, atol=1e-6)
    pixels, times = slowfast_cli.read_frames(tiny.DATA / "clock.mp4", 4, seconds=1.0, short_side=32)
    assert (pixels.dtype, len(pixels), min(pixels.shape[1:3]), pixels.shape[3]) == (np.uint8, 4, 32, 3)
    assert list(times) == sorted(times)


def test_extract_train_and_evaluate(tmp_path, capsys):
    root = tiny.make_folder(tmp_path / "sounds")
    summary = slowfast_cli.extract("folder", *tiny.FRONT, root=root, jobs=1)
    assert (summary.recordings, summary.kept) == (24, 0)
    words = [f"data.root={root}", *tiny.WORDS]
    trained = slowfast_cli.train("folder", *words, run=tmp_path / "run", device="cpu")
    assert trained.weights.is_file()
    assert 0 <= trained.scores.values["top1"] <= 100
    evaluated = slowfast_cli.evaluate("folder", *words, weights=trained.run, device="cpu")
    assert evaluated.rows.scores["label"].shape == (6, 3)
    assert set(evaluated.scores.values) >= {"top1", "map"}
    assert slowfast_cli.load_recipe("folder", "optim.lr=0.5").optim.lr == 0.5
    assert capsys.readouterr().out == ""


if __name__ == "__main__":
    SURFACE.write_text(surface(), encoding="utf-8")
