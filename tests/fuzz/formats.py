"""Damage for files of arrays and tensors, and the choice of the damage by a file's suffix."""

import io
import json
import math
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
from fuzz.mutations import as_json, damage_bytes, damage_json, damage_jsonl, damage_lines, damage_value, damage_yaml


def odd_array(array: np.ndarray, rng: random.Random) -> tuple[np.ndarray, str]:
    """An array of another shape, type or content."""
    match rng.choice(["shape", "shape", "length", "type", "content", "content"]):
        case "shape":
            shape = rng.choice([(), (0,), (1,), (1, *array.shape), (*array.shape, 1), (3, 3, 3)])
            return np.resize(array, shape), f"shape {shape}"
        case "length":
            length = rng.choice([0, max(0, len(array) - 1) if array.ndim else 0, 1000])
            return np.resize(array, (length, *array.shape[1:])), f"{length} rows"
        case "type":
            kind = rng.choice(["U5", "S3", "f2", "f8", "i1", "u8", "c8", "M8[s]", "?"])
            return np.zeros(array.shape, kind), f"zeros of type {kind}"
    number = rng.choice([-1, 0, 1, 10**6, 2**62, math.nan, math.inf])
    with np.errstate(all="ignore"):
        changed = np.array(array)
        place = rng.choice([..., 0, -1]) if array.ndim and len(array) else ...
        if array.dtype.kind in "OSU":
            changed[place] = np.array([str(number)]).astype(array.dtype)[0]
        elif array.dtype.kind == "f" or math.isfinite(number):
            changed[place] = np.array([number]).astype(array.dtype)[0]
    return changed, f"[{place}] set to {number}"


def damage_npy(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Change an array's content, or the bytes of its file."""
    if rng.random() < 0.4:
        return damage_bytes(data, rng)
    array, what = odd_array(np.load(io.BytesIO(data)), rng)
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue(), what


def damage_npz(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Change, remove or rename an array, or change the bytes of the archive or of a member."""
    if rng.random() < 0.2:
        return damage_bytes(data, rng)
    if rng.random() < 0.2:
        return damage_member(data, rng)
    with np.load(io.BytesIO(data)) as file:
        arrays: dict[str, np.ndarray] = dict(file)
    name = rng.choice(list(arrays))
    match rng.choice(["array", "array", "array", "remove", "rename", "pickle"]):
        case "array":
            arrays[name], what = odd_array(arrays[name], rng)
        case "remove":
            del arrays[name]
            what = "removed"
        case "rename":
            arrays[f"{name}x"] = arrays.pop(name)
            what = "renamed"
        case "pickle":
            arrays[name] = np.array([None, {}], dtype=object)
            what = "pickled objects"
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue(), f"{name}: {what}"


def damage_member(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Change the bytes of one file in an archive, whose check sum is right."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        chosen = rng.choice(old.namelist())
        changed, what = damage_bytes(old.read(chosen), rng)
        for name in old.namelist():
            new.writestr(name, changed if name == chosen else old.read(name))
    return out.getvalue(), f"{chosen}: {what}"


def damage_h5(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Change a data set or an attribute of an HDF5 file, or its bytes."""
    if rng.random() < 0.4:
        return damage_bytes(data, rng)
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = rng.choice(names)
        attribute = rng.choice(list(file.attrs))
        match rng.choice(["array", "array", "array", "remove", "group", "link", "attribute", "chunks"]):
            case "array" if isinstance(file[name], h5py.Dataset):
                array, what = odd_array(file[name][()], rng)
                array = array.astype("S8") if array.dtype.kind in "UM" else array
                del file[name]
                file[name] = array
            case "group":
                del file[name]
                file.create_group(name)
                what = "a group"
            case "link":
                del file[name]
                file[name] = rng.choice([h5py.ExternalLink("/etc/passwd", "/x"), h5py.SoftLink(f"/{name}")])
                what = "a link"
            case "attribute":
                name = f"attribute {attribute}"
                file.attrs[attribute] = rng.choice(["", "{", "[]", '{"rate": -1}', 3, math.nan, [1, 2], b"\xff"])
                what = repr(file.attrs[attribute])
            case "chunks":
                del file[name]
                file.create_dataset(name, (2**40, 32), "f2", chunks=(2**16, 32))
                what = "2**40 rows that are not stored"
            case _:
                del file[name]
                what = "removed"
    return buffer.getvalue(), f"{name}: {what}"


def damage_safetensors(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Change the card, an entry of the header or a tensor of a weight file, or its bytes."""
    (size,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    match rng.choice(["card", "card", "card", "card", "header", "nan", "bytes"]):
        case "card":
            card, what = damage_value(json.loads(header["__metadata__"]["slowfast"]), rng)
            header["__metadata__"]["slowfast"] = as_json(card)
            what = f"card{what}"
        case "header":
            header, what = damage_value(header, rng)
            what = f"header{what}"
        case "nan":
            name = rng.choice([name for name in header if name != "__metadata__"])
            begin, end = header[name]["data_offsets"]
            fill = rng.choice([math.nan, math.inf, 1e38])
            body = body[:begin] + struct.pack("<f", fill) * ((end - begin) // 4) + body[end:]
            what = f"{name} filled with {fill}"
        case "bytes":
            return damage_bytes(data, rng)
    text = as_json(header).encode()
    return struct.pack("<Q", len(text)) + text + body, what


def damage_torch(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Change one value or tensor of a file of `torch.save`, or its bytes."""
    if rng.random() < 0.3:
        return damage_bytes(data, rng)
    value, what = damage_value(torch.load(io.BytesIO(data), weights_only=True), rng)
    if rng.random() < 0.2:
        value, what = rng.choice([[], torch.zeros(3), None, {1: 2}, {"state": 3}]), "another content"
    out = io.BytesIO()
    torch.save(value, out)
    return out.getvalue(), what


DAMAGE: dict[str, Callable[[bytes, random.Random], tuple[bytes, str]]] = {
    ".csv": damage_lines, ".txt": damage_lines, ".jsonl": damage_jsonl, ".json": damage_json, ".yaml": damage_yaml,
    ".npy": damage_npy, ".npz": damage_npz, ".h5": damage_h5, ".hdf5": damage_h5, ".safetensors": damage_safetensors,
    ".pt": damage_torch, ".pyth": damage_torch,
}  # fmt: skip


def damage(path: Path, rng: random.Random) -> str:
    """Damage a file in the way of its kind; media and unknown kinds lose or change bytes."""
    data, what = DAMAGE.get(path.suffix, damage_bytes)(path.read_bytes(), rng)
    path.write_bytes(data)
    return what
