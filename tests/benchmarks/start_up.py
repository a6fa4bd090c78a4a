"""Wall time of whole commands, cold processes: help, and a prediction for a 5 s clip.

python tests/benchmarks/start_up.py
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from statistics import median

CLIP = Path(__file__).parents[1] / "assets" / "rain.wav"
COMMANDS = {"slowfast --help": ["--help"], "slowfast predict rain.wav": ["predict", str(CLIP)]}


def main() -> None:
    """Print the medians."""
    program = shutil.which("slowfast") or "slowfast"
    for name, words in COMMANDS.items():
        times = []
        for _ in range(7):
            began = time.perf_counter()
            subprocess.run([program, *words], check=True, capture_output=True)
            times.append(time.perf_counter() - began)
        print(f"{name:28} median {median(times):.2f} s, worst {max(times):.2f} s")


if __name__ == "__main__":
    main()
