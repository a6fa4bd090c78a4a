"""A training step in the ways there are to take it: its stages, the floors of the machine, and clips a second.

    python tests/benchmarks/training_step.py [--recipe vggsound] [--batch 32] [--rounds 5] [--steps 20] [--sides ...]

The peer is the reference's setting: float32 as PyTorch has it by default (its convolutions may use TF32), contiguous
maps, nothing compiled. All sides take turns in one process, through the real training loop, on clips made on the
device. `--recipe hares` is SimCLR with SF-NFNet-F0: its batch counts recordings, two clips of each.

Without a GPU a narrowed network shows that it runs: what it prints then is no claim about speed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from statistics import median

import machine
import torch
from torch import nn

from slowfast_cli.build.corpus import head_sizes
from slowfast_cli.build.task import build_task
from slowfast_cli.engine.fit import StepConfig, fit
from slowfast_cli.features.augment import augment_logmel
from slowfast_cli.features.logmel import LogMel
from slowfast_cli.models import count
from slowfast_cli.recipe.load import load
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.settings import FrontEnd
from slowfast_cli.stages.train import dry_run, state
from slowfast_cli.tasks.simclr import POSITIVE, positives
from slowfast_cli.types import Batch

SIDES = {
    "fp32 eager NCHW": {},
    "bf16 channels-last": {"dtype": torch.bfloat16, "last": True},
    "bf16 channels-last, graphs": {"dtype": torch.bfloat16, "last": True, "graphs": True},
    "bf16 compiled": {"dtype": torch.bfloat16, "last": True, "compiled": True},
    "bf16 compiled, graphs": {"dtype": torch.bfloat16, "last": True, "compiled": True, "graphs": True},
    "fp32 graphs": {"graphs": True},
}
SMALL = ["model.width=8", "augment.warp=0"]


@dataclass(kw_only=True)
class Side:
    """A way to train: a network, an optimiser, how a step is taken, and the host's time to launch one."""

    model: nn.Module
    run: nn.Module
    optimizer: torch.optim.Optimizer
    how: StepConfig


def made(recipe: Recipe, heads: dict[str, int], *, dtype=torch.float32, last=False, compiled=False, graphs=False):
    torch.manual_seed(0)
    cuda = machine.DEVICE.type == "cuda"
    model = state.recognizer(recipe, heads).to(machine.DEVICE).train()
    if last and cuda:
        state.channels_last(model)
    run = torch.compile(model, backend="inductor" if cuda else "aot_eager", dynamic=False) if compiled else model
    optimizer = state.optimizer(recipe, model)
    return Side(model=model, run=run, optimizer=optimizer, config=StepConfig(dtype=dtype, cuda_graphs=graphs and cuda))


class Turn:
    """Continue the training loop of one side."""

    def __init__(self, side: Side, task, batch: Batch) -> None:
        batches, self.clips = itertools.repeat(batch), len(batch)
        steps = range(10**9)
        self._loop = fit(side.run, task.loss, batches, side.optimizer, lambda done: 1.0, steps, config=side.how)

    def speed(self, number: int) -> float:
        """Clips a second over some steps."""
        machine.synchronise()
        began = time.perf_counter()
        for step in itertools.islice(self._loop, number):
            last = step
        if not isfinite(last.loss):
            raise FloatingPointError("the loss is not finite")
        return number * self.clips / (time.perf_counter() - began)

    def launching(self) -> float:
        """Seconds that the host needs for a step, when the device has nothing else to do."""
        found = []
        for _ in range(5):
            machine.synchronise()
            began = time.perf_counter()
            next(self._loop)
            found.append(time.perf_counter() - began)
        return median(found)


def parts(side: Side, task, batch: Batch, rounds: int) -> dict[str, float]:
    """Seconds of forward, backward and optimiser, one launch at a time, each waited for."""
    found: dict[str, list[float]] = {"forward": [], "backward": [], "optimiser": []}

    def timed(part: str, work):
        machine.synchronise()
        began = time.perf_counter()
        value = work()
        machine.synchronise()
        found[part].append(time.perf_counter() - began)
        return value

    def forward():
        with torch.autocast(machine.DEVICE.type, side.how.dtype, enabled=side.how.dtype != torch.float32):
            return torch.stack(list(task.loss(side.run, batch).values())).sum()

    for _ in range(rounds):
        side.optimizer.zero_grad(set_to_none=True)
        loss = timed("forward", forward)
        timed("backward", loss.backward)
        timed("optimiser", side.optimizer.step)
    return {name: median(values) for name, values in found.items()}


def before(recipe: Recipe, batch: Batch, front_end: FrontEnd) -> dict[str, machine.Stage]:
    """What is done to a batch on the device before the network: copy, log-mel of samples, augmentation."""
    up, memory = machine.uplink(), machine.bandwidth()
    logmel = batch.inputs.logmel
    pinned = logmel.half().cpu()
    pinned = pinned.pin_memory() if machine.DEVICE.type == "cuda" else pinned
    samples = torch.randn(len(logmel), (logmel.shape[2] - 1) * front_end.hop + 1, device=machine.DEVICE)
    log_mel = LogMel(front_end).to(machine.DEVICE)
    augment = recipe.augment
    size, doubles = pinned.numel() * 2, machine.rate(torch.float64)
    sums = len(logmel) * logmel.shape[2] * front_end.window * (front_end.fft + 2)
    return {
        "transfer (float16)": machine.Stage(
            took=machine.seconds(lambda: pinned.to(machine.DEVICE, non_blocking=True)),
            floor=size / up,
            why="bytes over the link",
        ),
        "log-mel of samples": machine.Stage(
            took=machine.seconds(lambda: log_mel(samples)),
            floor=max(sums / doubles, (samples.numel() + logmel.numel()) * 4 / memory),
            why="DFT in float64 by matrices over the rate of such products",
        ),
        "augment": machine.Stage(
            took=machine.seconds(lambda: augment_logmel(logmel, augment)),
            floor=8 * logmel.numel() / memory,
            why="read and write once",
        ),
    }


def main() -> None:
    """Print the stages and the ratios."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--recipe", default="vggsound")
    words.add_argument("--batch", type=int, help="clips in a step: 32 on a GPU, 2 without")
    words.add_argument("--rounds", type=int, default=5, help="times that sides take turns; 0 only compiles")
    words.add_argument("--steps", type=int, help="in a turn: 30 on a GPU, 2 without")
    words.add_argument("--sides", default=",".join(map(str, range(len(SIDES)))), help="numbers of them")
    words.add_argument("--json", help="write the figures here")
    given = words.parse_args()
    cuda = machine.DEVICE.type == "cuda"
    clips, number = given.batch or (32 if cuda else 2), given.steps or (30 if cuda else 2)
    recipe = load(given.recipe, [f"optim.batch={clips}", *([] if cuda else SMALL)])
    heads = {} if recipe.task == "simclr" else head_sizes(recipe)
    batch = dry_run._noise(recipe, clips, heads).map(lambda value: value.to(machine.DEVICE))
    if recipe.task == "simclr":
        batch = replace(batch, targets={POSITIVE: torch.tensor(positives(batch.ids), device=machine.DEVICE)})
    task = build_task(recipe, heads)
    print(f"{recipe.model.variant}, {len(batch)} clips a step, {machine.name()}")
    chosen = [list(SIDES)[int(index)] for index in given.sides.split(",")]
    sides, turns = {}, {}
    for name in chosen:
        began = time.perf_counter()
        sides[name] = made(recipe, heads, **SIDES[name])
        turns[name] = Turn(sides[name], task, batch)
        turns[name].speed(6)
        print(f"  {name}: ready after {time.perf_counter() - began:.0f} s", flush=True)
    if given.rounds:
        found = compare(recipe, heads, batch, task, sides, turns, given.rounds, number)
        if given.json:
            text = json.dumps({"machine": machine.name(), "batch": len(batch), "sides": found})
            Path(given.json).write_text(text)


def compare(recipe: Recipe, heads, batch: Batch, task, sides, turns, rounds: int, number: int) -> dict[str, object]:
    """Print each side's stages and speed."""
    with torch.device("meta"):
        model = state.recognizer(recipe, heads)
        model.objective = None
        adds = count.gflops(model, {k: v.to("meta")[:1] for k, v in batch.signals.items()}) * 1e9 * len(batch)
    rates = {torch.bfloat16: machine.rate(torch.bfloat16), torch.float32: machine.rate(torch.float32)}
    first, memory = next(iter(sides)), machine.bandwidth()
    parameters = count.parameters(sides[first].model)
    speeds = [{name: turn.speed(number) for name, turn in turns.items()} for _ in range(rounds)]
    found: dict[str, object] = {}
    for name, side in sides.items():
        peak, launching = rates[side.how.dtype], turns[name].launching()
        floors = {"forward": adds / peak, "backward": 2 * adds / peak, "optimiser": 20 * parameters / memory}
        why = {"forward": "multiply-adds over a matrix product's rate", "backward": "twice that"}
        why["optimiser"] = "20 bytes a parameter"
        speed, ratio = median(each[name] for each in speeds), median(each[name] / each[first] for each in speeds)
        print(f"{name}: {speed:.0f} clips/s, {ratio:.2f}x the first side; {len(batch) / speed * 1e3:.2f} ms a step,")
        print(f"  of which the host works {launching * 1e3:.2f} ms; least for the device {3e3 * adds / peak:.2f} ms")
        found[name] = {"clips_per_second": speed, "ratio": ratio, "launching": launching}
        if not side.how.graphs:
            split = parts(side, task, batch, 5)
            stages = {part: machine.Stage(took=split[part], floor=floors[part], why=why[part]) for part in split}
            machine.show("  launched one by one", stages)
            found[name] |= split
    if "logmel" in batch.signals:
        machine.show("before the network", before(recipe, batch, recipe.frontend))
    print(f"limits: bf16 {2 * rates[torch.bfloat16] / 1e12:.1f} TFLOP/s, fp32 {2 * rates[torch.float32] / 1e12:.1f}, ")
    print(f"  copies {memory / 1e12:.2f} TB/s")
    return found


if __name__ == "__main__":
    main()
