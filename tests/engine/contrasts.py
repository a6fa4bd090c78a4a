"""What each process does in `test_gradients`: `python contrasts.py OUT.json`, alone or under torchrun."""

import json
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from slowfast_cli.data.loader import training_keys
from slowfast_cli.engine import distributed
from slowfast_cli.engine.fit import StepConfig, fit
from slowfast_cli.engine.optim import make_optimizer
from slowfast_cli.tasks.simclr import SimCLR, gathered
from slowfast_cli.tasks.task import Task
from slowfast_cli.types import Batch, Inputs

CLIPS, STEPS = 16, 4
TASK = Task((SimCLR(temperature=0.5),))


class Network(nn.Module):
    """No norm, an embedding on the sphere."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))

    def forward(self, signals):
        return {"embedding": nn.functional.normalize(self.layers(signals["features"]), dim=1)}


def batches(share, parts):
    """Two clips of each recording: the second is the first, moved."""
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(CLIPS, 5, generator=draw)
    views = {-1: x, -2: x + 0.3 * torch.randn(CLIPS, 5, generator=draw)}
    for keys in training_keys(
        CLIPS, batch=8, micro_batches=parts, epochs=2, first_step=0, seed=2, share=share, crops=2
    ):
        rows = torch.stack([views[key.view][key.segment] for key in keys])
        yield Batch(inputs=Inputs(features=rows), targets={}, ids=tuple(str(key.segment) for key in keys))


def steps(share, parts):
    model = Network()
    optim = make_optimizer(model, "sgd", lr=0.5, momentum=0.9, nesterov=False, weight_decay=0.0)
    ready = DistributedDataParallel(model) if share.world > 1 else model
    how = StepConfig(micro_batches=parts, rank=share.rank, contrast=TASK.losses if parts > 1 else None)
    done = list(fit(ready, TASK.loss, batches(share, parts), optim, lambda step: 1.0, range(STEPS), config=how))
    return {
        "losses": [step.loss for step in done],
        "norms": [step.grad_norm for step in done],
        "weights": torch.cat([p.flatten() for p in model.parameters()]).tolist(),
    }


def uneven(share):
    """Three rows here, one there: what everyone gets, and the gradients of a sum in which no row is like another."""
    whole = torch.arange(8.0).reshape(4, 2)
    mine = whole if share.world == 1 else whole[:3] if share.rank == 0 else whole[3:]
    mine = mine.clone().requires_grad_()
    everyone, first = gathered(mine)
    (everyone.square() * torch.tensor([[1.0], [2.0], [3.0], [4.0]])).sum().backward()
    return {"everyone": everyone.tolist(), "first": first, "moved": mine.grad.flatten().tolist()}


def main() -> None:
    share = distributed.join()
    mine = {"at once": steps(share, 1), "in parts": steps(share, 2), **uneven(share)}
    reported = distributed.gather([mine], share)
    distributed.barrier(share)
    if share.rank == 0:
        Path(sys.argv[1]).write_text(json.dumps(reported))
    distributed.leave()


if __name__ == "__main__":
    main()
