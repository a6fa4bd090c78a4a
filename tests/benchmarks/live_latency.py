"""Latency of rolling prediction: samples every 20 ms through a pipe into ``slowfast predict - --pcm s16le@16000``.

    python tests/benchmarks/live_latency.py [SECONDS] [WINDOW/HOP]

Prints p50, p95 and the maximum of latency_ms (from the arrival of a window's last sample to its line), the delay of the
lines at the reader, the peak memory of the process, and the windows that were skipped.
"""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import soundfile

RATE, STEP = 16000, 320
SOUND = Path(__file__).parents[1] / "assets" / "rain.wav"


def main(seconds: float = 60, timeline: str = "") -> None:
    samples = np.resize(soundfile.read(SOUND, dtype="int16", always_2d=True)[0][:, 0], round(seconds * RATE))
    words = [sys.executable, "-m", "slowfast_cli", "predict", "-", "--pcm", f"s16le@{RATE}", "--json"]
    words += ["--timeline", timeline] if timeline else []
    latencies, delays, sent = [], [], {}
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:

        def read():
            for line in child.stdout:
                plain = json.loads(line)
                last = -(-round(plain["end"] * RATE) // STEP)  # the block with the window's last sample
                delays.append(1000 * (time.monotonic() - sent[last]))
                latencies.append(plain["latency_ms"])

        reader = threading.Thread(target=read)
        reader.start()
        start = time.monotonic()
        for number in range(1, len(samples) // STEP + 1):
            time.sleep(max(0.0, start + number * STEP / RATE - time.monotonic()))
            sent[number] = time.monotonic()
            child.stdin.write(samples[(number - 1) * STEP : number * STEP].tobytes())
            child.stdin.flush()
        peak = Path(f"/proc/{child.pid}/status").read_text().split("VmHWM:")[1].split()[0]
        child.stdin.close()
        reader.join()
    for name, values in (("latency_ms", latencies), ("delay at the reader, ms", delays)):
        p50, p95 = np.percentile(values, (50, 95))
        print(f"{name}: p50 {p50:.0f}, p95 {p95:.0f}, max {max(values):.0f}, {len(values)} windows")
    print(f"peak memory: {int(peak) / 1024:.0f} MB")


if __name__ == "__main__":
    main(*(kind(word) for kind, word in zip((float, str), sys.argv[1:], strict=False)))
