"""A training step of AVSlowFast 8x8 R50, compiled in bfloat16 against eager in float32: clips a second, and memory.

    python tests/benchmarks/av_step.py [--batch 16] [--rounds 5] [--steps 10]

The clips are noise made on the device: 32 frames of 224 x 224, 128 x 80 of their sound and as much that does not
belong, for the three comparisons of the synchronisation; DropPathway leaves the sound out of 8 steps in 10. The one
side is float32 as PyTorch has it by default (convolutions may use TF32). The other is what `optim.precision=bf16
optim.compile=true` trains with: autocast, channels_last_3d, torch.compile. Sides take turns in the same process.

Without a GPU a narrowed network shows that it runs, traced but not compiled to machine code, which takes minutes: what
it prints then is no claim about speed.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from torch import nn

from slowfast_cli.build.task import build_task
from slowfast_cli.recipe.load import load
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages.train import state
from slowfast_cli.types import Batch, Inputs

WARM_UP, CLASSES, MIB = 4, 400, 1 << 20
# 4 slow frames: of 2 under a kernel of 3, torch 2.13 has garbage for the gradient of weights in bfloat16 on CPUs.
SMALL = ["model.width=8", "video.frames=16", "video.step=4", "video.crop=64", "video.jitter=[64,72]", "video.side=64"]


@dataclass(kw_only=True)
class Side:
    """A way to train: its own network and optimiser on the device.

    Attributes:
        name: What it is.
        dtype: Of autocast; float32 does without.
        memory: Bytes that its weights and optimiser hold between steps.
    """

    name: str
    dtype: torch.dtype
    model: nn.Module
    optimizer: torch.optim.Optimizer
    memory: int = 0


def allocated(device: torch.device) -> int:
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def made(recipe: Recipe, name: str, device: torch.device, batch: Batch) -> Side:
    """A side, warm: compiled for sound that is heard and left out, its momentum there."""
    before = allocated(device)
    fast = name != "fp32 eager"
    torch.manual_seed(0)
    model: nn.Module = state.recognizer(recipe, {"label": CLASSES}).to(device).train()
    optimizer = state.optimizer(recipe, model)
    if fast and device.type == "cuda":
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        model = model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    if fast:
        model = torch.compile(model, backend="inductor" if device.type == "cuda" else "aot_eager")  # type: ignore[assignment]
    side = Side(name=name, dtype=torch.bfloat16 if fast else torch.float32, model=model, optimizer=optimizer)
    for step in range(WARM_UP):
        train(side, recipe, batch, heard=bool(step % 2))
    side.memory = allocated(device) - before
    return side


def noise(recipe: Recipe, clips: int, device: torch.device) -> Batch:
    """Clips of noise, a second sound behind the first."""
    seen = recipe.video
    if seen is None:
        raise ValueError("a recipe without frames")
    torch.manual_seed(0)
    signals = {
        "frames": torch.randn(clips, 3, seen.frames, seen.crop, seen.crop, device=device),
        "logmel": torch.randn(2 * clips, 1, seen.rows, recipe.frontend.mels, device=device),
        "has_audio": torch.ones(clips, device=device),
    }
    targets = {"label": torch.randint(CLASSES, (clips,), device=device)}
    return Batch(inputs=Inputs(**signals), targets=targets, ids=tuple(map(str, range(clips))))


def train(side: Side, recipe: Recipe, batch: Batch, *, heard: bool) -> torch.Tensor:
    """One step; returns the loss, still on the device."""
    if not heard:
        silent = {**batch.signals, "has_audio": torch.zeros_like(batch.inputs.has_audio)}
        batch = Batch(inputs=Inputs(**silent), targets=batch.targets, ids=batch.ids)
    frames = batch.inputs.frames
    with torch.autocast(frames.device.type, side.dtype, enabled=side.dtype != torch.float32):
        losses = build_task(recipe, ["label"]).loss(side.model, batch)
    loss = torch.stack(list(losses.values())).sum()
    loss.backward()
    side.optimizer.step()
    side.optimizer.zero_grad(set_to_none=True)
    return loss.detach()


def rate(side: Side, recipe: Recipe, batch: Batch, steps: int, device: torch.device) -> tuple[float, int]:
    """Clips a second over some steps, and the most bytes on the device that this side needed for them."""
    rest = allocated(device) - side.memory
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        torch.cuda.synchronize(device)
    draw, began = np.random.default_rng(0), time.perf_counter()
    for _ in range(steps):
        loss = train(side, recipe, batch, heard=draw.random() >= recipe.model.drop_pathway)
    value = float(loss)  # waits for the device
    spent = time.perf_counter() - began
    if not np.isfinite(value):
        raise FloatingPointError(f"{side.name}: the loss is {value}")
    peak = torch.cuda.max_memory_allocated(device) - rest if device.type == "cuda" else 0
    return steps * len(batch) / spent, peak


def main() -> None:
    """Print both sides and their ratio."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--batch", type=int, help="clips in a step: 16 on a GPU, 2 without")
    words.add_argument("--rounds", type=int, help="times that sides take turns: 5 on a GPU, 2 without")
    words.add_argument("--steps", type=int, help="in a turn: 10 on a GPU, 2 without")
    given = words.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cuda = device.type == "cuda"
    clips, rounds, steps = given.batch or (16 if cuda else 2), given.rounds or (5 if cuda else 2), given.steps or 0
    steps = steps or (10 if cuda else 2)
    small = [] if cuda else SMALL
    recipe = load("kinetics-av", ["model.variant=avslowfast-8x8-r50", "~optim.bn_batch_size", "optim.lr=1e-4", *small])
    batch = noise(recipe, clips, device)
    where = torch.cuda.get_device_name(device) if cuda else "CPU, narrowed network: it runs; the figures are no claim"
    print(f"AVSlowFast 8x8 R50 with synchronisation, {clips} clips a step, torch {torch.__version__}, {where}")
    sides = [made(recipe, name, device, batch) for name in ("fp32 eager", "bf16 compiled")]
    found = [[rate(side, recipe, batch, steps, device) for side in sides] for _ in range(rounds)]
    for index, side in enumerate(sides):
        peak = max(turn[index][1] for turn in found) / MIB
        speed = median(turn[index][0] for turn in found)
        print(f"  {side.name:15}{speed:9.1f} clips/s{f'{peak:11.0f} MiB at most' if cuda else ''}")
    ratio = median(turn[1][0] / turn[0][0] for turn in found)
    print(f"  compiled in bf16 is {ratio:.2f}x as fast")


if __name__ == "__main__":
    main()
