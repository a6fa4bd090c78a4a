"""What a recipe would build and cost, without training it."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

import torch

from slowfast_cli.data.views import clip_samples
from slowfast_cli.engine import distributed
from slowfast_cli.engine.optim import optimizer
from slowfast_cli.models import count
from slowfast_cli.models.slowfast import Recogniser
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages import assemble
from slowfast_cli.types import Batch, Seconds, Signals


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a recipe's network is.

    Attributes:
        parameters: Heads included.
        gflops: Multiply-adds of one view, 10^9.
        shape: Of one view's log-mel, (frames, mels).
        heads: Number of classes by label set.
    """

    parameters: int
    gflops: float
    shape: tuple[int, int]
    heads: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training step of one process on made-up clips.

    Attributes:
        clips: In the step.
        loss: By label set.
        seconds: Of the step.
        memory_bytes: At its peak on the device; of the whole process on a CPU.
        device: Where.
    """

    clips: int
    loss: dict[str, float]
    seconds: Seconds
    memory_bytes: int
    device: str


def heads(recipe: Recipe) -> dict[str, int]:
    """Number of classes by label set: known beforehand, or read from the corpus."""
    return dict(assemble.known(recipe.data.corpus).heads) or assemble.sizes(assemble.corpus(recipe, "train"))


def size(recipe: Recipe) -> Size:
    """Build a recipe's network and count it; needs no data for the known corpora."""
    model, shape = _model(recipe)
    return Size(
        parameters=count.parameters(model),
        gflops=count.gflops(model, _silence(1, shape)),
        shape=shape,
        heads=heads(recipe),
    )


def trial(recipe: Recipe, device: str = "auto", processes: int = 1) -> Trial:
    """One forward and backward pass and one optimiser step at the recipe's batch size, on noise."""
    at = distributed.device(device)
    model, shape = _model(recipe)
    model = model.to(at).train()
    plan = recipe.optim
    optim = optimizer(
        model, plan.name, lr=plan.lr, momentum=plan.momentum, nesterov=plan.nesterov, weight_decay=plan.weight_decay
    )
    clips = max(1, plan.batch // plan.accumulate // processes)
    batch = Batch(
        signals={name: torch.randn_like(value).to(at) for name, value in _silence(clips, shape).items()},
        targets={labels: torch.randint(classes, (clips,)).to(at) for labels, classes in heads(recipe).items()},
        ids=tuple(str(i) for i in range(clips)),
    )
    if at.type == "cuda":
        torch.cuda.reset_peak_memory_stats(at)
    for _ in range(2):  # the first one also sets things up
        began = time.perf_counter()
        optim.zero_grad(set_to_none=True)
        with torch.autocast(at.type, assemble.DTYPES[plan.precision], enabled=plan.precision != "fp32"):
            losses = assemble.task(recipe).loss(model, batch)
        torch.stack(list(losses.values())).sum().backward()
        optim.step()
        seen = {labels: float(value.detach()) for labels, value in losses.items()}
        seconds = time.perf_counter() - began
    memory = (
        torch.cuda.max_memory_allocated(at)
        if at.type == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    return Trial(clips=clips, loss=seen, seconds=seconds, memory_bytes=memory, device=str(at))


def _model(recipe: Recipe) -> tuple[Recogniser, tuple[int, int]]:
    front_end = assemble.front_end(recipe)
    frames = front_end.frames(clip_samples(recipe.data.clip_seconds, front_end.rate) - 1)
    model = Recogniser(
        assemble.net(recipe), heads(recipe), dropout=recipe.model.dropout, freeze_norms=recipe.model.freeze_norms
    )
    return model, (frames, front_end.mels)


def _silence(clips: int, shape: tuple[int, int]) -> Signals:
    return {"logmel": torch.zeros(clips, 1, *shape)}
