"""The package's training of a recipe in float64 on drawn batches: `torchrun parity_engine.py OUT.json`.

Losses, optimizer, schedule, frozen norms, checkpoints, accumulation and processes are those of a run; only the batches
are given, as float64 log-mels, and dropout is off, so that `parity_twin` can take the same steps.
"""

import functools
import json
import sys
from pathlib import Path

import torch
from parity_twin import Twin

from slowfast_cli.build.network import build_recognizer
from slowfast_cli.build.schedule import build_optimizer, micro_batches
from slowfast_cli.engine import checkpoint, distributed
from slowfast_cli.recipe.load import load
from slowfast_cli.stages.train import loop
from slowfast_cli.stages.train.state import Training
from slowfast_cli.types import Batch, Corpus, Inputs, Share

STEPS, EPOCH, BATCH = 20, 5, 8
SIZES = {"epic": {"verb": 5, "noun": 7}, "vggsound": {"label": 6}}
WORDS = [
    "model.variant=asf-small", "model.width=16", "model.dropout=0", "optim.batch=8", "optim.lr=0.02",
    "optim.weight_decay=0.01", "schedule.epochs=4", "schedule.drop_at=[2,3]", "schedule.warmup_epochs=1",
    "schedule.warmup_from=0.1",
]  # fmt: skip


def drawn(name: str, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The batch of a step: log-mels and classes."""
    draw = torch.Generator().manual_seed(step)
    logmel = torch.randn(BATCH, 1, 32, 16, generator=draw, dtype=torch.float64)
    sizes = SIZES[name].items()
    return logmel, {labels: torch.randint(size, (BATCH,), generator=draw) for labels, size in sizes}


def in_parts(name: str, step: int, count: int) -> list[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
    logmel, targets = drawn(name, step)
    split = {labels: target.chunk(count) for labels, target in targets.items()}
    return [(part, {labels: split[labels][n] for labels in split}) for n, part in enumerate(logmel.chunk(count))]


@functools.cache
def start(name: str) -> dict[str, torch.Tensor]:
    """Weights and statistics with which every branch and norm matters: as built, norms are ones and zeros."""
    torch.manual_seed(0)
    model = build_recognizer(load(name, WORDS), SIZES[name]).double()
    draw = torch.Generator().manual_seed(1)
    for key, value in model.state_dict().items():
        if "norm" in key and value.is_floating_point():
            low = 0.0 if key.endswith(("bias", "mean")) else 0.5
            value.copy_(low + 0.5 * torch.rand(value.shape, generator=draw, dtype=torch.float64))
    return model.state_dict()


def training(name: str, *words: str, share: Share | None = None) -> Training:
    recipe, sizes = load(name, [*WORDS, *words]), SIZES[name]
    model = build_recognizer(recipe, sizes).double()
    model.load_state_dict(start(name))
    classes = {labels: tuple(map(str, range(size))) for labels, size in sizes.items()}
    corpus = Corpus(name=name, split="train", segments=(), classes=classes)
    return Training(
        recipe=recipe, share=share or Share(), device=torch.device("cpu"), model=model, ema=None,
        optimizer=build_optimizer(recipe, model), scaler=torch.amp.GradScaler("cpu", enabled=False), train=corpus,
        val=corpus, train_clips=None, val_clips=None, metric="top1", init=None,
    )  # fmt: skip


def losses(running: Training, name: str, steps: range) -> list[float]:
    """Take some steps of a run; this process's part of each batch is read in its micro-batches."""
    share, micro = running.share, micro_batches(running.recipe, running.share.world)

    def batches(_: Training, steps: range) -> object:
        for step in steps:
            parts = in_parts(name, step, share.world * micro)
            for logmel, targets in parts[share.rank * micro : (share.rank + 1) * micro]:
                yield Batch(inputs=Inputs(logmel=logmel), targets=targets, ids=("",) * len(logmel))

    kept, loop.training_batches = loop.training_batches, batches
    try:
        return [step.loss for step in loop._steps(running, steps, EPOCH)]
    finally:
        loop.training_batches = kept


def resumed(name: str, at: int, path: Path) -> list[float]:
    """The same run, stopped after a step, and resumed from its checkpoint by new objects."""
    first = training(name)
    before = losses(first, name, range(at))
    checkpoint.save_state(path, first.state(at))
    second = training(name, "seed=1")
    with torch.no_grad():
        for value in second.model.parameters():
            value.zero_()
    done = second.restore(checkpoint.load_state(path), path)
    return before + losses(second, name, range(done, STEPS))


def twin(name: str, parts: int = 1, frozen: str = "", **changes: object) -> list[float]:
    """The losses of the twin, with the settings that the recipe is to have."""
    settings = {
        "lr": 0.02 * 8 / 32, "momentum": 0.9, "decay": 0.01, "epoch_steps": EPOCH, "drops": (2, 3), "warmup": 1,
        "weights": {"verb": 0.5, "noun": 0.5} if name == "epic" else {},
        "frozen": frozen or ("all-but-first" if name == "epic" else "none"), "warmup_from": 0.1, **changes,
    }  # fmt: skip
    run = Twin(state=start(name), **settings)
    return [run.step(in_parts(name, step, parts)) for step in range(STEPS)]


def main() -> None:
    share = distributed.join()
    mine = {
        frozen: losses(training("epic", f"model.freeze_bn={frozen}", share=share), "epic", range(STEPS))
        for frozen in ("all", "all-but-first")
    }
    reported = distributed.gather([mine], share)
    distributed.barrier(share)
    if share.rank == 0:
        Path(sys.argv[1]).write_text(json.dumps(reported))
    distributed.leave()


if __name__ == "__main__":
    main()
