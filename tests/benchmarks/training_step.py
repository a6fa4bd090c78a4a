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
from dataclasses import dataclass
from statistics import median

import machine
import torch
from torch import nn

from slowfast_cli.engine.fit import How, fit
from slowfast_cli.features.augment import Augment
from slowfast_cli.features.logmel import FrontEnd, LogMel
from slowfast_cli.models import count
from slowfast_cli.recipe.load import load
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages import assemble, inspect, training
from slowfast_cli.types import Batch

SIDES = {
    "fp32 eager NCHW": {},
    "bf16 eager channels-last": {"dtype": torch.bfloat16, "last": True},
    "bf16 compiled": {"dtype": torch.bfloat16, "last": True, "compiled": True},
    "bf16 compiled, graphs": {"dtype": torch.bfloat16, "last": True, "compiled": True, "graphs": True},
}
SMALL = ["model.width=8", "augment.warp=0"]


@dataclass(kw_only=True)
class Side:
    """A way to train: a network, an optimiser, and how a step is taken."""

    model: nn.Module
    run: nn.Module
    optimizer: torch.optim.Optimizer
    dtype: torch.dtype


def made(recipe: Recipe, heads: dict[str, int], *, dtype=torch.float32, last=False, compiled=False, graphs=False):
    torch.manual_seed(0)
    model = training.recogniser(recipe, heads).to(machine.DEVICE).train()
    if last and machine.DEVICE.type == "cuda":
        model = model.to(memory_format=torch.channels_last)
    backend = {} if machine.DEVICE.type == "cuda" else {"backend": "aot_eager"}
    run = torch.compile(model, mode="reduce-overhead" if graphs and not backend else None, **backend) if compiled else model
    return Side(model=model, run=run, optimizer=training.optimiser(recipe, model), dtype=dtype)


def steps(side: Side, task, batch: Batch, number: int) -> float:
    """Clips a second of the real loop over some steps."""
    how = How(dtype=side.dtype)
    machine.synchronise()
    began = time.perf_counter()
    for step in fit(side.run, task.loss, itertools.repeat(batch), side.optimizer, lambda done: 1.0, range(number), how=how):
        last = step
    value = last.loss
    spent = time.perf_counter() - began
    if value != value:
        raise FloatingPointError("the loss is NaN")
    return number * len(batch) / spent


def parts(side: Side, task, batch: Batch, rounds: int) -> dict[str, float]:
    """Seconds of forward, backward and optimiser on the device, and what launching them takes the host."""
    found: dict[str, list[float]] = {"forward": [], "backward": [], "optimiser": [], "launching": []}
    for _ in range(rounds):
        marks = [time.perf_counter()]

        def mark(marks=marks):
            machine.synchronise()
            marks.append(time.perf_counter())

        side.optimizer.zero_grad(set_to_none=True)
        mark()
        with torch.autocast(machine.DEVICE.type, side.dtype, enabled=side.dtype != torch.float32):
            loss = torch.stack(list(task.loss(side.run, batch).values())).sum()
        mark()
        loss.backward()
        mark()
        nn.utils.get_total_norm([each.grad for each in side.model.parameters() if each.grad is not None])
        side.optimizer.step()
        mark()
        for name, first, second in zip(("forward", "backward", "optimiser"), marks[1:], marks[2:], strict=False):
            found[name].append(second - first)
        began = time.perf_counter()
        side.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(machine.DEVICE.type, side.dtype, enabled=side.dtype != torch.float32):
            torch.stack(list(task.loss(side.run, batch).values())).sum().backward()
        side.optimizer.step()
        found["launching"].append(time.perf_counter() - began)
        machine.synchronise()
    return {name: median(values) for name, values in found.items()}


def before(recipe: Recipe, batch: Batch, front_end: FrontEnd) -> dict[str, machine.Stage]:
    """What is done to a batch on the device before the network: copy, log-mel of samples, augmentation."""
    up, memory = machine.uplink(), machine.bandwidth()
    logmel = batch.signals["logmel"]
    pinned = logmel.half().cpu()
    pinned = pinned.pin_memory() if machine.DEVICE.type == "cuda" else pinned
    samples = torch.randn(len(logmel), (logmel.shape[2] - 1) * front_end.hop + 1, device=machine.DEVICE)
    log_mel = LogMel(front_end).to(machine.DEVICE)
    augment = Augment(**recipe.augment.model_dump(exclude={"mix", "mix_other"}))
    size, doubles = pinned.numel() * 2, machine.rate(torch.float64)
    sums = len(logmel) * logmel.shape[2] * front_end.window * (front_end.fft + 2)
    return {
        "transfer (float16)": machine.Stage(
            took=machine.seconds(lambda: pinned.to(machine.DEVICE, non_blocking=True)), floor=size / up, why="bytes over the link"
        ),
        "log-mel of samples": machine.Stage(
            took=machine.seconds(lambda: log_mel(samples)),
            floor=max(sums / doubles, (samples.numel() + logmel.numel()) * 4 / memory),
            why="DFT in float64 by matrices over the rate of such products",
        ),
        "augment": machine.Stage(took=machine.seconds(lambda: augment(logmel)), floor=8 * logmel.numel() / memory, why="read and write once"),
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
    heads = {} if recipe.task == "simclr" else assemble.heads(recipe)
    batch = inspect._noise(recipe, clips, heads).map(lambda value: value.to(machine.DEVICE))
    task = assemble.task(recipe, heads)
    print(f"{recipe.model.variant}, {len(batch)} clips a step, {machine.name()}")
    chosen = [list(SIDES)[int(index)] for index in given.sides.split(",")]
    sides = {}
    for name in chosen:
        began = time.perf_counter()
        sides[name] = made(recipe, heads, **SIDES[name])
        steps(sides[name], task, batch, 4)
        print(f"  {name}: ready after {time.perf_counter() - began:.0f} s", flush=True)
    if not given.rounds:
        return
    with torch.device("meta"):
        model = training.recogniser(recipe, heads)
        model.objective = None
        adds = count.gflops(model, {k: v.to("meta")[:1] for k, v in batch.signals.items()}) * 1e9 * len(batch)
    rates = {torch.bfloat16: machine.rate(torch.bfloat16), torch.float32: machine.rate(torch.float32)}
    parameters = count.parameters(sides[chosen[0]].model)
    memory = machine.bandwidth()
    turns = [{name: steps(side, task, batch, number) for name, side in sides.items()} for _ in range(given.rounds)]
    found = {}
    for name, side in sides.items():
        split = parts(side, task, batch, 5)
        launching = split.pop("launching")
        peak = rates[side.dtype]
        floors = {"forward": adds / peak, "backward": 2 * adds / peak, "optimiser": 20 * parameters / memory}
        why = {"forward": "multiply-adds over a matrix product's rate", "backward": "twice that", "optimiser": "20 bytes a parameter"}
        machine.show(name, {part: machine.Stage(took=split[part], floor=floors[part], why=why[part]) for part in split})
        speed, ratio = median(turn[name] for turn in turns), median(turn[name] / turn[chosen[0]] for turn in turns)
        print(f"  {speed:.0f} clips/s, {ratio:.2f}x the first side; launching takes the host {launching * 1e3:.1f} ms")
        found[name] = {"clips_per_second": speed, "ratio": ratio, "launching": launching, **split}
    if "logmel" in batch.signals:
        machine.show("before the network", before(recipe, batch, assemble.front_end(recipe)))
    print(f"limits: bf16 {2 * rates[torch.bfloat16] / 1e12:.0f} TFLOP/s, fp32 {2 * rates[torch.float32] / 1e12:.0f}, copies {memory / 1e12:.2f} TB/s")
    if given.json:
        with open(given.json, "w") as file:
            json.dump({"machine": machine.name(), "batch": len(batch), "sides": found}, file)


if __name__ == "__main__":
    main()
