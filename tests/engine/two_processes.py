"""What each process does in `test_distributed`: `python two_processes.py OUT.json`, alone or under torchrun."""

import json
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from slowfast_cli.data.loader import training_keys
from slowfast_cli.engine import distributed
from slowfast_cli.engine.fit import LossNotFiniteError, StepConfig, fit
from slowfast_cli.engine.optim import make_optimizer
from slowfast_cli.types import Batch, Inputs

CLIPS = 16


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))


def loss(model, batch):
    return {"label": nn.functional.cross_entropy(model(batch.inputs.features), batch.targets["label"])}


def batches(share, poison=False):
    draw = torch.Generator().manual_seed(1)
    x, y = torch.randn(CLIPS, 5, generator=draw), torch.randint(3, (CLIPS,), generator=draw)
    if poison:
        x[3] = float("nan")  # in one process's part of the first batch only
    for keys in training_keys(CLIPS, batch=8, micro_batches=2, epochs=3, first_step=0, seed=2, share=share):
        chosen = [key.segment for key in keys]
        yield Batch(inputs=Inputs(features=x[chosen]), targets={"label": y[chosen]}, ids=tuple(map(str, chosen)))


def steps(share, poison=False):
    model = network()
    optim = make_optimizer(model, "sgd", lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0)
    ready = DistributedDataParallel(model) if share.world > 1 else model
    how = StepConfig(micro_batches=2, clip_norm=1.0, rank=share.rank)
    done = list(fit(ready, loss, batches(share, poison), optim, lambda step: 1.0, range(6), config=how))
    return model, done


def main() -> None:
    share = distributed.join()
    model, done = steps(share)
    norm = nn.BatchNorm1d(1)
    norm.running_mean.fill_(share.rank)
    distributed.average_buffers(norm, share)
    try:
        steps(share, poison=True)
        stopped = ""
    except LossNotFiniteError as error:
        stopped = str(error)
    mine = {
        "losses": [step.loss for step in done],
        "norms": [step.grad_norm for step in done],
        "clips": sum(step.clips for step in done),
        "weights": torch.cat([p.flatten() for p in model.parameters()]).tolist(),
        "running_mean": norm.running_mean.item(),
        "stopped": stopped,
    }
    reported = distributed.gather([mine], share)
    distributed.barrier(share)
    if share.rank == 0:
        Path(sys.argv[1]).write_text(json.dumps(reported))
    distributed.leave()


if __name__ == "__main__":
    main()
