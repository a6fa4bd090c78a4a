"""Render twenty short videos to try `slowfast` with: a ball moves left or right, so no single frame shows the class.

    python examples/make_videos.py [FOLDER]

writes FOLDER/{left,right}/00.mp4 to 09.mp4 (FOLDER is my_videos by default), and new.mp4 beside it.
"""

import sys
from pathlib import Path

import av
import numpy as np

SIZE, FPS, SECONDS = 96, 15, 3  # pixels, frames per second
BALL, GROUND = np.array([250, 220, 60]), np.array([20, 30, 60])  # RGB


def ball(x: float, y: float) -> np.ndarray:
    """A frame (SIZE, SIZE, 3) with the ball at a place between 0 and 1."""
    radius = SIZE / 10
    rows, columns = np.mgrid[:SIZE, :SIZE]
    across, down = (radius + place * (SIZE - 1 - 2 * radius) for place in (x, y))
    inside = np.clip(radius + 0.5 - np.hypot(columns - across, rows - down), 0, 1)[:, :, None]
    return (inside * BALL + (1 - inside) * GROUND).astype(np.uint8)


def render(path: Path, *, leftwards: bool, seed: int) -> None:
    """Write a video; place, height and speed are drawn from the seed."""
    draw = np.random.default_rng(seed)
    start, height, speed = draw.uniform(0, 1), draw.uniform(0.1, 0.9), draw.uniform(0.4, 0.9)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        stream.codec_context.thread_count = 1
        for number in range(SECONDS * FPS):
            x = (start + (-1 if leftwards else 1) * speed * number / FPS) % 1
            out.mux(stream.encode(av.VideoFrame.from_ndarray(ball(x, height), format="rgb24")))
        out.mux(stream.encode())


def main(folder: Path) -> None:
    """Write the training videos, and one to predict."""
    for name, leftwards in (("left", True), ("right", False)):
        for number in range(10):
            render(folder / name / f"{number:02d}.mp4", leftwards=leftwards, seed=100 * leftwards + number)
    render(folder.parent / "new.mp4", leftwards=True, seed=999)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "my_videos"))
