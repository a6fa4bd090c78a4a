"""Corpora that are made up, in the layout of VGG-Sound: of short noises, or of empty files and log-mels of zeros."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import h5py
import numpy as np

from slowfast_cli.corpora import labels
from slowfast_cli.settings import FrontEnd
from slowfast_cli.shards.manifest import MANIFEST, Entry

RATE = 16000
MELS = 32
FRONT_END = FrontEnd(mels=MELS)
TESTED = 2  # every second recording is in the test split
IN_SHARD = 256
BLOCK = 4096  # bytes
ROWS = 1000  # of a recording of 10 s
WORDS = [f"frontend.mels={MELS}", "model.width=8", "optim.batch=8", "metric=top1", "data.views=2"]


def names(count: int) -> list[str]:
    """Ids of clips, as YouTube's look."""
    letters = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", "S1")
    drawn = letters[np.random.default_rng(0).integers(0, 64, (count, 11))]
    return [f"{row.tobytes().decode()}_{30:06d}" for row in drawn]


def write_list(root: Path, clips: list[str]) -> None:
    """Write ``vggsound.csv``."""
    root.mkdir(parents=True, exist_ok=True)
    classes = labels.names("vggsound")
    with (root / "vggsound.csv").open("w") as file:
        for number, name in enumerate(clips):
            split = "train" if number % TESTED else "test"
            file.write(f'{name[:11]},30,"{classes[number // TESTED % 20]}",{split}\n')


def noises(root: Path, count: int, *, seconds: float = 2.0) -> Path:
    """Short noises, each another stretch of the same one."""
    clips = names(count)
    write_list(root, clips)
    (root / "audio").mkdir()
    size = round(seconds * RATE)
    noise = (3000 * np.random.default_rng(0).standard_normal(size + 10 * count)).astype(np.int16)
    for number, name in enumerate(clips):
        write_wav(root / "audio" / f"{name}.wav", noise[10 * number :][:size])
    return root


def write_wav(path: Path, samples: np.ndarray, *, times: int = 1) -> Path:
    """Write samples, repeated."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        for _ in range(times):
            file.writeframes(samples.tobytes())
    return path


def placeholders(root: Path, shards: Path, count: int) -> None:
    """Empty files, and shards whose rows are allocated but not written: sparse files, which read as zeros."""
    clips = names(count)
    write_list(root, clips)
    (root / "audio").mkdir()
    for name in clips:
        (root / "audio" / f"{name}.wav").touch()
    shards.mkdir(parents=True)
    pattern = shards / "pattern"
    with h5py.File(pattern, "w") as file:
        file.attrs["front_end"] = json.dumps(FRONT_END.settings())
        allocated = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        allocated.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        allocated.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        file.create_dataset(
            "logmel", (IN_SHARD * ROWS, MELS), "float16", chunks=(IN_SHARD, MELS), dcpl=allocated
        )  # fmt: skip
    contents = pattern.read_bytes()
    with (shards / MANIFEST).open("w") as file:
        for number, first in enumerate(range(0, count, IN_SHARD)):
            ids = tuple(clips[first : first + IN_SHARD])
            name = f"shard-{number:05d}.h5"
            write_sparse(shards / name, contents)
            entry = Entry(
                shard=name, bytes=pattern.stat().st_size, sha256="", front_end=FRONT_END.settings(), source="", ids=ids,
                rows=(ROWS,) * len(ids), seconds=(ROWS / 100,) * len(ids),
            )  # fmt: skip
            file.write(entry.line())
    pattern.unlink()


def write_sparse(path: Path, contents: bytes) -> None:
    """Write a file without its blocks of zeros."""
    with path.open("wb") as file:
        for at in range(0, len(contents), BLOCK):
            block = contents[at : at + BLOCK]
            if block.count(0) < len(block):
                file.seek(at)
                file.write(block)
        file.truncate(len(contents))
