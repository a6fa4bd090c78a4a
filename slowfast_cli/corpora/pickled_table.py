"""Read pickled pandas tables without pandas, and without executing the functions that a pickle names.

The classes of pandas are replaced by records of their arguments. Only the functions that restore NumPy arrays run.
"""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from slowfast_cli.types import DataError


class _Record:
    """Arguments and state of an object of pandas."""

    arguments: tuple[Any, ...] = ()  # of the class, because a pickle may create an object without calling it
    state: Any = None

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _encode(text: str, encoding: str) -> bytes:
    """Restore the bytes of an array in protocol 2."""
    return text.encode("latin1") if encoding == "latin1" else b""


def _reconstruct(kind: object, shape: object, dtype: object) -> np.ndarray:
    """Start an empty array; its shape and values come with its state."""
    return np.empty(0, np.int8)


def _from_buffer(data: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], order: Any) -> np.ndarray:
    return np.frombuffer(data, dtype).reshape(shape, order=order)


RECORDED = (
    ("pandas.core.frame", "DataFrame"),
    ("pandas.core.internals.managers", "BlockManager"),
    ("pandas._libs.internals", "_unpickle_block"),
    ("pandas.core.indexes.base", "_new_Index"),
    ("pandas.core.indexes.base", "Index"),
    ("pandas.core.indexes.range", "RangeIndex"),
    ("pandas.core.indexes.numeric", "Int64Index"),
)
CALLED = {
    **dict.fromkeys(RECORDED, _Record),
    **{(module, "slice"): slice for module in ("builtins", "__builtin__")},
    ("_codecs", "encode"): _encode,
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},  # NumPy 1 and 2
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}


class _Reader(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in CALLED:
            raise pickle.UnpicklingError(f"it names {module_name}.{global_name}")
        return CALLED[module_name, global_name]


def pickled_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a pickled pandas table, as `slowfast_cli.corpora.lists.rows` does a csv file.

    Yields:
        Row number, from 2 as in a csv file with a header, and values by column, as text.

    Raises:
        DataError: The file is not a pickled table of text and integers that pandas 1 or 2 wrote.
    """
    try:
        with path.open("rb") as file:
            columns = _columns(_Reader(file).load())
    except Exception as error:  # of any type, for a damaged pickle
        raise DataError(
            f"{path}: not a table that pandas 1 or 2 pickled ({error}): take the csv file of that name"
        ) from error
    for number, values in enumerate(zip(*columns.values(), strict=True), 2):
        yield number, dict(zip(columns, map(str, values), strict=True))


def _columns(frame: Any) -> dict[str, list[Any]]:
    """Values by column, in the order of the table."""
    state = frame.state
    manager = state["_mgr"] if "_mgr" in state else state["_data"]
    if manager.arguments:  # from pandas 1.3 on
        blocks, axes = manager.arguments
        parts = [block.arguments[:2] for block in blocks]
    else:
        content = manager.state[3]["0.14.1"]
        axes, parts = content["axes"], [(block["values"], block["mgr_locs"]) for block in content["blocks"]]
    names = axes[0].arguments[1]["data"].tolist()
    columns: dict[int, list[Any]] = {}
    for values, places in parts:
        columns |= zip(np.arange(len(names))[places].tolist(), values.tolist(), strict=True)
    return {name: columns[place] for place, name in enumerate(names)}
