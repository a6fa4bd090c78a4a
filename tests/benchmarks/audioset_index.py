"""Start-up with all of AudioSet: seconds and memory from the lists to segments that can be trained on.

The lists have as many rows as the official ones and 2.4 labels a row; of the files, 1.9 million in the layout of PANNs,
only the names are made up. `media` trains out of them, `shards` out of an index of log-mels of as many recordings.

python tests/benchmarks/audioset_index.py
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import torch
from group_memory import group, memory_of

from slowfast_cli.build.checks import require_kind
from slowfast_cli.build.clips import usable
from slowfast_cli.corpora import audioset, labels
from slowfast_cli.data import loader
from slowfast_cli.data.audio_clips import DecodedSamples, SoundReader, StoredRows
from slowfast_cli.data.clips import Clips
from slowfast_cli.recipe.load import load
from slowfast_cli.settings import FrontEnd
from slowfast_cli.shards.manifest import MANIFEST, Entry
from slowfast_cli.shards.reader import Shards
from slowfast_cli.types import Corpus, Share

ROWS = {"balanced": 22_160, "unbalanced": 2_041_789}
ON_DISK = 0.92  # 1.9 million: PANNs found 94 per cent, others fewer
PART = 50_000  # files in a folder
LENGTH = 1000  # rows of a log-mel
READERS = 4
LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", "S1")
WORDS = ["model.init=null", "task=multilabel"]


def made(rows: int, seed: int) -> Iterator[str]:
    """Ids that differ."""
    draw = np.random.default_rng(seed)
    taken = LETTERS[draw.integers(0, 64, (rows, audioset.ID_BYTES))]
    return (row.tobytes().decode() for row in taken)


def write(folder: Path) -> None:
    """Write the lists."""
    mids = [row["mid"] for row in labels.table("audioset527")]
    for seed, (part, rows) in enumerate(ROWS.items()):
        draw = np.random.default_rng(seed + 10)
        counts, drawn = draw.integers(1, 5, rows).tolist(), iter(draw.integers(0, 527, 5 * rows).tolist())
        with (folder / f"{audioset.NAMES[part]}.csv").open("w") as file:
            file.write("# Segments csv\n# num_ytids\n# YTID, start_seconds, end_seconds, positive_labels\n")
            for id, count in zip(made(rows, seed), counts, strict=True):
                named = ",".join(mids[next(drawn)] for _ in range(count))
                file.write(f'{id}, 30.000, 40.000, "{named}"\n')


def media(root: Path) -> Iterator[tuple[Path, Iterator[bytes]]]:
    """The names of files in the layout of PANNs, without the files."""
    for seed, (part, rows) in enumerate(ROWS.items()):
        kept = np.random.default_rng(seed + 20).random(rows) < ON_DISK
        names = [f"Y{id}.wav".encode() for id, there in zip(made(rows, seed), kept.tolist(), strict=True) if there]
        for first in range(0, len(names), PART):
            folder = root / "audios" / audioset.NAMES[part] / f"part{first // PART:02d}"
            yield folder, iter(names[first : first + PART])


def store(root: Path, folder: Path) -> None:
    """Write the manifest of shards that hold what is on disk, and shards in which no row is written."""
    front_end = FrontEnd().settings()
    pattern = folder / "pattern"
    with h5py.File(pattern, "w") as shard:
        shard.attrs["front_end"] = json.dumps(front_end)
        shard.create_dataset("logmel", (PART * LENGTH, 128), "float16", chunks=(256, 128))
    with (folder / MANIFEST).open("w") as file:
        for number, (_, names) in enumerate(media(root)):
            ids = tuple(name[1:-4].decode() for name in names)
            shutil.copyfile(pattern, folder / f"shard-{number:05d}.h5")
            entry = Entry(
                shard=f"shard-{number:05d}.h5", bytes=pattern.stat().st_size, sha256="", front_end=front_end, source="",
                ids=ids, rows=(LENGTH,) * len(ids), seconds=(10.0,) * len(ids),
            )  # fmt: skip
            file.write(entry.line())


def memory() -> int:
    """What the process holds now, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() >> 20


def child(kind: str, root: Path) -> None:
    """Do it once and print."""
    began, before = time.perf_counter(), memory()
    recipe = load("vggsound", [*WORDS, "data.corpus=audioset", f"data.root={root}", "data.source=media"])
    source = DecodedSamples(recipe.frontend)
    names = list(media(root)) if kind == "media" else []  # made up beforehand: a disk would have them
    given = memory()
    listed = time.perf_counter()
    lists = [root / f"{audioset.NAMES[part]}.csv" for part in ROWS]
    found: Corpus = audioset.build_corpus("train", lists, names or media(root), root)
    read = time.perf_counter()
    if kind == "shards":
        source = StoredRows(Shards(root / "shards", recipe.frontend.settings()), recipe.frontend)
    kept = usable(recipe, found, source)
    require_kind(recipe, kept)
    end, peak, now = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, memory()
    if isinstance(source, StoredRows):
        share(kept, source)
    order = np.random.default_rng(0).permutation(len(kept.segments))[:10000]
    began_again = time.perf_counter()
    for index in order.tolist():
        _ = kept.segments[index]
    each = (time.perf_counter() - began_again) / len(order)
    print(
        f"{kind:6}  {len(kept.segments):,} segments, {len(kept.missing):,} missing: "
        f"read {read - listed:.1f} s, usable {end - read:.1f} s; memory {now - before} MB more than the "
        f"{before} MB of the program, peak {peak} MB; a segment {1e6 * each:.0f} us; "
        f"pickled {len(pickle.dumps(kept.segments)) >> 20} MB (names of files made up: {given - before} MB, "
        f"{listed - began:.0f} s)"
    )


def share(kept: Corpus, source: StoredRows) -> None:
    """Print the memory of a rank and of its reading workers, in which shared pages count once, while they read."""
    before = memory_of([os.getpid()]) >> 10
    clips = Clips(kept.segments, SoundReader(store=source, seconds=5.119, views=2), sizes={"label": 527})
    keys = loader.training_keys(
        len(clips), batch=32, micro_batches=1, epochs=1, first_step=0, seed=0, share=Share()
    )  # fmt: skip
    batches = loader.batches(clips, keys, workers=READERS, device=torch.device("cpu"))
    for _ in islice(batches, 200):
        pass
    held = memory_of(group(os.getsid(0))) >> 10
    print(f"        after 200 batches: rank and {READERS} workers {held} MB, shared pages once; before {before} MB")


def main() -> None:
    """Print both."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root)
        (root / "shards").mkdir()
        store(root, root / "shards")
        for kind in ("media", "shards", "shards"):  # the first who reads them makes their index
            subprocess.run([sys.executable, __file__, kind, folder], check=True, start_new_session=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        child(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
