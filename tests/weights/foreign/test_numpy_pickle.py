"""Pickled arrays, as Caffe2 saves them, are read without executing any code in them."""

import contextlib
import os
import pickle
import pickletools
from collections import OrderedDict

import numpy as np
import pytest
import torch

from slowfast_cli.types import WeightsError
from slowfast_cli.weights.foreign import numpy_pickle
from slowfast_cli.weights.foreign.load import load_tensors

PROTOCOLS = pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
ARRAYS = {
    "conv1_w": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "columns": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "other_end": np.arange(3, dtype=">f4"),
    "half": np.ones(2, np.float16),
    "counts": np.arange(4, dtype=np.int64),
    "bytes": np.arange(4, dtype=np.uint8),
    "words": np.arange(4, dtype=np.uint16),
    "flags": np.array([True, False]),
    "none": np.zeros((0, 3), np.float32),
    "lr": np.array(0.1, np.float32),
    "model_iter": np.int64(7),
}


class Call:
    """Calls something when it is unpickled."""

    def __init__(self, what, *given):
        self.call = what, given

    def __reduce__(self):
        return self.call


@pytest.fixture
def put(tmp_path):
    def write(content):
        path = tmp_path / "x.pkl"
        path.write_bytes(content)
        return path

    return write


def check(tensors, arrays=ARRAYS):
    assert set(tensors) == set(arrays)
    for name, value in arrays.items():
        assert np.array_equal(tensors[name].numpy(), value), name
        assert tensors[name].is_contiguous()


@PROTOCOLS
def test_arrays_of_any_kind_and_protocol(put, protocol):
    tensors, settings = load_tensors(put(pickle.dumps({"blobs": ARRAYS, "cfg": "!!python/object:x.Y {}"}, protocol)))
    check(tensors)
    assert settings is None  # Caffe2's settings are ignored
    check(load_tensors(put(pickle.dumps(ARRAYS, protocol)))[0])
    check(load_tensors(put(pickle.dumps(OrderedDict(ARRAYS), protocol)))[0])
    tensors, settings = load_tensors(put(pickle.dumps({"model_state": ARRAYS, "cfg": "A: 1"}, protocol)))
    check(tensors)
    assert settings == "A: 1"


def test_pickles_of_python_2_are_read(put, python2):
    blobs = {name: np.asarray(value) for name, value in ARRAYS.items() if name not in ("columns", "turned")}
    large = {**blobs, "large": np.random.default_rng(0).standard_normal((300, 7)).astype(np.float32)}
    content = python2(large, "MODEL: {}")
    pickletools.dis(content, out=open(os.devnull, "w"))  # noqa: PTH123, SIM115  (it is a pickle)
    unpickled = pickle.loads(content, encoding="latin1")["blobs"]  # what NumPy reads
    assert all(np.array_equal(unpickled[name], value) for name, value in large.items())
    check(load_tensors(put(content))[0], large)


def test_the_content_determines_the_format_not_the_name(tmp_path, python2):
    state = {"a.weight": torch.ones(2)}
    for number, (content, zipped) in enumerate(((state, True), (state, False))):
        path = tmp_path / f"{number}.pkl"
        torch.save({"model_state": content, "cfg": "A: 1"}, path, _use_new_zipfile_serialization=zipped)
        tensors, settings = load_tensors(path)
        assert torch.equal(tensors["a.weight"], torch.ones(2))
        assert settings == "A: 1"
    path = tmp_path / "x.pyth"
    path.write_bytes(python2({"conv1_w": np.ones(2, np.float32)}))
    assert torch.equal(load_tensors(path)[0]["conv1_w"], torch.ones(2))


def test_other_values_among_the_blobs_are_skipped(put):
    blobs = {"a": np.ones(2), "text": "x", "number": 3, "objects": np.array([1, "a"], object), "words": np.array(["x"])}
    assert list(load_tensors(put(pickle.dumps({"blobs": blobs}, 2)))[0]) == ["a"]
    with pytest.raises(WeightsError, match="contains no tensors but text, objects; expected a state dict"):
        load_tensors(put(pickle.dumps({"blobs": {"text": "x", "objects": np.array([{}], object)}}, 2)))
    with pytest.raises(WeightsError, match="contains a str, expected a dict of tensors"):
        load_tensors(put(pickle.dumps("x" * 300, 2)))


@PROTOCOLS
@pytest.mark.parametrize("where", ["alone", "blob", "beside", "key", "array", "late"])
def test_no_code_is_executed(put, tmp_path, protocol, where):
    ran = tmp_path / "ran"
    evil = Call(os.system, f"mkdir {ran}")
    content = {
        "alone": evil,
        "blob": {"blobs": {"conv1_w": evil}},
        "beside": {"blobs": ARRAYS, "cfg": evil},
        "key": {"blobs": {Call(os.mkdir, str(ran)): np.ones(2)}},
        "array": {"blobs": {"conv1_w": np.array([evil, 1], object)}},
        "late": {"blobs": {**ARRAYS, "z": [[{"deep": (evil,)}]]}},
    }[where]
    with pytest.raises(
        WeightsError,
        match=r"x\.pkl: would run code when loaded \((posix|nt)\.\w+\), so it was not loaded; expected only tensors",
    ):
        load_tensors(put(pickle.dumps(content, protocol)))
    assert not ran.exists()


@pytest.mark.parametrize(
    "what",
    [
        b"cos\nsystem\n(S'mkdir RAN'\ntR.",  # protocol 0
        b"(S'mkdir RAN'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'mkdir RAN'\no.",  # OBJ
        b"cos\nsystem\n(S'mkdir RAN'\nt\x81.",  # NEWOBJ
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x09mkdir RAN\x85R.",  # STACK_GLOBAL
        b'c__builtin__\neval\n(S\'__import__("os").mkdir("RAN")\'\ntR.',
        b"c__builtin__\ngetattr\n(c__builtin__\n__import__\n(S'os'\ntRS'mkdir'\ntR(S'RAN'\ntR.",
        b"cnumpy.core.multiarray\nsave\n(S'RAN'\ntR.",
        b"cnumpy\nload\n(S'RAN'\ntR.",
        b"ctorch\nload\n(S'RAN'\ntR.",
        b"ccollections\nnamedtuple\n(S'RAN'\ntR.",
        b"c_codecs\ndecode\n(S'RAN'\ntR.",
        b"Pos.system\n.",  # PERSID
    ],
)
def test_handwritten_opcodes_execute_no_code(put, tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    for head in (b"\x80\x02}U\x05blobs", b"(dS'blobs'\n"):
        body = what[2:-1] if what.startswith(b"\x80") else what[:-1]
        for content in (what, head + body + b"s."):
            with pytest.raises(WeightsError):
                load_tensors(put(content))
            assert not (tmp_path / "RAN").exists()


@pytest.mark.parametrize(
    "state",
    [
        b"}U\x0c__setstate__K\x00sb",  # a dict for an instance's attributes
        b"N}U\x07__new__K\x00s\x86b",  # and one for its slots, which a class would take
        b"N}U\x0c__setstate__K\x00s\x86b",
    ],
)
def test_a_pickle_cannot_modify_the_reader(put, state):
    before = {kind: dict(vars(kind)) for kind in set(numpy_pickle._REPLACEMENTS.values())}
    for module, name in numpy_pickle._REPLACEMENTS:
        content = b"\x80\x02c" + f"{module}\n{name}\n".encode() + state + b"."
        with pytest.raises(WeightsError):
            load_tensors(put(content))
    assert before == {kind: dict(vars(kind)) for kind in before}
    check(load_tensors(put(pickle.dumps(ARRAYS, 2)))[0])


def test_shapes_that_do_not_match_the_bytes_are_refused(put, python2):
    """An array is refused before memory for a wrong shape is allocated."""
    good = python2({"conv1_w": np.ones((2, 3), np.float32)})
    shape = b"(K\x02K\x03t"
    for other in (b"(K\x02K\x04t", b"(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ft", b"(K\x00t"):
        assert shape in good
        with pytest.raises(WeightsError, match=r"is truncated or not a PyTorch checkpoint \(an array of shape"):
            load_tensors(put(good.replace(shape, other)))
    for other in (b"(J\xff\xff\xff\xffK\x03t", b"(K\x02U\x01xt", b"N"):
        with pytest.raises(WeightsError, match="contains no tensors"):
            load_tensors(put(good.replace(shape, other)))


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_every_truncation_is_refused(put, protocol):
    whole = pickle.dumps({"blobs": ARRAYS}, protocol)
    for size in range(1, len(whole) - 1, 7):
        with pytest.raises(WeightsError, match=r"truncated|not a PyTorch checkpoint|contains no tensors|contains a "):
            load_tensors(put(whole[:size]))


def test_damaged_files_raise_weights_error_or_load(put, python2):
    whole, rng = (
        python2({name: np.asarray(value) for name, value in ARRAYS.items() if name != "turned"}),
        np.random.default_rng(0),
    )
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] = rng.integers(256)
        with contextlib.suppress(WeightsError):
            tensors, _ = load_tensors(put(bytes(damaged)))
            assert all(isinstance(value, torch.Tensor) for value in tensors.values())
