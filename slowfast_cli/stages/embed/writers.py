"""Files of features: npz, npy, HDF5, Parquet and torch, written in constant memory; a file is complete or absent.

Every file states the start and end of each row and the settings that the features depend on: npz in arrays, HDF5 in
data sets and attributes, Parquet in columns and schema metadata, npy and pt in ``<name>.json`` beside the array.
"""

import importlib.util
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from tempfile import NamedTemporaryFile
from typing import IO, Any

import h5py
import numpy as np
import torch

from slowfast_cli.storage.atomic import make_folder, write_atomic, write_text
from slowfast_cli.types import DataError, Seconds, UsageError, did_you_mean, text_of

MOST_ROWS = 4096  # in memory at once
EPOCH = (1980, 1, 1, 0, 0, 0)  # time of the members of an npz, so that equal features are equal files


@dataclass(frozen=True, kw_only=True)
class Table:
    """Features to write. Shapes: N rows, D features, F files."""

    key: str  # of the array
    dtype: np.dtype[Any]
    width: int  # D
    blocks: Callable[[], Iterator[np.ndarray]]
    """The rows, (n, D) at a time."""
    start: Sequence[Seconds]
    """(N,)"""
    end: Sequence[Seconds]
    """(N,)"""
    settings: Mapping[str, Any]
    file: Sequence[int] | None = None
    """(N,) index of the file of each row, in a table of several files."""
    files: Sequence[str] = ()
    """(F,) paths."""

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """The arrays beside the features."""
        plain = {"start": np.array(self.start, np.float64), "end": np.array(self.end, np.float64)}
        return plain if self.file is None else {**plain, "file": np.array(self.file, np.int32)}


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Features that were read."""

    features: np.ndarray  # (N, D)
    start: np.ndarray  # (N,)
    end: np.ndarray  # (N,)
    file: np.ndarray | None  # (N,) int32, in a table of several files


def _write_npz(path: Path, table: Table) -> None:
    texts = {"settings": np.array(json.dumps(table.settings))}
    if table.file is not None:
        texts["files"] = np.array(list(table.files))
    with zipfile.ZipFile(path, "w") as archive:
        with _member(archive, table.key) as out:
            _write_npy_to(out, table)
        for name, values in {**table.columns, **texts}.items():
            with _member(archive, name) as out:
                np.lib.format.write_array(out, values)


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    return archive.open(zipfile.ZipInfo(f"{name}.npy", EPOCH), "w", force_zip64=True)


def _write_npy(path: Path, table: Table) -> None:
    with path.open("wb") as out:
        _write_npy_to(out, table)


def _write_npy_to(out: IO[bytes], table: Table) -> None:
    shape = (len(table.start), table.width)
    header = {"descr": np.lib.format.dtype_to_descr(table.dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(out, header)
    for rows in table.blocks():
        out.write(np.ascontiguousarray(rows, table.dtype).tobytes())


def _write_hdf5(path: Path, table: Table) -> None:
    with h5py.File(path, "w") as file:
        features = file.create_dataset(table.key, (len(table.start), table.width), table.dtype)
        done = 0
        for rows in table.blocks():
            features[done : done + len(rows)] = rows
            done += len(rows)
        for name, values in table.columns.items():
            file.create_dataset(name, data=values)
        if table.file is not None:
            file.create_dataset("files", data=list(table.files), dtype=h5py.string_dtype())
        for name, value in table.settings.items():
            file.attrs[name] = value if isinstance(value, str | int | float) else json.dumps(value)
        file.attrs["settings"] = json.dumps(table.settings)


def _write_parquet(path: Path, table: Table) -> None:
    import pyarrow as pa  # noqa: PLC0415  (an extra)
    import pyarrow.parquet as pq  # noqa: PLC0415

    kind = pa.list_(pa.from_numpy_dtype(table.dtype), table.width)
    fields = [("file", pa.string())] * (table.file is not None)
    fields += [("start_s", pa.float64()), ("end_s", pa.float64()), (table.key, kind)]
    schema = pa.schema(fields, metadata={name: _text(value) for name, value in table.settings.items()})
    done = 0
    words = ["file"] if table.file is not None else False  # numbers do not repeat
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=words) as out:
        for rows in table.blocks():
            here = slice(done, done + len(rows))
            flat = pa.array(np.ascontiguousarray(rows, table.dtype).reshape(-1))
            columns = [pa.array(table.start[here]), pa.array(table.end[here])]
            columns.append(pa.FixedSizeListArray.from_arrays(flat, table.width))
            if table.file is not None:
                columns.insert(0, pa.array([table.files[index] for index in table.file[here]], pa.string()))
            out.write_table(pa.Table.from_arrays(columns, schema=schema))
            done += len(rows)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _write_torch(path: Path, table: Table) -> None:
    with NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".tmp") as rows:  # a tensor has to be there at once
        _write_npy_to(rows, table)
        rows.flush()
        with path.open("wb") as out:  # not by name, which the file would contain
            torch.save(torch.from_numpy(np.load(rows.name, mmap_mode="c")), out)


def _read_npz(path: Path, key: str) -> Stored:
    with np.load(path) as file:
        columns = {name: file[name] for name in ("start", "end", "file") if name in file}
        return _stored(file[key], columns)


def _read_npy(path: Path, _: str) -> Stored:
    return _stored(np.load(path), _sidecar(path))


def _read_hdf5(path: Path, key: str) -> Stored:
    with h5py.File(path, "r") as file:
        return _stored(file[key][()], {name: file[name][()] for name in ("start", "end", "file") if name in file})


def _read_parquet(path: Path, key: str) -> Stored:
    import pyarrow.parquet as pq  # noqa: PLC0415  (an extra)

    table = pq.read_table(path)
    features = table[key].combine_chunks()
    width = features.type.list_size
    columns = {"start": table["start_s"].to_numpy(), "end": table["end_s"].to_numpy()}
    if "file" in table.column_names:
        names = table["file"].to_pylist()
        order = {name: index for index, name in enumerate(dict.fromkeys(names))}
        columns["file"] = np.array([order[name] for name in names], np.int32)
    return _stored(features.flatten().to_numpy(zero_copy_only=False).reshape(-1, width), columns)


def _read_torch(path: Path, _: str) -> Stored:
    return _stored(torch.load(path, weights_only=True).numpy(), _sidecar(path))


def _sidecar(path: Path) -> dict[str, np.ndarray]:
    plain = json.loads(path.with_name(f"{path.name}.json").read_text(encoding="utf-8"))
    return {name: np.array(plain[name]) for name in ("start", "end", "file") if name in plain}


def _stored(features: np.ndarray, columns: Mapping[str, np.ndarray]) -> Stored:
    if features.ndim != 2 or not len(features) == len(columns["start"]) == len(columns["end"]):
        raise ValueError(f"features of shape {features.shape} with {len(columns['start'])} times")
    return Stored(features=features, start=columns["start"], end=columns["end"], file=columns.get("file"))


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of feature files."""

    suffix: str
    write: Callable[[Path, Table], None]
    read: Callable[[Path, str], Stored]
    sidecar: bool = False  # times and settings in <name>.json
    module: str = ""  # that must be installed


FORMATS: Mapping[str, Format] = {
    "npz": Format(suffix=".npz", write=_write_npz, read=_read_npz),
    "npy": Format(suffix=".npy", write=_write_npy, read=_read_npy, sidecar=True),
    "hdf5": Format(suffix=".h5", write=_write_hdf5, read=_read_hdf5),
    "parquet": Format(suffix=".parquet", write=_write_parquet, read=_read_parquet, module="pyarrow"),
    "pt": Format(suffix=".pt", write=_write_torch, read=_read_torch, sidecar=True),
}


def require_format(name: str) -> Format:
    """Look up a format.

    Raises:
        UsageError: There is none of that name, or the package that it needs is not installed.
    """
    if name not in FORMATS:
        raise UsageError(
            f"--format {name}: no such format{did_you_mean(name, FORMATS) or '; there are ' + ', '.join(FORMATS)}"
        )
    module = FORMATS[name].module
    if module and importlib.util.find_spec(module) is None:
        raise UsageError(f"--format {name}: needs {module}: pip install 'slowfast-cli[{name}]'")
    return FORMATS[name]


def write_table(path: Path, name: str, table: Table) -> None:
    """Write a file of features, and what stands beside it; raise `SlowFastError` if the disk refuses."""
    chosen = FORMATS[name]
    make_folder(path.parent)
    if chosen.sidecar:  # first, so that an array is never without it
        plain: dict[str, Any] = {column: values.tolist() for column, values in table.columns.items()}
        plain |= {"files": list(table.files)} if table.file is not None else {}
        write_text(path.with_name(f"{path.name}.json"), json.dumps({**table.settings, **plain}))
    write_atomic(path, lambda part: chosen.write(part, table))


def read_table(path: Path, name: str, key: str) -> Stored:
    """Read a file of features.

    Raises:
        DataError: It is missing, damaged or of another kind.
    """
    try:
        return FORMATS[name].read(path, key)
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, UnpicklingError, zipfile.BadZipFile) as error:
        reason = "it is not there" if isinstance(error, FileNotFoundError) else text_of(error)
        raise DataError(
            f"{path}: no features of the format {name} ({reason}): run the command `slowfast embed` that wrote it again"
        ) from error
