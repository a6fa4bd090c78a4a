"""``slowfast search``: the nearest rows of a folder of features."""

import json
import shutil

import numpy as np
import pytest
import tiny

from slowfast_cli.stages.search import read_index
from slowfast_cli.types import DataError

RATE = 16000


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    root = tmp_path_factory.mktemp("sounds")
    for name in ("rain.wav", "rooster.flac", "helicopter.mkv", "clock.mp4"):
        tiny.write(root / f"{name.partition('.')[0]}.wav", tiny.sound(name, 2.5))
    return root


@pytest.fixture(scope="module", params=["files", "table", "windows"])
def index(request, sounds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("index") / request.param
    words = {"files": [], "table": ["--table", "--format", "hdf5"], "windows": ["--window", "1.0", "--hop", "0.5"]}
    tiny.good("embed", sounds, "--out", folder, *words[request.param])
    return folder


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_recording_is_its_own_nearest_neighbor(sounds, index, metric):
    for name in ("rain", "rooster", "helicopter", "clock"):
        done = tiny.good("search", sounds / f"{name}.wav", index, "-k", "3", "--metric", metric, "--json")
        first, *others = done.lines
        assert first["source"] == str(sounds / f"{name}.wav")
        assert len(others) == 2
        assert first["score"] >= others[0]["score"] >= others[1]["score"]
        if index.name != "windows":
            assert first["score"] == pytest.approx(1 if metric == "cosine" else 0, abs=1e-2)


def test_text_names_the_recording_and_the_window(sounds, index):
    done = tiny.good("search", sounds / "rain.wav", index, "-k", "100")
    assert len(done.out.splitlines()) == (16 if index.name == "windows" else 4)
    assert f"  {sounds / 'rain.wav'}  0.00-" in done.out


def test_the_same_sound_in_noise_is_found(sounds, index, tmp_path):
    noise = np.random.default_rng(0).normal(0, 1e-3, round(2.5 * RATE))
    query = tiny.write(tmp_path / "q.wav", tiny.sound("rooster.flac", 2.5) + noise)
    assert tiny.good("search", query, index, "--json").lines[0]["source"].endswith("rooster.wav")


def test_both_backends_find_the_same(sounds, index):
    pytest.importorskip("faiss", reason="the extra `search` is not installed")
    read = read_index(index)
    for metric in ("cosine", "euclidean"):
        ours, theirs = (read.nearest(read.features, 3, metric=metric, backend=name) for name in ("sklearn", "faiss"))
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose([m.score for m in mine], [m.score for m in other], atol=1e-2)
            assert mine[0].source == other[0].source


def test_mistakes_are_one_line(sounds, index, tmp_path, monkeypatch):
    query = sounds / "rain.wav"
    cases = [
        ([query, tmp_path], 3, "no finished features here"),
        ([tmp_path / "absent.wav", index], 3, "absent.wav"),
        ([query, index, "--metric", "l1"], 2, "cosine or euclidean"),
        ([query, index, "--backend", "annoy"], 2, "sklearn or faiss"),
        ([query, index, "-k", "0"], 2, "-k"),
    ]
    for words, code, message in cases:
        done = tiny.slowfast("search", *words)
        assert (done.code, message in done.err) == (code, True), done.err
        assert done.out == ""
    monkeypatch.setattr("slowfast_cli.stages.search.importlib.util.find_spec", lambda name: None)
    done = tiny.slowfast("search", query, index, "--backend", "faiss")
    assert (done.code, "slowfast-cli[search]" in done.err) == (2, True)


def test_other_weights_and_damaged_features_are_refused(sounds, index, tmp_path):
    folder = shutil.copytree(index, tmp_path / "index")
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps({**settings, "weights_sha256": "0"}))
    done = tiny.slowfast("search", sounds / "rain.wav", folder)
    assert (done.code, "are not the weights" in done.err) == (4, True)
    (folder / "settings.json").write_text(json.dumps(settings))
    lines = (folder / "index.csv").read_text().splitlines()
    (folder / "index.csv").write_text("\n".join([*lines, lines[-1]]))
    with pytest.raises(DataError, match="lists"):
        read_index(folder)
    (folder / "index.csv").write_text(lines[0])
    with pytest.raises(DataError, match="has no rows"):
        read_index(folder)
    (folder / "index.csv").write_text("\n".join(lines))
    for path in [*folder.glob("*.npz"), *folder.glob("*.h5")][:1]:
        path.write_bytes(b"cut")
    with pytest.raises(DataError, match="no features of the format"):
        read_index(folder)
