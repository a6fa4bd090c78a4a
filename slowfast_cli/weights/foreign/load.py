"""Foreign checkpoints, of PyTorch and of Caffe2, read without running a line of what is in them."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slowfast_cli.types import WeightsError
from slowfast_cli.weights.foreign import numpy_pickle, numpy_tree

# Where public checkpoints keep their tensors; the last is Caffe2's.
STATE_KEYS = ("model_state", "model_state_dict", "state_dict", "model", "blobs")

# Epoch counters and scores saved as NumPy scalars are in many checkpoints of before torch 2.6, and arrays of indices
# beside the tensors of PANNs; both harmless: an array of objects is none of these types, and is refused.
_SCALAR: Any = np.float64(0).__reduce__()[0]  # its module is called differently in numpy 1 and 2
_ARRAY: Any = np.zeros(0).__reduce__()[0]
_PLAIN: list[Any] = [
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((_ARRAY, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?")),
]


def load_tensors(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """The tensors of a checkpoint, and its settings if it carries any; what it is shows in the file, not in its name.

    Reads what `torch.save` wrote, pickles of arrays as Caffe2 left them, and trees of arrays that NumPy saved: a state
    dict as it is, or one under ``model_state`` (ASF, PySlowFast), ``model_state_dict``, ``state_dict``, ``model`` or
    ``blobs`` (Caffe2). Only tensors, arrays and plain values are unpickled; whatever else a pickle would call is
    refused, not called.

    Args:
        path: The file.

    Returns:
        Tensors on the CPU by name (mapped from the file where its format allows), and the text under ``cfg``, or None.

    Raises:
        WeightsError: No such file; empty; a web page; no checkpoint; truncated; would run code; holds no tensors.
    """
    start = _start(path)
    arrays = numpy_pickle.is_array_pickle(start)
    if numpy_tree.is_array_tree(path, start):
        content = _unpickled(path, lambda: numpy_tree.read(path))
    elif arrays:
        content = _unpickled(path, lambda: numpy_pickle.read(path))
    else:
        content = _unpickled(path, lambda: _loaded(path, zipped=_is_zip(path, start)))
    if not isinstance(content, Mapping):
        raise WeightsError(
            f"{path}: holds a {type(content).__name__}; right is a dict of tensors, as `state_dict()` gives"
        )
    key = next((key for key in STATE_KEYS if isinstance(content.get(key), Mapping)), None)
    # Caffe2's settings are of another kind, and need classes of another program to be read.
    cfg = content.get("cfg") if key != "blobs" else None
    tensors = _tensors(path, content[key] if key else content, strict=not arrays)
    return tensors, cfg if isinstance(cfg, str) else None


def _start(path: Path) -> bytes:
    """The first bytes of a file, unless they show that it is no checkpoint at all."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); give a checkpoint file") from error
    if not start:
        raise WeightsError(f"{path}: is empty (0 bytes); download it again")
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise WeightsError(
            f"{path}: is a web page, not a checkpoint; download it again with the direct link (Dropbox: dl=1)"
        )
    if start.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path}: is a Git LFS pointer, not the file; run `git lfs pull` where it comes from")
    return start


def _is_zip(path: Path, start: bytes) -> bool:
    """Whether it is in torch's zip format."""
    zipped = zipfile.is_zipfile(path)
    if start.startswith(b"PK\x03\x04") and not zipped:
        raise WeightsError(f"{path}: is truncated, its end is missing; download it again")
    return zipped


def _loaded(path: Path, *, zipped: bool) -> Any:
    with warnings.catch_warnings(), torch.serialization.safe_globals(_PLAIN):
        warnings.simplefilter("ignore")  # of newer pickle protocols: they load or they do not
        # Only the zip format can be mapped; the older one is read whole.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped or None)


def _unpickled(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:
        raise WeightsError(_why(path, str(error))) from error
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to ask for
        short = str(error).strip().split("\n", 1)[0][:120] or type(error).__name__
        raise WeightsError(
            f"{path}: is truncated or no PyTorch checkpoint ({short}); download it again, or give a file "
            "saved by torch.save"
        ) from error


def _why(path: Path, message: str) -> str:
    """The reason in one sentence; torch's own goes on about switching the safety off."""
    found = re.search(r"GLOBAL ([\w.<>]+)", message) or re.search(r"(?:function|class|type) <?([\w.' -]+)>?", message)
    if found and re.search(r"GLOBAL|unrecognized function|build for type|Trying to", message):
        return (
            f"{path}: would run code when loaded ({found[1].strip()}), so it was not; right is a checkpoint of tensors "
            "and plain values: save its state_dict with torch.save where you trust it, then use that file"
        )
    if "truncated" in message:
        return f"{path}: is truncated, its end is missing; download it again"
    return f"{path}: is no PyTorch checkpoint; give a file saved by torch.save"


def _tensors(path: Path, state: Mapping[Any, Any], *, strict: bool) -> dict[str, Tensor]:
    """Those of a state dict; among Caffe2's blobs there may be other things (``strict`` false)."""
    tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        keys = ", ".join(str(key) for key in list(state)[:5]) or "nothing"
        raise WeightsError(
            f"{path}: holds no tensors but {keys}; right is a state dict, or one under {', '.join(STATE_KEYS)}"
        )
    strange = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if strange and strict:
        raise WeightsError(
            f"{path}: {strange[0]!r} and {len(strange) - 1} others are not tensors; right is a plain state dict: save "
            "model.state_dict(), not the model"
        )
    return tensors
