"""Converted programs in the cache folder: written once, complete or not at all, and checked when they are read.

A program is a folder, named by a hash of all that it depends on, with the engine's files and ``files.json`` of their
hashes.
"""

import hashlib
import json
import secrets
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import torch

from slowfast_cli import __version__
from slowfast_cli.inference.choose import Engine
from slowfast_cli.inference.program import Program
from slowfast_cli.storage.atomic import file_hash, make_folder
from slowfast_cli.storage.lock import file_lock
from slowfast_cli.types import SlowFastError, WeightsError
from slowfast_cli.weights.download import default_cache

FILES = "files.json"


def versions(engine: Engine) -> str:
    """What wrote a program."""
    own = f"slowfast {__version__}, torch {torch.__version__}"
    return own if engine.package == "torch" else f"{own}, {engine.package} {engine.version}"


def entry(engine: Engine, key: Mapping[str, object]) -> Path:
    """Folder of a program.

    Args:
        engine: Runs it.
        key: All that it depends on but for the versions: weights, outputs, shapes of the inputs.
    """
    text = json.dumps({**key, "engine": engine.name, "versions": versions(engine)}, sort_keys=True, default=str)
    return default_cache() / "programs" / f"{engine.name}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def load(folder: Path, engine: Engine, precision: str) -> Program | None:
    """Load a program; None if it is not in the cache, or damaged, in which case it is removed."""
    if not folder.is_dir():
        return None
    try:
        hashes = json.loads((folder / FILES).read_text())
        if any(file_hash(folder / name) != digest for name, digest in hashes.items()):
            raise WeightsError(f"{folder}: has changed since it was written")
        return engine.read(_file(folder, engine), precision)
    except (OSError, ValueError, AttributeError, WeightsError):
        shutil.rmtree(folder, ignore_errors=True)
        return None


def load_or_write(folder: Path, engine: Engine, precision: str, write: Callable[[Path], None]) -> Program:
    """Load a program, or write it first; of several processes one does, and the others wait.

    Args:
        folder: From `entry`.
        engine: Runs it.
        precision: In which it is to compute.
        write: Writes and checks the engine's file of the name it is given.

    Raises:
        SlowFastError: The cache cannot be written; or whatever ``write`` raises.
    """
    make_folder(folder.parent)
    try:
        with file_lock(folder.with_suffix(".lock"), wait=True) as alone:
            if program := load(folder, engine, precision):
                return program
            for left in folder.parent.glob(f".{folder.name}.*") if alone else ():  # of a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}")
            temporary.mkdir()
            try:
                write(_file(temporary, engine))
                hashes = {path.name: file_hash(path) for path in sorted(temporary.iterdir())}
                (temporary / FILES).write_text(json.dumps(hashes))
                temporary.replace(folder)
            finally:
                with suppress(OSError):
                    shutil.rmtree(temporary)
    except OSError as error:
        raise SlowFastError(f"{folder}: cannot be written: {error.strerror or error}; set SLOWFAST_CACHE") from error
    return engine.read(_file(folder, engine), precision)


def _file(folder: Path, engine: Engine) -> Path:
    return folder / f"program{engine.suffix}"
