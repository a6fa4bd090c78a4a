"""Peak memory of every command as recordings get more and longer: it should grow with neither.

`clips` are recordings of 10 s; `long` are four recordings, of 10 s and of an hour. RSS is that of the first process,
the second number that of all of them, in which shared pages count once.

python tests/benchmarks/memory.py [FOLDER]        FOLDER: where the recordings go, or the temporary folder
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import invented
import numpy as np
from group_memory import Watched, watch

CLIPS = (50, 800)
SECONDS = (10, 3600)
CHILD = Path(__file__).with_name("growth_child.py")
FEW = ["optim.batch=2", "~schedule.validate_every"]
TRAIN, SCORE = "data.workers=2", "data.workers=0"


def corpora(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Made-up corpora by name, as two folders each."""
    noise = (3000 * np.random.default_rng(0).standard_normal(10 * invented.RATE)).astype(np.int16)
    found = {}
    for name, count, times in (
        *((f"{count} clips", count, 1) for count in CLIPS),
        *((f"{seconds} s", 4, seconds // 10) for seconds in SECONDS),
    ):
        root = folder / name.replace(" ", "-") / "vggsound"
        clips = invented.names(count)
        invented.write_list(root, clips)
        for clip in clips:
            invented.write_wav(root / "audio" / f"{clip}.wav", noise, times=times)
        found[name] = root, root.with_name("shards")
    return found


def commands(root: Path, shards: Path, more: Sequence[str]) -> Iterator[tuple[str, Watched]]:
    """Everything that is done with a corpus."""
    media = "data.source=media"
    yield "extract", watch([CHILD, "extract", root, shards])
    yield "train", watch([CHILD, "train", root, shards, TRAIN, *more])
    yield "train from media", watch([CHILD, "train", root, shards, TRAIN, media, *more])
    yield "evaluate", watch([CHILD, "evaluate", root, shards, SCORE, *more])
    yield "evaluate from media", watch([CHILD, "evaluate", root, shards, SCORE, media, *more])
    asked = ["-m", "slowfast_cli", "predict", "-w", shards.with_name("weights.safetensors"), "--json"]
    yield "predict the folder", watch([*asked, root / "audio"])
    one = next((root / "audio").iterdir())
    yield "predict one", watch([*asked, one])
    yield "predict --timeline", watch([*asked, one, "--timeline", "5/5"])


def main() -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        found: dict[str, dict[str, Watched]] = {}
        for corpus, (root, shards) in corpora(Path(name)).items():
            found[corpus] = {}
            for command, seen in commands(root, shards, FEW if corpus.endswith(" s") else []):
                print(f"{corpus}: {command}: {seen.rss} / {seen.pss} MB, {seen.seconds:.0f} s", flush=True)
                found[corpus][command] = seen
    print(f"{'MB: first / all':22}" + "".join(f"{corpus:>15}" for corpus in found))
    for command in next(iter(found.values())):
        cells = (f"{each[command].rss} / {each[command].pss}" for each in found.values())
        print(f"{command:22}" + "".join(f"{cell:>15}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
