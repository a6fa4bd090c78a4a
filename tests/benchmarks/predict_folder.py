"""`slowfast predict` on a folder of 200 clips, beside one file at a time through the network as it was trained.

    python tests/benchmarks/predict_folder.py [WEIGHTS]

The folder: 5 s cut out of the recordings in tests/assets, as wav, flac, ogg and mp3 at 44.1 kHz, in this process, in
turn. Stages are timed alone, on one core; the floor is the network's multiply-adds over what a matrix product reaches
on all cores. The other side is one file and one forward pass after the other, with all cores.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import soundfile as sf
import torch

from slowfast_cli.media import audio
from slowfast_cli.models import count
from slowfast_cli.models.folding import fold_batch_norms
from slowfast_cli.settings import FrontEnd
from slowfast_cli.stages.predict.audio import BATCH
from slowfast_cli.stages.predict.file_predictor import file_predictor
from slowfast_cli.stages.predict.predictor import Predictor
from slowfast_cli.types import Recording
from slowfast_cli.weights.file import DEFAULT, build

DATA = Path(__file__).parents[1] / "assets"
FILES, ROUNDS, RATE, SECONDS = 200, 5, 44100, 5
KINDS = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}


def fill(folder: Path) -> list[Path]:
    """Write the clips."""
    sounds = [
        np.tile(audio.read(Recording(id=name, path=DATA / name), rate=RATE), 3)
        for name in ("rain.wav", "rooster.flac", "dog.ogg", "sneeze.mp3")
    ]
    draw = np.random.default_rng(0)
    paths = []
    for number in range(FILES):
        sound, (kind, subtype) = sounds[number % len(sounds)], list(KINDS.items())[number // len(sounds) % len(KINDS)]
        first = int(draw.integers(0, len(sound) - SECONDS * RATE + 1))
        paths.append(folder / f"{number:03}.{kind}")
        sf.write(paths[-1], sound[first : first + SECONDS * RATE], RATE, subtype=subtype)
    return paths


def peak() -> float:
    """Multiply-adds a second of a large float32 matrix product, in billions."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    return 1024**3 / 1e9 / min(clocked(lambda: torch.mm(a, b)) for _ in range(20))


def clocked(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def stages(paths: list[Path], weights: Path) -> dict[str, float]:
    """Seconds of each stage alone on one core, for all files."""
    card, model = build(weights)
    listener, network = file_predictor(weights, card, model, None), fold_batch_norms(model)
    spent = {"open, read, decode, resample": 0.0, "log-mel": 0.0, "network": 0.0}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        for first in range(0, len(paths), BATCH):
            began = time.perf_counter()
            pieces = [piece for path in paths[first : first + BATCH] for piece in listener.read_views(path).pieces]
            read = time.perf_counter()
            signal = listener._score.signal([piece[: listener._clip - 1] for piece in pieces])
            heard = time.perf_counter()
            network({"logmel": signal})
            ended = time.perf_counter()
            for name, seconds in zip(spent, (read - began, heard - read, ended - heard), strict=True):
                spent[name] += seconds
    torch.set_num_threads(threads)
    return spent


def main() -> None:
    """Print the table."""
    weights = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    card, model = build(weights)
    front_end = FrontEnd(**card.front_end)
    threads, predictor, plain = (
        torch.get_num_threads(),
        Predictor(weights, "cpu"),
        file_predictor(weights, card, model, None),
    )
    frames = front_end.frames(round(card.clip_seconds * front_end.rate))
    billions = count.gflops(model, {"logmel": torch.zeros(1, 1, frames, front_end.mels)})
    with tempfile.TemporaryDirectory() as name:
        paths = fill(Path(name))
        sides = {
            "one file at a time": lambda: [plain.predict_files([path]) for path in paths],
            "slowfast predict": lambda: list(predictor.files(paths)),
        }
        times: dict[str, list[float]] = {side: [] for side in sides}
        for work in sides.values():
            work()
        for _ in range(ROUNDS):
            for side, work in sides.items():
                times[side].append(clocked(work))
        alone = stages(paths, weights)
    took = median(times["slowfast predict"])
    floor = billions * FILES / peak()
    print(f"{FILES} clips of {SECONDS} s at {RATE} Hz, a network of {billions:.2f} GFLOPs, {threads} cores")
    for side, spent in times.items():
        print(f"  {side:30} {1e3 * median(spent) / FILES:7.2f} ms a file")
    ratios = [theirs / ours for theirs, ours in zip(*times.values(), strict=True)]
    print(f"  slowfast predict is {median(ratios):.2f}x as fast; {min(ratios):.2f} to {max(ratios):.2f}")
    print(f"  floor: the network's products  {1e3 * floor / FILES:7.2f} ms a file, {floor / took:.0%} of it")
    total = sum(alone.values())
    for stage, seconds in alone.items():
        print(f"  {stage:30} {1e3 * seconds / FILES:7.2f} ms a file on one core, {seconds / total:.0%}")
    print(f"  rest: waiting, one core's stages over {threads} cores: {took - total / threads:+.3f} s of {took:.3f} s")


if __name__ == "__main__":
    main()
