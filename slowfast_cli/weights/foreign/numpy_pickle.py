"""Pickles of NumPy arrays, as Caffe2 leaves them, read without NumPy or anything else doing what they ask for.

A pickle names functions to call. Here the few that make arrays are replaced by records of what they were given, every
other one is refused, and the arrays are made from the records: a shape, a number format, bytes.
"""

from __future__ import annotations

import math
import pickle
import pickletools
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

# What the first bytes of a bare pickle may be: of protocol 2 and later, or a dict of whatever kind in protocol 0 or 1.
STARTS = (b"\x80", b"(d", b"}", b"c")
TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the number that torch's own older format starts with
FORMATS = {
    f"{kind}{size}" for kind, sizes in {"f": "248", "i": "1248", "u": "1248", "b": "1"}.items() for size in sizes
}


# Instructions that no pickle of arrays has: they make instances of classes, or fetch objects from elsewhere.
STRANGE = frozenset(
    ("INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER")
)
REMEMBERED = 1_000_000  # the most values that are referred to again; a damaged number would reserve memory for as many


class _RefusedError(Exception):
    """A function that is not one of those that make arrays."""


class _Format:
    """``numpy.dtype``: a code as ``f4``, and the order of its bytes."""

    def __init__(self, code: object, *rest: object) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "=", "|"):
            self.order = state[1]


class _Array:
    """``numpy.ndarray`` while it is read: what `_tensor` needs."""

    def __init__(self, *given: object) -> None:
        self.shape: object = ()
        self.format: object = None
        self.columns_first: object = False
        self.data: object = None

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) == 5:
            _, self.shape, self.format, self.columns_first, self.data = state


def _without_state(self: object, state: object) -> None:
    """In the place of ``__setstate__``, for want of which a pickle could set attributes of a class."""
    raise TypeError("a call has no state")


def _filled(shape: object, form: object, data: object, columns_first: bool = False) -> _Array:
    made = _Array()
    made.__setstate__((1, shape, form, columns_first, data))
    return made


class _Buffered:
    """``numpy.core.numeric._frombuffer``, of protocol 5."""

    def __new__(cls, data: object, form: object, shape: object, order: object) -> Any:
        return _filled(shape, form, data, order == "F")

    __setstate__ = _without_state


class _Scalar:
    """``numpy.core.multiarray.scalar``."""

    def __new__(cls, form: object, data: object = b"") -> Any:
        return _filled((), form, data)

    __setstate__ = _without_state


class _Bytes:
    """``_codecs.encode``, by which Python 3 writes bytes for Python 2, and ``bytes``, by which it writes none."""

    def __new__(cls, text: object = "", coding: object = "latin1") -> Any:
        return text.encode("latin1") if isinstance(text, str) and coding == "latin1" else b""

    __setstate__ = _without_state


# NumPy 2 calls its core by another name.
_MAKERS: dict[tuple[str, str], type[Any]] = {
    ("numpy", "dtype"): _Format,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _Bytes,
    ("__builtin__", "bytes"): _Bytes,
    ("collections", "OrderedDict"): dict,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _Scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _Buffered for core in ("core", "_core")},
}


class _Reader(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        made = _MAKERS.get((module_name, global_name))
        if made is None:
            raise _RefusedError(f"{module_name}.{global_name}")
        return made


def is_array_pickle(start: bytes) -> bool:
    """Whether a file that starts so is a bare pickle rather than one of torch's."""
    return start.startswith(STARTS) and not start.startswith(TORCH)


def read(path: Path) -> Any:
    """What a pickle holds: plain values, and tensors for its arrays of numbers.

    Args:
        path: Of Python 2 or 3, any protocol.

    Raises:
        pickle.UnpicklingError: It asks for anything else; the message names what, as ``GLOBAL posix.system``.
        Exception: Whatever damaged bytes happen to ask for.
    """
    with path.open("rb") as file:
        return _made(_plain(file))


def read_one(file: IO[bytes]) -> Any:
    """What the pickled array of one object, as in an ``.npy`` of a dict, holds; the file stands where it begins.

    Raises:
        pickle.UnpicklingError: As `read`; or it is no such array.
        Exception: Whatever damaged bytes happen to ask for.
    """
    record = _plain(file)
    held = record.data if isinstance(record, _Array) else None
    if not isinstance(held, list) or len(held) != 1 or not isinstance(held[0], Mapping):
        raise pickle.UnpicklingError("no dict of arrays")
    return _made(held[0])


def _plain(file: IO[bytes]) -> Any:
    """What a pickle makes of the few functions that it may call."""
    start = file.tell()
    _require_plain(file)
    file.seek(start)
    try:
        return _Reader(file, encoding="latin1").load()
    except _RefusedError as error:
        raise pickle.UnpicklingError(f"GLOBAL {error}") from error


def _require_plain(file: IO[bytes]) -> None:
    """Read once through the instructions without following them."""
    for instruction, given, _ in pickletools.genops(file):
        if instruction.name in STRANGE:
            raise pickle.UnpicklingError(f"GLOBAL {str(given or instruction.name).replace(' ', '.')}")
        if instruction.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(given or 0) > REMEMBERED:
            raise ValueError(f"value number {given} is referred to")


def _made(content: Any, depth: int = 0) -> Any:
    """Tensors for records, two levels of dicts deep: ``blobs`` of a checkpoint."""
    if isinstance(content, _Array):
        return _tensor(content)
    if isinstance(content, Mapping) and depth < 2:
        return {key: _made(value, depth + 1) for key, value in content.items()}
    return content


def _tensor(record: _Array) -> Tensor | None:
    """The array, or None where it holds something else than numbers."""
    form, shape = record.format, record.shape
    data = record.data.encode("latin1") if isinstance(record.data, str) else record.data
    if not isinstance(form, _Format) or form.code not in FORMATS or not isinstance(data, bytes | bytearray):
        return None
    if not isinstance(shape, tuple) or not all(isinstance(side, int) and side >= 0 for side in shape):
        return None
    kind = np.dtype(f"{form.order.replace('|', '=')}{form.code}")
    if len(data) != math.prod(shape) * kind.itemsize:
        raise ValueError(f"an array of shape {shape} with {len(data)} bytes")
    flat = np.frombuffer(data, kind)
    array = flat.reshape(shape, order="F" if record.columns_first else "C")
    native = np.array(array, dtype=np.dtype(str(form.code)), order="C")  # its own, writable
    return torch.from_numpy(native if native.dtype.kind != "u" or native.itemsize == 1 else native.astype(np.int64))
