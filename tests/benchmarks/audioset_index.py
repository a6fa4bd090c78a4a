"""Start-up with all of AudioSet: seconds and memory from the lists to segments that can be trained on.

The lists have as many rows as the official ones and 2.4 labels a row; of the files, 1.9 million in the layout of PANNs,
only the names are made up. `media` trains out of them, `shards` out of an index of log-mels of as many recordings.

python tests/benchmarks/audioset_index.py
"""

from __future__ import annotations

import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from slowfast_cli.data import audioset, labels
from slowfast_cli.media.manifest import MANIFEST, Entry
from slowfast_cli.recipe.load import load
from slowfast_cli.stages import reading
from slowfast_cli.stages.fitting import require_kind
from slowfast_cli.types import Corpus

ROWS = {"balanced": 22_160, "unbalanced": 2_041_789}
ON_DISK = 0.92  # 1.9 million: PANNs found 94 per cent, others fewer
PART = 50_000  # files in a folder
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
    """Write the index of shards that hold what is on disk, and empty files for the shards."""
    front_end = {"rate": 16000, "window_ms": 25.0, "hop_ms": 10.0, "mels": 128, "fft": 2048, "floor": 1e-6}
    with (folder / MANIFEST).open("w") as file:
        for number, (_, names) in enumerate(media(root)):
            ids = tuple(name[1:-4].decode() for name in names)
            (folder / f"shard-{number:05d}.h5").touch()
            entry = Entry(
                shard=f"shard-{number:05d}.h5", bytes=0, sha256="", front_end=front_end, source="", ids=ids,
                rows=(1000,) * len(ids), seconds=(10.0,) * len(ids),
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
    source = reading.DecodedSamples(reading.assemble.front_end(recipe))
    names = list(media(root)) if kind == "media" else []  # made up beforehand: a disk would have them
    given = memory()
    listed = time.perf_counter()
    lists = [root / f"{audioset.NAMES[part]}.csv" for part in ROWS]
    found: Corpus = audioset.gathered("train", lists, names or media(root), root)
    read = time.perf_counter()
    if kind == "shards":
        source = reading.StoredRows(reading.Shards(root / "shards"), source.front_end)  # type: ignore[assignment]
    kept = reading.usable(recipe, found, source)
    require_kind(recipe, kept)
    usable = time.perf_counter()
    order = np.random.default_rng(0).permutation(len(kept.segments))[:10000]
    for index in order.tolist():
        _ = kept.segments[index]
    each = (time.perf_counter() - usable) / len(order)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(
        f"{kind:6}  {len(kept.segments):,} segments, {len(kept.missing):,} missing: "
        f"read {read - listed:.1f} s, usable {usable - read:.1f} s; memory {memory() - before} MB more than the "
        f"{before} MB of the program, peak {peak} MB; a segment {1e6 * each:.0f} us; "
        f"pickled {len(pickle.dumps(kept.segments)) >> 20} MB (names of files made up: {given - before} MB, "
        f"{listed - began:.0f} s)"
    )


def main() -> None:
    """Print both."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root)
        (root / "shards").mkdir()
        store(root, root / "shards")
        for kind in ("media", "shards"):
            subprocess.run([sys.executable, __file__, kind, folder], check=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        child(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
