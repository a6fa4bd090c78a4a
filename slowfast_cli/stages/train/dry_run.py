"""What a recipe would build and cost, without training it."""

from __future__ import annotations

import contextlib
import resource
import time
from dataclasses import dataclass
from typing import Any

import torch

from slowfast_cli.build import assemble
from slowfast_cli.data.views import clip_samples
from slowfast_cli.engine import distributed
from slowfast_cli.features.frames import WHOLE
from slowfast_cli.models import count
from slowfast_cli.models.architecture import Architecture, Baseline
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages.train.state import channels_last, recipe_optimizer, recognizer
from slowfast_cli.types import Batch, Seconds, Signals, UsageError


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a recipe's network is.

    Attributes:
        parameters: Heads included.
        gflops: Multiply-adds of one view, 10^9.
        shapes: Of one view's signals.
        heads: Number of classes by label set.
    """

    parameters: int
    gflops: float
    shapes: dict[str, tuple[int, ...]]
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


def size(recipe: Recipe) -> Size:
    """Build a recipe's network and count it, at the size it is tested at; needs no data for the known corpora."""
    with torch.device("meta"):
        model = recognizer(recipe, assemble.heads(recipe))
        model.objective = None  # it is no part of what is used later
        signals = _silence(recipe, 1, tested=True)
        gflops = count.gflops(model, signals)
    return Size(
        parameters=count.parameters(model),
        gflops=gflops,
        shapes={name: tuple(value.shape[1:]) for name, value in signals.items() if value.ndim > 1},
        heads=assemble.heads(recipe),
    )


def variants() -> dict[str, dict[str, Any]]:
    """Every network: what it reads, parameters with 400 classes, multiply-adds of a view it was made for.

    Views are 32 frames of 256 x 256 (64 of networks with 16 slow ones, 8 of Slow alone), 128 x 80 of the sound with
    them, and 512 x 128 of sound alone; boxes are counted on frames of 256 x 320. Networks of the literature get 3 s:
    300 x 80, or as many bands as they are made for. Where a network needs an extra that is not installed, it is without
    numbers.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, net in assemble.NETWORKS.items():
        found[name] = {"reads": " and ".join(sorted(net.signals)), "params_m": None, "gflops": None}
        with contextlib.suppress(UsageError), torch.device("meta"):
            model = Recognizer(net, {"label": 400}, sync=tuple(net.sync_laterals()))
            gflops = count.gflops(model, _view_of(name, net))
            found[name] |= {"params_m": count.parameters(model) / 1e6, "gflops": gflops}
    return found


def _view_of(name: str, net: Architecture) -> Signals:
    if isinstance(net, Baseline):
        shape = (1, 3 * net.rate) if net.rate else (1, 1, net.frames or 300, net.bands or 80)
        return {net.reads: torch.zeros(shape)}
    long = "16x8" in name
    frames = 64 if long else 8 if set(net.pathways) == {"slow"} else 32
    seconds = "frames" in net.signals or any(path.stem == "split" for path in net.pathways.values())
    rows = (256 if long else 128, 80) if seconds else (512, 128)
    signals = {"frames": torch.zeros(1, 3, frames, 256, 256 if net.regions == "none" else 320)}
    signals["logmel"] = torch.zeros(1, 1, *rows)
    return {key: signals[key] for key in net.signals}


def trial(recipe: Recipe, device: str = "auto", processes: int = 1) -> Trial:
    """One forward and backward pass and one optimiser step of a part of the recipe's batch, on noise."""
    at = distributed.device(device)
    heads, plan = assemble.heads(recipe), recipe.optim
    model = recognizer(recipe, heads).to(at).train()
    if at.type == "cuda":
        channels_last(model)
    optim = recipe_optimizer(recipe, model)
    clips = max(1, plan.batch // assemble.parts(recipe, processes) // processes)
    batch = _noise(recipe, clips, heads).map(lambda value: value.to(at))
    if at.type == "cuda":
        torch.cuda.reset_peak_memory_stats(at)
    for _ in range(2):  # the first one also sets things up
        began = time.perf_counter()
        optim.zero_grad(set_to_none=True)
        with torch.autocast(at.type, assemble.DTYPES[plan.precision], enabled=plan.precision != "fp32"):
            losses = assemble.task(recipe, heads).loss(model, batch)
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


def _noise(recipe: Recipe, clips: int, heads: dict[str, int]) -> Batch:
    """Random signals and targets."""
    signals = {
        name: torch.randn_like(value) if value.ndim > 1 else value
        for name, value in _silence(recipe, clips, tested=False).items()
    }
    ids = tuple(str(number) for number in range(clips))
    for name in signals if assemble.compared(recipe) > 1 else ():
        signals[name] = torch.cat([signals[name], torch.randn_like(signals[name])])
    if recipe.sync:
        signals["logmel"] = torch.cat([signals["logmel"], torch.randn_like(signals["logmel"])])
    several = recipe.task in ("multilabel", "detect")
    targets = {
        labels: torch.rand(clips, classes).round() if several else torch.randint(classes, (clips,))
        for labels, classes in heads.items()
    }
    boxes = None
    if recipe.task == "detect":
        boxes = torch.tensor([[float(row), 8.0, 8.0, 40.0, 40.0] for row in range(clips)])
    return Batch(signals=signals, targets=targets, ids=ids * assemble.compared(recipe), boxes=boxes)


def _silence(recipe: Recipe, clips: int, *, tested: bool) -> Signals:
    front_end, frames = assemble.front_end(recipe), assemble.frame_settings(recipe)
    reads = assemble.net(recipe).signals
    found = {}
    if "frames" in reads and frames:
        side = frames.side if tested else frames.crop
        # A whole frame is taken as 4:5, as the paper counts AVA (AV Sec. 5, footnote 2).
        wide = side * 5 // 4 if tested and frames.crops == WHOLE else side
        found["frames"] = torch.zeros(clips, 3, frames.frames, side, wide)
    if "logmel" in reads:
        rows = frames.rows if frames else 0
        if not frames:
            rows = front_end.frames(clip_samples(recipe.data.clip_seconds or 0, front_end.rate) - 1)
        found["logmel"] = torch.zeros(clips, 1, rows, front_end.mels)
    if "samples" in reads:
        found["samples"] = torch.zeros(clips, clip_samples(recipe.data.clip_seconds or 0, front_end.rate) - 1)
    if "features" in reads:
        found["features"] = torch.zeros(clips, sum(assemble.net(recipe).features().values()))
    if len(found) == 2:
        found["has_audio"] = torch.ones(clips)
    return found
