"""Reading the 32 frames of a clip from the middle of a 10-second video: by presentation time, against the whole file.

    python tests/benchmarks/video_reading.py

The video is what Kinetics is commonly kept as: 340 x 256 at 30 frames a second, H.264, a keyframe each 250 frames or
each 30. One thread. The other side decodes every frame and turns the 32 wanted, or all, into RGB. Memory is of this
process while it reads 200 clips one after the other.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import rendered

from slowfast_cli.media import video
from slowfast_cli.types import Recording

WIDTH, HEIGHT, FRAMES, FPS = 340, 256, 300, 30
SPAN, COUNT = 63 / 30, 32
START = (FRAMES / FPS - SPAN) / 2
ROUNDS, CLIPS = 7, 200


def scene() -> list[np.ndarray]:
    """A textured background that pans, with noise, and a ball."""
    draw = np.random.default_rng(0)
    coarse = draw.uniform(0, 255, (HEIGHT // 8 + 1, WIDTH // 4, 3))
    wide = np.kron(coarse, np.ones((8, 8, 1)))[:HEIGHT]
    pictures = []
    for index in range(FRAMES):
        shift = int(100 + 80 * np.sin(index / 40))
        picture = wide[:, shift : shift + WIDTH] + draw.normal(0, 4, (HEIGHT, WIDTH, 1))
        x, y = 40 + index * 260 // FRAMES, int(128 + 90 * np.sin(index / 9))
        picture[y - 20 : y + 20, x - 20 : x + 20] = (250, 220, 60)
        pictures.append(np.clip(picture, 0, 255).astype(np.uint8))
    return pictures


def whole(path: Path, *, every: bool) -> np.ndarray:
    """The same pictures after decoding the file."""
    wanted = {round(START * FPS + step) for step in np.floor(np.linspace(0, SPAN * FPS, COUNT))}
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        found = []
        for index, frame in enumerate(container.decode(stream)):
            if every or index in wanted:
                pixels = frame.to_ndarray(format="rgb24", threads=1)
                if index in wanted:
                    found.append(pixels)
    return np.stack(found)


def seconds(work: Callable[[], object]) -> float:
    """What one call takes, the median of some."""
    spent = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return median(spent)


def resident() -> float:
    """MiB of this process in memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def main() -> None:
    """Print the tables."""
    pictures = scene()
    with tempfile.TemporaryDirectory() as name:
        for gop in (250, 30):
            path = Path(name) / f"gop{gop}.mp4"
            rendered.write(path, pictures, fps=FPS, gop=gop, bframes=3, options={"preset": "medium", "crf": "23"})
            recording = Recording(id=str(gop), path=path)
            clip = {"start": START, "span": SPAN, "count": COUNT}
            rows = {
                "read": lambda r=recording, c=clip: video.read(r, **c),
                "read, short side 128": lambda r=recording, c=clip: video.read(r, **c, short_side=128),
                "whole file, 32 to RGB": lambda p=path: whole(p, every=False),
                "whole file, all to RGB": lambda p=path: whole(p, every=True),
                "probe": lambda r=recording: video.video_info(r.path),
            }
            print(f"a keyframe each {gop} frames, {path.stat().st_size / 1024:.0f} KiB")
            for what, work in rows.items():
                took = seconds(work)
                print(f"  {what:24} {1e3 * took:8.1f} ms {1 / took:8.1f} a second")
        del pictures
        before = []
        for index in range(CLIPS):
            video.read(recording, start=index / CLIPS * 7, span=SPAN, count=COUNT)
            if index % 40 == 39:
                before.append(f"{resident():.0f}")
        print(f"MiB resident after each 40 of {CLIPS} clips: {', '.join(before)}")


if __name__ == "__main__":
    main()
