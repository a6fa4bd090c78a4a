"""Load foreign checkpoints of PyTorch, Caffe2 and NumPy without executing any code in them."""

import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from slowfast_cli.storage.bounded_zip import require_bounded
from slowfast_cli.types import WeightsError, text_of
from slowfast_cli.weights.foreign import numpy_pickle, numpy_tree

# Keys of the state dict in public checkpoints; the last is Caffe2's.
STATE_KEYS = ("model_state", "model_state_dict", "state_dict", "model", "blobs")

# Keys of averaged weights beside the state dict, and of the state dict within them.
EMA_KEYS = ("ema_state", "ema_state_dict", "model_ema", "ema")
EMA_INSIDE = ("module", "shadow", *STATE_KEYS[:-1])
# Prefixes of DistributedDataParallel, which is outermost, and of torch.compile, which may be anywhere.
PREFIXES = re.compile(r"^(?:module\.|_orig_mod\.)+|(?<=\.)_orig_mod\.")

# NumPy types that may be unpickled: many checkpoints contain scalars (epoch, scores), those of PANNs index arrays.
# Arrays of objects are not among them and are refused.
_SCALAR: Any = np.float64(0).__reduce__()[0]  # its module has different names in NumPy 1 and 2
_ARRAY: Any = np.zeros(0).__reduce__()[0]
_ALLOWED: list[Any] = [
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((_ARRAY, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?")),
]


@dataclass(frozen=True, kw_only=True)
class ForeignState:
    """What a checkpoint contains."""

    tensors: dict[str, Tensor]  # by name, without prefixes of DistributedDataParallel and torch.compile
    cfg: str | None  # settings as YAML text
    notes: tuple[str, ...] = ()  # which of its weights were taken


def load_tensors(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """Return the tensors and the settings of a checkpoint, see `load_state`."""
    state = load_state(path)
    return state.tensors, state.cfg


def load_state(path: Path, *, ema: bool = False) -> ForeignState:
    """Load the tensors of a checkpoint, and its settings if it has any; the content determines the format.

    Formats: `torch.save`, pickled arrays (Caffe2) and NumPy trees; either a state dict, or one under ``model_state``
    (ASF, PySlowFast), ``model_state_dict``, ``state_dict``, ``model`` or ``blobs`` (Caffe2). Only tensors, arrays and
    plain values are unpickled; any other call in a pickle is refused.

    Args:
        path: The file.
        ema: Take averaged weights (``ema_state``, ``ema_state_dict``, ``model_ema``, ``ema``) where the file has both;
            they are also taken if there are no others.

    Returns:
        Tensors on the CPU by name (memory-mapped if the format allows), and the settings under ``cfg``, or None.

    Raises:
        WeightsError: The file is missing, empty, truncated, not a checkpoint or a web page; it contains no tensors, or
            would run code when loaded.
    """
    start = _read_start(path)
    arrays = numpy_pickle.is_array_pickle(start)
    zipped = _is_zip(path, start)
    if numpy_tree.is_array_tree(path, start):
        content = _unpickle(path, lambda: numpy_tree.read(path))
    elif arrays:
        content = _unpickle(path, lambda: numpy_pickle.read(path))
    else:
        content = _unpickle(path, lambda: _torch_load(path, zipped=zipped))
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: contains a {type(content).__name__}, expected a dict of tensors, as a state dict")
    key = next((key for key in STATE_KEYS if isinstance(content.get(key), Mapping)), None)
    # Caffe2's settings need classes of another program to be read.
    cfg = content.get("cfg") if key != "blobs" else None
    ema_key, averaged = next(((key, state) for key in EMA_KEYS if (state := _averaged(content.get(key)))), ("", {}))
    notes: tuple[str, ...] = ()
    if averaged and (ema or key is None):
        notes = (f"averaged (EMA) weights: those under {ema_key}" + (f", not {key}" if key else ""),)
        key, content = ema_key, {ema_key: averaged}
    else:
        notes = (f"weights under {key}; the averaged (EMA) weights under {ema_key} were not taken",) if averaged else ()
    tensors = _tensors(path, content[key] if key else content, strict=not arrays)
    return ForeignState(tensors=tensors, cfg=_yaml_text(path, cfg), notes=notes)


def _averaged(value: Any) -> dict[str, Tensor]:
    """The tensors of averaged weights, directly or one level deeper; empty if there are none."""
    for state in (value, *(value.get(key) for key in EMA_INSIDE)) if isinstance(value, Mapping) else ():
        tensors = {name: item for name, item in state.items() if isinstance(item, Tensor)} if state else {}
        if len(tensors) > 1:  # one may be the number of steps
            return tensors
    return {}


def _yaml_text(path: Path, settings: Any) -> str | None:
    """Settings as YAML text; mappings of plain values are written as such, and other values are no settings."""
    if not isinstance(settings, Mapping):
        return settings if isinstance(settings, str) else None
    try:
        return yaml.safe_dump(json.loads(json.dumps(settings, default=str)))
    except (TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: its cfg is not a mapping of plain values ({text_of(error)})") from error


def _read_start(path: Path) -> bytes:
    """Read the first bytes of a file; refuse those that cannot start a checkpoint."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); give a checkpoint file") from error
    if not start:
        raise WeightsError(f"{path}: is empty (0 bytes); download it again")
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise WeightsError(f"{path}: is a web page, not a checkpoint; download it again (from Dropbox with dl=1)")
    if start.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path}: is a Git LFS pointer, not the file; run `git lfs pull` in its repository")
    return start


def _is_zip(path: Path, start: bytes) -> bool:
    """Whether a file is a zip archive, torch's current format; refuse a truncated one, and one that unpacks to much."""
    zipped = zipfile.is_zipfile(path)
    if start.startswith(b"PK\x03\x04") and not zipped:
        raise WeightsError(f"{path}: is truncated, its end is missing; download it again")
    if zipped:
        try:
            require_bounded(path)
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            raise WeightsError(f"{path}: {text_of(error)}: not a checkpoint; download it again") from error
    return zipped


def _torch_load(path: Path, *, zipped: bool) -> Any:
    with warnings.catch_warnings(), torch.serialization.safe_globals(_ALLOWED):
        warnings.simplefilter("ignore")  # about newer pickle protocols
        # Only the zip format can be memory-mapped.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped or None)


def _unpickle(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:
        raise WeightsError(_unpickling_message(path, str(error))) from error
    except Exception as error:  # a damaged pickle may raise anything
        short = str(error).strip().split("\n", 1)[0][:120] or type(error).__name__
        raise WeightsError(
            f"{path}: is truncated or not a PyTorch checkpoint ({short}): download it again, or save it by torch.save"
        ) from error


def _unpickling_message(path: Path, message: str) -> str:
    """Replace torch's message, which explains how to disable the safety check."""
    match = re.search(r"GLOBAL ([\w.<>]+)", message) or re.search(r"(?:function|class|type) <?([\w.' -]+)>?", message)
    if match and re.search(r"GLOBAL|unrecognized function|build for type|Trying to", message):
        return (
            f"{path}: would run code when loaded ({match[1].strip()}), so it was not loaded; expected only tensors and "
            "plain values: if you trust the file, load it elsewhere, save its state_dict with torch.save and use that"
        )
    if "truncated" in message:
        return f"{path}: is truncated, its end is missing; download it again"
    return f"{path}: is not a PyTorch checkpoint; give a file saved by torch.save"


def _tensors(path: Path, state: Mapping[Any, Any], *, strict: bool) -> dict[str, Tensor]:
    """Return the tensors of a state dict; other values are refused if ``strict``, as Caffe2's blobs contain some."""
    tensors = {PREFIXES.sub("", str(name)): value for name, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        keys = ", ".join(str(key) for key in list(state)[:5]) or "nothing"
        raise WeightsError(
            f"{path}: contains no tensors but {keys}; expected a state dict, or one under {', '.join(STATE_KEYS)}"
        )
    others = [str(name) for name, value in state.items() if not isinstance(value, Tensor)]
    if others and strict:
        raise WeightsError(
            f"{path}: {others[0]!r} and {len(others) - 1} others are not tensors: save model.state_dict() only"
        )
    return tensors
