"""Parameter trees of JAX libraries, saved by NumPy: ``.npz`` of arrays, or ``.npy`` of a dict of dicts of arrays.

Nothing in them is run: an ``.npz`` is read without pickles, and the pickle inside an ``.npy`` as
`slowfast_cli.weights.foreign.numpy_pickle` reads them.
"""

from __future__ import annotations

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
    """Whether a file that starts so is one of NumPy's."""
    if start.startswith(NPY):
        return True
    if not start.startswith(b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return all(name.endswith(".npy") for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):  # left to those who read torch's own
        return False


def read(path: Path) -> dict[str, Any]:
    """The arrays as tensors, by their path in the tree: ``module/~/conv/w``.

    Raises:
        pickle.UnpicklingError: It would call something that makes no array; the message names what.
        Exception: Whatever damaged bytes happen to ask for.
    """
    if zipfile.is_zipfile(path):
        with np.load(path, allow_pickle=False) as arrays:
            return _flat({name: torch.from_numpy(np.array(arrays[name])) for name in arrays.files})
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = header(file)
        if kind != np.dtype(object) or shape:
            raise pickle.UnpicklingError(f"an array of {kind} of shape {shape} where a dict of arrays belongs")
        held = numpy_pickle.read_one(file)
    return _flat(held)


def _flat(tree: Mapping[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found |= {f"{name}/{inner}": each for inner, each in _flat(value).items()}
        else:
            found[str(name)] = value.float() if isinstance(value, Tensor) and value.is_floating_point() else value
    return found
