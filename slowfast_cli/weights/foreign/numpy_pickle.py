"""Read pickled NumPy arrays, as Caffe2 saves them, without executing the functions that the pickle names.

The few functions that create arrays are replaced by classes that record their arguments (shape, dtype, bytes), from
which tensors are built; any other function is refused.
"""

import math
import pickle
import pickletools
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

# First bytes of a pickle: protocol 2 and later, or a dict in protocol 0 or 1.
STARTS = (b"\x80", b"(d", b"}", b"c")
TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # magic number of torch's legacy format
DTYPES = {f"{kind}{size}" for kind, sizes in {"f": "248", "i": "1248", "u": "1248", "b": "1"}.items() for size in sizes}

# Opcodes that create instances or fetch external objects; pickled arrays need none of them.
REFUSED_OPCODES = frozenset(
    ("INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER")
)
MAX_MEMO = 1_000_000  # largest memo index: unpickling allocates memory for the index, which may be damaged


class _RefusedError(Exception):
    """The pickle names a function that does not create arrays."""


class _DType:
    """Record of a ``numpy.dtype``: a code such as ``f4``, and the byte order."""

    def __init__(self, code: object, *rest: object) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "=", "|"):
            self.order = state[1]


class _Array:
    """Record of a ``numpy.ndarray``."""

    def __init__(self, *args: object) -> None:
        self.shape: object = ()
        self.dtype: object = None
        self.fortran_order: object = False
        self.data: object = None

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) == 5:
            _, self.shape, self.dtype, self.fortran_order, self.data = state


def _without_state(self: object, state: object) -> None:
    """``__setstate__`` of functions; without one a pickle could set attributes of the class."""
    raise TypeError("a call has no state")


def _record(shape: object, dtype: object, data: object, fortran_order: bool = False) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, dtype, fortran_order, data))
    return array


class _FromBuffer:
    """Replacement of ``numpy.core.numeric._frombuffer`` (protocol 5)."""

    def __new__(cls, data: object, dtype: object, shape: object, order: object) -> Any:
        return _record(shape, dtype, data, order == "F")

    __setstate__ = _without_state


class _Scalar:
    """Replacement of ``numpy.core.multiarray.scalar``."""

    def __new__(cls, dtype: object, data: object = b"") -> Any:
        return _record((), dtype, data)

    __setstate__ = _without_state


class _Bytes:
    """Replacement of ``_codecs.encode``, which encodes bytes in protocols 0 to 2, and of ``bytes``, if empty."""

    def __new__(cls, text: object = "", encoding: object = "latin1") -> Any:
        return text.encode("latin1") if isinstance(text, str) and encoding == "latin1" else b""

    __setstate__ = _without_state


# NumPy 2 renames `core` to `_core`.
_REPLACEMENTS: dict[tuple[str, str], type[Any]] = {
    ("numpy", "dtype"): _DType,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _Bytes,
    ("__builtin__", "bytes"): _Bytes,
    ("collections", "OrderedDict"): dict,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _Scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _FromBuffer for core in ("core", "_core")},
}


class _Reader(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        replacement = _REPLACEMENTS.get((module_name, global_name))
        if replacement is None:
            raise _RefusedError(f"{module_name}.{global_name}")
        return replacement


def is_array_pickle(start: bytes) -> bool:
    """Whether a file with these first bytes is a plain pickle and not one of torch's."""
    return start.startswith(STARTS) and not start.startswith(TORCH)


def read(path: Path) -> Any:
    """Read a pickle of plain values and numeric arrays, which become tensors; of Python 2 or 3, any protocol.

    Raises:
        pickle.UnpicklingError: The pickle names any other function; the message contains ``GLOBAL posix.system``.
        Exception: Of any type, for a damaged file.
    """
    with path.open("rb") as file:
        return _to_tensors(_unpickle(file))


def read_one(file: IO[bytes]) -> Any:
    """Read the pickle in an ``.npy`` file of a dict, an array of one object, from the current position.

    Raises:
        pickle.UnpicklingError: See `read`; or the pickle is not an array of one dict.
        Exception: Of any type, for a damaged file.
    """
    record = _unpickle(file)
    objects = record.data if isinstance(record, _Array) else None
    if not isinstance(objects, list) or len(objects) != 1 or not isinstance(objects[0], Mapping):
        raise pickle.UnpicklingError("not a dict of arrays")
    return _to_tensors(objects[0])


def _unpickle(file: IO[bytes]) -> Any:
    start = file.tell()
    _check_opcodes(file)
    file.seek(start)
    try:
        return _Reader(file, encoding="latin1").load()
    except _RefusedError as error:
        raise pickle.UnpicklingError(f"GLOBAL {error}") from error


def _check_opcodes(file: IO[bytes]) -> None:
    """Scan the opcodes of a pickle without executing them."""
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in REFUSED_OPCODES:
            raise pickle.UnpicklingError(f"GLOBAL {str(argument or opcode.name).replace(' ', '.')}")
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > MAX_MEMO:
            raise ValueError(f"memo index {argument}, expected at most {MAX_MEMO}")


def _to_tensors(content: Any, depth: int = 0) -> Any:
    """Convert records to tensors, up to two levels of dicts deep, as in ``blobs`` of a checkpoint."""
    if isinstance(content, _Array):
        return _tensor(content)
    if isinstance(content, Mapping) and depth < 2:
        return {key: _to_tensors(value, depth + 1) for key, value in content.items()}
    return content


def _tensor(record: _Array) -> Tensor | None:
    """Convert a record to a tensor; None if the array is not numeric."""
    dtype, shape = record.dtype, record.shape
    data = record.data.encode("latin1") if isinstance(record.data, str) else record.data
    if not isinstance(dtype, _DType) or dtype.code not in DTYPES or not isinstance(data, bytes | bytearray):
        return None
    if not isinstance(shape, tuple) or not all(isinstance(side, int) and side >= 0 for side in shape):
        return None
    stored = np.dtype(f"{dtype.order.replace('|', '=')}{dtype.code}")
    if len(data) != math.prod(shape) * stored.itemsize:
        raise ValueError(f"an array of shape {shape} with {len(data)} bytes")
    flat = np.frombuffer(data, stored)
    array = flat.reshape(shape, order="F" if record.fortran_order else "C")
    native = np.array(array, dtype=np.dtype(str(dtype.code)), order="C")  # writable copy
    return torch.from_numpy(native if native.dtype.kind != "u" or native.itemsize == 1 else native.astype(np.int64))
