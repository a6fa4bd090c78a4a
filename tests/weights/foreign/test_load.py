"""Checkpoints of public projects load, and no code in a pickle is executed."""

import contextlib
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from slowfast_cli.types import WeightsError
from slowfast_cli.weights.foreign.load import load_tensors

STATE = {"s1.weight": torch.arange(6.0).reshape(2, 3), "s1.bn.num_batches_tracked": torch.tensor(7)}
FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


class Trap:
    """Creates a folder when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def save(tmp_path):
    def save_as(content, *, zipped=True):
        path = tmp_path / "x.pyth"
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        return path

    return save_as


def check(state):
    assert list(state) == list(STATE)
    assert all(torch.equal(state[name], STATE[name]) for name in STATE)


@FORMATS
@pytest.mark.parametrize("key", [None, "model_state", "model_state_dict", "state_dict", "model"])
def test_public_layouts(save, zipped, key):
    state, cfg = load_tensors(save(STATE if key is None else {"epoch": 3, key: STATE}, zipped=zipped))
    check(state)
    assert cfg is None


@FORMATS
def test_asf_layout(save, zipped):
    optimizer = {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    state, cfg = load_tensors(
        save({"epoch": 3, "model_state": STATE, "optimizer_state": optimizer, "cfg": "DATA:\n  X: 1\n"}, zipped=zipped)
    )
    check(state)
    assert cfg == "DATA:\n  X: 1\n"


@FORMATS
def test_numpy_scalars_are_accepted(save, zipped):
    content = {
        "model_state": STATE,
        "epoch": np.int64(3),
        "best": np.float64(0.5),
        "loss": np.float32(1),
        "on": np.bool_(1),
    }
    check(load_tensors(save(content, zipped=zipped))[0])


@FORMATS
def test_numpy_arrays_beside_the_tensors_are_accepted(save, zipped):
    sampler = {"indexes_per_class": [np.arange(5), np.array([7])], "queue": [3, 1], "weights": np.ones(3, np.float32)}
    check(load_tensors(save({"iteration": 600000, "model": STATE, "sampler": sampler}, zipped=zipped))[0])


@FORMATS
def test_arrays_of_objects_are_refused(save, zipped, tmp_path):
    objects = np.array([Trap(tmp_path / "trap")], dtype=object)
    for content in (objects, np.array([None], dtype=object)):
        with pytest.raises(WeightsError, match=r"would run code when loaded|not a PyTorch checkpoint"):
            load_tensors(save({"model": STATE, "sampler": content}, zipped=zipped))
    assert not (tmp_path / "trap").exists()


@FORMATS
def test_no_code_is_executed(save, zipped, tmp_path):
    path = save({"model_state": STATE, "extra": Trap(tmp_path / "trap")}, zipped=zipped)
    with pytest.raises(WeightsError, match=r"would run code when loaded \(posix\.mkdir\)"):
        load_tensors(path)
    assert not (tmp_path / "trap").exists()


def test_a_plain_pickle_executes_no_code(tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(Trap(tmp_path / "trap")))
    with pytest.raises(WeightsError):
        load_tensors(path)
    assert not (tmp_path / "trap").exists()


def test_a_whole_model_is_refused(save):
    with pytest.raises(WeightsError, match=r"torch\.nn\.modules\.linear\.Linear") as caught:
        load_tensors(save(torch.nn.Linear(2, 2)))
    assert "weights_only" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "contains a list"),
        ({"epoch": 1}, "contains no tensors but epoch"),
        ({}, "no tensors but nothing"),
        ({"a": torch.ones(1), "b": 3}, "'b' and 0 others are not tensors"),
    ],
)
def test_other_contents_are_refused(save, content, words):
    with pytest.raises(WeightsError, match=words):
        load_tensors(save(content))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n <!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"hello world", "not a PyTorch checkpoint"),
        (b"PK\x03\x04" + b"0" * 99, "truncated"),
        (np.random.default_rng(0).bytes(5000), "not a PyTorch checkpoint"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "not a PyTorch checkpoint"),
    ],
)
def test_other_files_are_refused(tmp_path, content, words):
    path = tmp_path / "x.pyth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=words):
        load_tensors(path)


def test_other_zip_files_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.txt", "hello")
    with pytest.raises(WeightsError, match="not a PyTorch checkpoint"):
        load_tensors(tmp_path / "x.zip")


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="No such file"):
        load_tensors(tmp_path / "none.pyth")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_tensors(tmp_path)


@FORMATS
def test_every_truncation_is_refused(save, zipped):
    path = save({"model_state": STATE, "cfg": "x" * 200}, zipped=zipped)
    whole = path.read_bytes()
    for size in np.linspace(0, len(whole) - 4, 25).astype(int):
        path.write_bytes(whole[:size])
        with pytest.raises(WeightsError):
            load_tensors(path)


@FORMATS
def test_damaged_files_raise_weights_error_or_load(save, zipped):
    path = save({"model_state": STATE}, zipped=zipped)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] = rng.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(WeightsError):
            load_tensors(path)
