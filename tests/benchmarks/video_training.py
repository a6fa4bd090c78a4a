"""Training clips of frames and sound as the loader gives them: how many a second, and whether memory stays where it is.

    python tests/benchmarks/video_training.py

The corpus is made for it: 60 videos of 10 s, 340 x 256, 30 frames a second, H.264 with a keyframe each 250 frames, AAC.
A clip is that of AVSlowFast on Kinetics: 32 frames over 2.1 s, and the log-mel of its sound and of another stretch. The
other side decodes every frame of the file and turns the same 32 into RGB; its sound is read as ours. Sides take turns.
Nothing is trained. Memory is that of the processes over three epochs; after the first tenth it should not grow.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import av
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import rendered
from video_reading import FPS, FRAMES, scene

from slowfast_cli.build import transforms
from slowfast_cli.build.clips import build_clips, open_store
from slowfast_cli.build.corpus import read_corpus
from slowfast_cli.data import loader
from slowfast_cli.data.clips import Clips, Key, Piece
from slowfast_cli.data.video_clips import VideoReader
from slowfast_cli.media import video
from slowfast_cli.recipe.load import load
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.types import Batch, Segment, Share

VIDEOS, BATCH, ROUNDS, EPOCHS = 60, 4, 3, 3
CPU = torch.device("cpu")


@dataclass(frozen=True)
class WholeFiles:
    """The reader with its pictures got by decoding the file from its first frame to its last."""

    ours: VideoReader

    def read(self, segment: Segment, key: Key) -> Piece:
        piece = replace(self.ours, pictures=False).read(segment, key)
        settings = self.ours.settings
        moments = piece.start + np.linspace(0, settings.seconds - settings.step / settings.fps, settings.frames)
        wanted = {min(int(moment * FPS), FRAMES - 1): row for row, moment in enumerate(moments)}
        known = video.probe(segment.recording)
        pixels = np.empty((settings.frames, known.height, known.width, 3), np.uint8)
        with av.open(str(segment.recording.path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            for index, frame in enumerate(container.decode(stream)):
                if index in wanted:
                    pixels[wanted[index]] = frame.to_ndarray(format="rgb24", threads=1)
        return replace(piece, signals={**piece.signals, "frames": pixels.transpose(3, 0, 1, 2)})


def make(root: Path) -> None:
    """Write the videos: one scene, begun at another moment and with another tone in each."""
    pictures = scene()
    for number in range(VIDEOS):
        folder = root / ("train" if number < VIDEOS - 2 else "val") / ("even", "odd")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        first = number * 5
        rendered.write(
            folder / f"{number}.mp4", pictures[first:] + pictures[:first], fps=FPS, gop=250, bframes=3,
            options={"crf": "23"}, sound=rendered.tone(FRAMES / FPS, 200 + 40 * number),
        )  # fmt: skip


def keys(count: int, epochs: int) -> Iterator[list[Key]]:
    return loader.training_keys(count, batch=BATCH, micro_batches=1, epochs=epochs, first_step=0, seed=0, share=Share())


def clips_a_second(clips: Clips, recipe: Recipe | None, workers: int) -> float:
    """Of an epoch, from the first request to the last batch; through the transforms where there is a recipe."""
    prepared = transforms.training(recipe, CPU) if recipe else None
    done, began = 0, time.perf_counter()
    for step, batch in enumerate(loader.batches(clips, keys(len(clips), 1), workers=workers, device=CPU)):
        given: Batch = prepared(batch, step, 0.0) if prepared else batch
        done += len(given)
    return done / (time.perf_counter() - began)


def resident(process: int) -> float:
    """MiB of a process in memory."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def children() -> list[int]:
    me = os.getpid()
    return [int(word) for word in Path(f"/proc/{me}/task/{me}/children").read_text().split()]


def memory(clips: Clips, recipe: Recipe, workers: int) -> list[str]:
    """MiB of this process, and of each worker, after a tenth, a half and all of three epochs."""
    steps = len(clips) // BATCH * EPOCHS
    looks = {max(1, steps // 10), steps // 2, steps - 4 * workers - 1}  # workers end with their last batch
    prepared = transforms.training(recipe, CPU)
    reported = []
    for step, batch in enumerate(loader.batches(clips, keys(len(clips), EPOCHS), workers=workers, device=CPU)):
        prepared(batch, step, 0.0)
        if step in looks:
            sizes = [resident(os.getpid()), *(resident(child) for child in children() if workers)]
            reported.append(" + ".join(f"{size:.0f}" for size in sizes if size > 50))
    return reported


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "videos"
        make(root)
        words = ["data.corpus=folder", f"data.root={root}", f"optim.batch={BATCH}", "~optim.bn_batch_size"]
        recipe = load("kinetics-av", words)
        found = read_corpus(recipe, "train")
        ours = build_clips(recipe, found, open_store(recipe))
        whole = Clips(ours.segments, WholeFiles(ours.reader), sizes=ours.sizes)  # type: ignore[arg-type]
        size = sum(segment.recording.path.stat().st_size for segment in found.segments) / len(found.segments)
        print(f"{len(ours)} videos of {size / 1024:.0f} KiB, batches of {BATCH}, torch with one thread; clips a second")
        for segment in found.segments:
            video.probe(segment.recording)  # remembered, as it is after the first epoch
        print(f"{'workers':8}{'read':>10}{'read, transformed':>20}{'whole files':>14}{'ours by':>10}")
        for workers in (0, 2):
            rates = [
                [clips_a_second(*side, workers) for side in ((ours, None), (ours, recipe), (whole, None))]
                for _ in range(ROUNDS)
            ]
            read, made, other = (median(rate[side] for rate in rates) for side in range(3))
            ratio = median(rate[0] / rate[2] for rate in rates)
            print(f"{workers:<8}{read:10.1f}{made:20.1f}{other:14.1f}{ratio:9.2f}x")
        for workers in (0, 2):
            print(f"MiB, main + workers, at 10 %, 50 %, 100 % of {EPOCHS} epochs with {workers} workers: ", end="")
            print("; ".join(memory(ours, recipe, workers)))


if __name__ == "__main__":
    main()
