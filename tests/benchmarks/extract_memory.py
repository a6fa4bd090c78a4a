"""Peak memory of extraction as recordings get longer and more: it should grow with neither.

python tests/benchmarks/extract_memory.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np

CHILD = """
import resource, sys
from pathlib import Path
from slowfast_cli.data import folder
from slowfast_cli.features.logmel import FrontEnd
from slowfast_cli.stages.extract import extract
for event in extract([folder.read(Path(sys.argv[1]), "train")], Path(sys.argv[2]), front_end=FrontEnd()):
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def make(path: Path, seconds: int) -> None:
    """Write a recording a minute at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = (3000 * np.random.default_rng(0).standard_normal(16000 * 60)).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        for start in range(0, seconds, 60):
            file.writeframes(noise[: 16000 * min(60, seconds - start)].tobytes())


def main() -> None:
    """Print the peaks."""
    for name, count, seconds in (
        ("10 x 10 s", 10, 10),
        ("200 x 10 s", 200, 10),
        ("1 x 10 min", 1, 600),
        ("1 x 3 h", 1, 10800),
    ):
        with tempfile.TemporaryDirectory() as folder:
            for number in range(count):
                make(Path(folder) / "data" / "train" / "noise" / f"{number}.wav", seconds)
            words = [sys.executable, "-c", CHILD, f"{folder}/data", f"{folder}/shards"]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
            print(f"{name:12} peak {done.stdout.strip():>5} MB")
    print(f"(this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB)")


if __name__ == "__main__":
    main()
