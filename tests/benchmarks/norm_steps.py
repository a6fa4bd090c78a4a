"""A SimCLR step of the six networks of HARES Table 3 side by side, and their ratios beside the paper's TPU times.

    python tests/benchmarks/norm_steps.py [--batch 128] [--rounds 5] [--precision bf16] [--compile]

The clips are noise made on the device, two of 3 s for each of the batch: 298 frames of 80 bands. Networks take turns in
the same process; a step is forward, loss, backward and Adam. The paper's 32 TPU cores had 128 recordings each. Without
a GPU give a batch of a few: the ratios then are those of a CPU.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import torch

from slowfast_cli.build.schedule import DTYPES
from slowfast_cli.build.task import build_task
from slowfast_cli.recipe.load import read
from slowfast_cli.stages.ablate import rows
from slowfast_cli.stages.train import state
from slowfast_cli.types import Batch, Inputs

GIB = 1 << 30


def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, task, batch: Batch, dtype: torch.dtype) -> None:
    optimizer.zero_grad(set_to_none=True)
    device = batch.inputs.logmel.device
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        losses = task.loss(model, batch)
    torch.stack(list(losses.values())).sum().backward()
    optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--batch", type=int, default=128 if torch.cuda.is_available() else 2)
    asked.add_argument("--rounds", type=int, default=5)
    asked.add_argument("--precision", choices=DTYPES, default="bf16" if torch.cuda.is_available() else "fp32")
    asked.add_argument("--compile", action="store_true")
    given = asked.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    logmel = torch.randn(2 * given.batch, 1, 298, 80, device=device)
    ids = tuple(str(number) for number in range(given.batch)) * 2
    batch = Batch(inputs=Inputs(logmel=logmel), targets={}, ids=ids)
    sides, times = {}, {}
    for name, (row, recipe) in rows(read("hares"), "3").items():
        torch.manual_seed(0)
        model = state.recognizer(recipe, {}).to(device).train()
        if device.type == "cuda":
            model = model.to(memory_format=torch.channels_last)
        optimizer = state.optimizer(recipe, model)
        run = torch.compile(model) if given.compile else model
        sides[name] = (row, run, optimizer, build_task(recipe, ()))
        times[name] = []
        for _ in range(3):
            step(run, optimizer, sides[name][3], batch, DTYPES[given.precision])
    for _ in range(given.rounds):
        for name, (_, model, optimizer, task) in sides.items():
            began = time.perf_counter()
            step(model, optimizer, task, batch, DTYPES[given.precision])
            times[name].append(time.perf_counter() - began)
    where = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{where}, {given.batch} recordings a step, {given.precision}, {'compiled' if given.compile else 'eager'}")
    first = next(iter(sides))
    base, printed = median(times[first]), sides[first][0].published["step_ms"]
    for name, (row, *_) in sides.items():
        ours, theirs = median(times[name]), row.published["step_ms"]
        print(
            f"{name:22} {1000 * ours:9.1f} ms  {ours / base:5.2f}x   paper {theirs:6.1f} ms  {theirs / printed:5.2f}x"
        )
    if device.type == "cuda":
        print(f"peak memory {torch.cuda.max_memory_allocated(device) / GIB:.1f} GiB, all six networks held")


if __name__ == "__main__":
    main()
