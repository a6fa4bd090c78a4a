"""Predictions of another run are compared or refused; the error names their file."""

import zipfile

import numpy as np
import pytest

from slowfast_cli.stages.evaluate import predictions
from slowfast_cli.types import Corpus, DataError

CORPUS = Corpus(name="own", split="test", segments=(), classes={"label": ("a", "b")})
GOOD = {
    "ids": np.array(["x", "y", "z"]),
    "classes_label": np.array(["a", "b"]),
    "scores_label": np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], np.float32),
    "targets_label": np.array([0, 1, 1]),
}


@pytest.fixture
def load(tmp_path):
    def load(**changed):
        path = tmp_path / "predictions.npz"
        np.savez_compressed(path, **{name: value for name, value in {**GOOD, **changed}.items() if value is not None})
        return predictions.load_tables(path, CORPUS)

    return load


def test_predictions_are_read(load):
    assert [row.accuracy for row in load()["label"]] == [100, 50]
    assert [row.count for row in load(targets_label=np.array([[1, 0], [1, 1], [0, 1]]))["label"]] == [2, 2]


@pytest.mark.parametrize(
    "changed",
    [
        {"scores_label": None},
        {"scores_label": GOOD["scores_label"][:2]},
        {"scores_label": GOOD["scores_label"][:, :1]},
        {"scores_label": GOOD["scores_label"][..., None]},
        {"scores_label": np.float32(3)},
        {"scores_label": np.full((3, 2), "x")},
        {"scores_label": np.array([[0.9, np.nan], [0.2, 0.8], [0.6, 0.4]])},
        {"scores_label": np.full((3, 2), None)},
        {"targets_label": None},
        {"targets_label": np.array([0, 1])},
        {"targets_label": np.array(0)},
        {"targets_label": np.array([0.0, 1.0, 1.0])},
        {"targets_label": np.array([0, 1, 2])},
        {"targets_label": np.array([0, 1, -1])},
        {"targets_label": np.zeros((3, 3), int)},
        {"ids": np.array([1, 2, 3])},
        {"ids": np.array("x")},
        {"ids": None},
        {"classes_label": np.array([b"a", b"b"])},
        {"classes_label": np.array(["a", "c"])},
        {"places": np.zeros((3, 3))},
    ],
)
def test_wrong_arrays_are_refused(load, tmp_path, changed):
    with pytest.raises(DataError) as caught:
        load(**changed)
    assert str(caught.value).startswith(f"{tmp_path / 'predictions.npz'}: ")


@pytest.mark.parametrize(
    "header", [b"{'descr': ('<f8', ", b"{'shape': [", b"[" * 500, b"\xff", b"3", b"{'descr': 'O'}"]
)
def test_damaged_headers_of_arrays_are_refused(tmp_path, header):
    path = tmp_path / "predictions.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ids.npy", b"no array")
    with pytest.raises(DataError, match=r"predictions\.npz: not a predictions file"):
        predictions.load_tables(path, CORPUS)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ids.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(DataError, match=r"predictions\.npz: not a predictions file"):
        predictions.load_tables(path, CORPUS)


def test_a_header_of_a_huge_array_is_refused(tmp_path):
    path = tmp_path / "predictions.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("ids.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (1 << 50,)})
    with pytest.raises(DataError, match="not a predictions file"):
        predictions.load_tables(path, CORPUS)
