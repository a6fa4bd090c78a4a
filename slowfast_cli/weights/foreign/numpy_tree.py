"""Read parameter trees of JAX libraries saved by NumPy: ``.npz`` of arrays, or ``.npy`` of nested dicts of arrays.

No code in them is executed: an ``.npz`` is read without pickle, and the pickle inside an ``.npy`` is read by
`slowfast_cli.weights.foreign.numpy_pickle`.
"""

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slowfast_cli.weights.foreign import numpy_pickle

NPY = b"\x93NUMPY"


def is_array_tree(path: Path, start: bytes) -> bool:
    """Whether a file with these first bytes is an ``.npy``, or an ``.npz``."""
    if start.startswith(NPY):
        return True
    if not start.startswith(b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return all(name.endswith(".npy") for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):  # may be a torch checkpoint
        return False


def read(path: Path) -> dict[str, Any]:
    """Read the arrays as tensors, by their path in the tree: ``module/~/conv/w``.

    Raises:
        pickle.UnpicklingError: See `slowfast_cli.weights.foreign.numpy_pickle.read`.
        Exception: Of any type, for a damaged file.
    """
    if zipfile.is_zipfile(path):
        with np.load(path, allow_pickle=False) as arrays:
            return _flatten({name: torch.from_numpy(np.array(arrays[name])) for name in arrays.files})
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = header(file)
        if kind != np.dtype(object) or shape:
            raise pickle.UnpicklingError(f"an array of {kind} of shape {shape}, expected a dict of arrays")
        return _flatten(numpy_pickle.read_one(file))


def _flatten(tree: Mapping[Any, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}/{key}": leaf for key, leaf in _flatten(value).items()}
        else:
            flat[str(name)] = value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
    return flat
