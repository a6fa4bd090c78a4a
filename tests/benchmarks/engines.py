"""`slowfast predict` with each inference engine beside PyTorch, in turn in one process, on free cores and on busy ones.

    python tests/benchmarks/engines.py [--case NAME]... [--divisor N] [--rounds N] [--sounds FOLDER]

Cases: the bundled model and Auditory SlowFast R50 and CNN14 (random weights) on sounds; SlowFast 8x8 R50 (random
weights) on ten-second videos, ten views each. Programs are converted before the clock starts. "Busy": beside two
processes that spin.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import soundfile as sf
import torch

from slowfast_cli.media import audio
from slowfast_cli.models.baselines.zoo import BASELINES
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.stages.bench import timing
from slowfast_cli.stages.predict.predictor import Predictor
from slowfast_cli.types import MEDIA_SUFFIXES, Recording, Settings
from slowfast_cli.weights.file import DEFAULT, Card, save

ASSETS = Path(__file__).parents[1] / "assets"
FILES, RATE, SECONDS = 200, 44100, 5
KINDS = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}
SIDES = (("torch", "fp32"), ("onnx", "fp32"), ("openvino", "fp32"), ("torch", "bf16"), ("openvino", "bf16"))
VIDEO = {"frames": 32, "step": 2, "fps": 30.0, "crop": 224, "jitter": [256, 320], "side": 224}


def fill(folder: Path) -> list[Path]:
    """Write clips of 5 s at 44.1 kHz, cut out of the recordings in tests/assets, in four formats in turn."""
    sounds = [
        np.tile(audio.read(Recording(id=name, path=ASSETS / name), rate=RATE), 3)
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


def random_weights(folder: Path, name: str) -> Path:
    """Weights of a published network as they are initialized."""
    net = VARIANTS.get(name) or BASELINES[name]
    torch.manual_seed(0)
    if "frames" in net.signals:
        card = Card(net=net, classes=_classes(400), front_end={}, clip_seconds=64 / 30, views=10, video=VIDEO)
    elif name == "asf-r50":
        front_end: Settings = {"rate": 24000, "window_ms": 10.0, "hop_ms": 5.0, "mels": 128, "fft": 2048, "floor": 1e-6}
        card = Card(net=net, classes=_classes(97), front_end=front_end, clip_seconds=1.999, views=2)
    else:
        front_end = {"rate": 16000, "window_ms": 32.0, "hop_ms": 10.0, "mels": 64, "fft": 512, "floor": 1e-6}
        card = Card(net=net, classes=_classes(527), front_end=front_end, clip_seconds=10.0, views=1)
    path = folder / f"{name}.safetensors"
    save(path, card.model().state_dict(), card)
    return path


def _classes(count: int) -> dict[str, tuple[str, ...]]:
    return {"label": tuple(map(str, range(count)))}


def videos(folder: Path, count: int) -> list[Path]:
    """Ten-second videos of 30 frames a second, 340 x 256, H.264, of moving noise."""
    import av

    draw, paths = np.random.default_rng(0), []
    for number in range(count):
        paths.append(folder / f"{number:02}.mp4")
        picture = draw.integers(0, 255, (64, 128, 3), np.uint8).repeat(4, 0).repeat(4, 1)
        with av.open(str(paths[-1]), "w") as container:
            stream = container.add_stream("h264", rate=30)
            stream.width, stream.height, stream.pix_fmt = 340, 256, "yuv420p"
            for frame in range(300):
                pixels = np.ascontiguousarray(np.roll(picture, frame * 2, 1)[:, :340])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
            container.mux(stream.encode())
    return paths


def compare(title: str, weights: Path, paths: Sequence[Path], rounds: int, *, busy: bool) -> None:
    """Print the median time of each engine, and how many times as fast as PyTorch in float32 it is.

    The core time, of all threads of the process, is the fairer ratio where other programs run too.
    """
    predictors = {}
    for engine, precision in SIDES:
        predictors[engine, precision] = Predictor(weights, "cpu", engine=engine, precision=precision)
        list(predictors[engine, precision].files(paths[:2]))  # converts, and fills caches
    times: dict[tuple[str, str], list[tuple[float, float]]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side, predictor in predictors.items():
            began = time.perf_counter(), time.process_time()
            list(predictor.files(paths))
            times[side].append((time.perf_counter() - began[0], time.process_time() - began[1]))
    for (engine, precision), spent in times.items():
        wall, core = (
            median(theirs[kind] / ours[kind] for theirs, ours in zip(times[SIDES[0]], spent, strict=True))
            for kind in (0, 1)
        )
        where, took = "busy" if busy else "free", median(both[0] for both in spent)
        print(f"| {title} | {where} | {engine} {precision} | {took:.2f} s | {wall:.2f} | {core:.2f} |", flush=True)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", action="append", choices=["bundled", "asf-r50", "panns-cnn14", "slowfast-8x8-r50"])
    parser.add_argument("--divisor", type=int, default=1, help="Use fewer clips.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sounds", type=Path, help="Sounds of 5 s; by default cut out of tests/assets.")
    parser.add_argument("--where", choices=["free", "busy", "both"], default="both")
    given = parser.parse_args()
    cases = given.case or ["bundled", "asf-r50", "panns-cnn14", "slowfast-8x8-r50"]
    print(f"{timing.machine()}\n")
    print("| model and files | cores | engine | time | times as fast | in core time |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = sorted(given.sounds.rglob("*")) if given.sounds else fill(folder)
        sounds = [path for path in files if path.suffix.lower() in MEDIA_SUFFIXES]
        for where in ("free", "busy") if given.where == "both" else (given.where,):
            spin = [sys.executable, "-c", "while True: pass"]
            spinning = [subprocess.Popen(spin) for _ in range(2 * (where == "busy"))]
            try:
                for case in cases:
                    weights = DEFAULT if case == "bundled" else random_weights(folder, case)
                    if case == "slowfast-8x8-r50":
                        paths = videos(folder, 20 // given.divisor)
                    else:
                        paths = sounds[: (400 if case == "bundled" else 200) // given.divisor]
                    compare(f"{case}, {len(paths)} files", weights, paths, given.rounds, busy=where == "busy")
            finally:
                for process in spinning:
                    process.kill()


if __name__ == "__main__":
    main()
