"""Reading frames of 10-second videos beside decord and OpenCV, one thread each, in turn in one process.

    pip install opencv-python-headless decord
    python tests/benchmarks/video_reading.py

Videos: H.264 with a keyframe every 12 and 250 frames, MPEG-4, MJPEG; 300 frames. They are scaled to a short side of
256. A training clip: 32 frames over 2.1 s from a random time. Test clips: 10 of these, evenly spread; the other sides
read each clip by itself, then, as "in one pass", every needed frame once, in order. Whole: 20 frames spread over
the video. Times are CPU time of this process, which other processes disturb less than the clock.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import cv2
import decord
import machine
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import rendered

from slowfast_cli.media import video
from slowfast_cli.media.video_rgb import fit_short_side
from slowfast_cli.types import Recording

FRAMES, FPS, SIDE, ROUNDS = 300, 30, 256, 5
SPAN, COUNT = 63 / 30, 32
VIDEOS = {
    "H.264 320x240, keyframe every 12": (320, 240, "libx264", 12),
    "H.264 320x240, keyframe every 250": (320, 240, "libx264", 250),
    "H.264 640x360, keyframe every 12": (640, 360, "libx264", 12),
    "H.264 640x360, keyframe every 250": (640, 360, "libx264", 250),
    "H.264 1280x720, keyframe every 12": (1280, 720, "libx264", 12),
    "MPEG-4 640x360, keyframe every 12": (640, 360, "mpeg4", 12),
    "MJPEG 640x360": (640, 360, "mjpeg", 1),
}


def scene(width: int, height: int) -> Iterator[np.ndarray]:
    """A textured background that pans, with noise, and a ball."""
    draw = np.random.default_rng(0)
    wide = np.kron(draw.uniform(0, 255, (height // 8 + 1, width // 4, 3)), np.ones((8, 8, 1)))[:height]
    for axis in (0, 1, 0, 1):
        wide = (wide + np.roll(wide, 1, axis)) / 2
    noise = [draw.normal(0, 4, (height, width, 1)) for _ in range(8)]
    for index in range(FRAMES):
        shift = int(width / 3 + width / 4 * np.sin(index / 40))
        picture = wide[:, shift : shift + width] + noise[index % 8]
        x, y = 40 + index * (width - 100) // FRAMES, int(height / 2 + height / 3 * np.sin(index / 9))
        picture[y - 20 : y + 20, x - 20 : x + 20] = (250, 220, 60)
        yield np.clip(picture, 0, 255).astype(np.uint8)


def indices(start: float, span: float, count: int) -> list[int]:
    """The frames of a clip."""
    return [min(FRAMES - 1, round(start * FPS + step)) for step in np.floor(np.linspace(0, span * FPS, count) + 1e-6)]


def by_decord(path: str, clips: Sequence[Sequence[int]], size: tuple[int, int]) -> list[np.ndarray]:
    """Clips of frames by number."""
    reader = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1, width=size[0], height=size[1])
    return [reader.get_batch(list(clip)).asnumpy() for clip in clips]


def by_opencv(path: str, clips: Sequence[Sequence[int]], size: tuple[int, int]) -> list[np.ndarray]:
    """The same: a seek for each clip, then frame by frame; only the wanted ones are converted."""
    file = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    out = []
    for clip in clips:
        at, pixels = clip[0], []
        file.set(cv2.CAP_PROP_POS_FRAMES, at)
        for index in clip:
            while at <= index:
                file.grab()
                at += 1
            picture = cv2.resize(file.retrieve()[1], size, interpolation=cv2.INTER_AREA)
            pixels.append(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        out.append(np.stack(pixels))
    return out


def in_turn(path: Path, what: str, starts: Sequence[float], span: float, count: int) -> None:
    """Print how often the other sides take our time."""
    recording = Recording(id=path.name, path=path)
    probe = video.probe(recording)
    size = fit_short_side(probe.width, probe.height, SIDE)
    clips = [indices(start, span, count) for start in starts]
    union = [sorted({index for clip in clips for index in clip})]
    sides = {
        "slowfast": lambda: list(video.read_clips(recording, starts=starts, span=span, count=count, short_side=SIDE)),
        "decord": lambda: by_decord(str(path), clips, size),
        "OpenCV": lambda: by_opencv(str(path), clips, size),
    }
    if len(clips) > 1:
        sides["decord in one pass"] = lambda: by_decord(str(path), union, size)
        sides["OpenCV in one pass"] = lambda: by_opencv(str(path), union, size)
    spent = machine.alternate(sides, ROUNDS, time.process_time)
    ours = spent.pop("slowfast")
    ratios = {side: median(a / b for a, b in zip(times, ours, strict=True)) for side, times in spent.items()}
    print(f"  {what:14} {1e3 * median(ours):7.1f} ms   " + "   ".join(f"{s} {r:.2f}x" for s, r in ratios.items()))


def main() -> None:
    """Print a table for each video."""
    cv2.setNumThreads(1)
    draw = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as name:
        for number, (title, (width, height, codec, gop)) in enumerate(VIDEOS.items()):
            path = Path(name) / f"{number}.mp4"
            options = {"preset": "medium", "crf": "23"} if codec == "libx264" else {"qmin": "3", "qmax": "6"}
            form = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            bframes = 3 if codec == "libx264" else 0
            rendered.write(
                path,
                scene(width, height),
                fps=FPS,
                gop=gop,
                bframes=bframes,
                codec=codec,
                options=options,
                pix_fmt=form,
            )
            print(title)
            in_turn(path, "training clip", [float(draw.integers(0, 230)) / FPS], SPAN, COUNT)
            in_turn(path, "10 test clips", [(FRAMES / FPS - SPAN) * view / 10 for view in range(10)], SPAN, COUNT)
            in_turn(path, "whole", [0.0], (FRAMES - 1) / FPS, 20)
            path.unlink()


if __name__ == "__main__":
    main()
