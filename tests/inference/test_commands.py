"""`evaluate` and `embed` with an engine give what PyTorch gives."""

import numpy as np
import pytest
import tiny

pytestmark = pytest.mark.thorough


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOWFAST_CACHE", str(tmp_path / "cache"))


def test_evaluate_scores_the_same(trained, tmp_path):
    rows = {}
    for engine in ("torch", "onnx"):
        done = tiny.slowfast("evaluate", trained, "--engine", engine, "--no-plots", "--out", tmp_path / engine)
        assert done.code == 0, done.err
        assert ("converting for ONNX Runtime, once" in done.err) == (engine == "onnx")
        rows[engine] = np.load(tmp_path / engine / "predictions.npz")
    names = [name for name in rows["torch"].files if rows["torch"][name].dtype.kind == "f"]
    assert names
    for name in names:
        np.testing.assert_allclose(rows["onnx"][name], rows["torch"][name], atol=1e-5)


def test_embed_writes_the_same_features(tmp_path):
    features = {}
    for engine in ("torch", "openvino"):
        out = tmp_path / engine
        done = tiny.slowfast("embed", tiny.DATA / "dog.ogg", "--engine", engine, "--out", out)
        assert done.code == 0, done.err
        features[engine] = np.load(out / "dog.npz")["features"]
    np.testing.assert_allclose(features["openvino"], features["torch"], atol=1e-5)
