"""What a recipe builds and costs, without training it."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from slowfast_cli.build.corpus import head_sizes
from slowfast_cli.build.network import NETWORKS, architecture, build_recognizer
from slowfast_cli.build.random_batch import zeros
from slowfast_cli.build.schedule import micro_batch_size
from slowfast_cli.build.task import task_spec
from slowfast_cli.build.trial_step import TrialStep
from slowfast_cli.engine import distributed
from slowfast_cli.models import count
from slowfast_cli.models.architecture import Architecture, Baseline
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.types import Seconds, Signals, UsageError

BUDGET: Seconds = 10.0  # for the measurement of a step, beside imports and building
STEPS = 2  # of a measurement
STRIDE = 32  # pixels: the total stride of the networks


@dataclass(frozen=True, kw_only=True)
class Size:
    """Size of a recipe's network."""

    parameters: int  # heads included
    gflops: float  # 1e9 multiply-adds of one view
    shapes: dict[str, tuple[int, ...]]  # inputs of one view
    heads: dict[str, int]  # number of classes by label set


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training step of one process on random clips."""

    clips: int  # of the step, not of the measurement
    loss: dict[str, float]  # by label set
    seconds: Seconds
    update: Seconds  # of those, the optimizer's, which do not depend on the clips
    device: str
    measured: str = ""  # the smaller size at which the step was measured; empty if that is its own


def size(recipe: Recipe) -> Size:
    """Build a recipe's network and count it at its test size; needs no data for the registered corpora."""
    with torch.device("meta"):
        model = build_recognizer(recipe, head_sizes(recipe))
        model.objective = None  # used in pretraining only
        inputs = zeros(recipe, 1, testing=True)
        gflops = count.gflops(model, inputs.signals)
    return Size(
        parameters=count.parameters(model),
        gflops=gflops,
        shapes={name: tuple(value.shape[1:]) for name, value in inputs.signals.items() if value.ndim > 1},
        heads=head_sizes(recipe),
    )


def count_variants() -> dict[str, dict[str, Any]]:
    """Count every network: its inputs, parameters with 400 classes, multiply-adds of a view.

    ``slowfast recipes variants`` prints them from ``cli/network_sizes.csv``, which a test compares with this function.
    Views are 32 frames of 256 x 256 (64 for networks with 16 slow frames, 8 for Slow alone, 16 of 128 x 128 for the
    small ones) with log-mels of 128 x 80, or 512 x 128 for audio alone; box networks are counted on frames of
    256 x 320. Baselines get 3 s: 300 x 80, or the number of bands they need. Networks whose extra is not installed
    have no numbers.
    """
    table: dict[str, dict[str, Any]] = {}
    for name, net in NETWORKS.items():
        table[name] = {"reads": " and ".join(sorted(net.signals)), "params_m": None, "gflops": None}
        with contextlib.suppress(UsageError), torch.device("meta"):
            model = Recognizer(net, {"label": 400}, sync=tuple(net.sync_laterals()))
            gflops = count.gflops(model, _view_of(name, net))
            table[name] |= {"params_m": count.parameters(model) / 1e6, "gflops": gflops}
    return table


def _view_of(name: str, net: Architecture) -> Signals:
    if isinstance(net, Baseline):
        shape = (1, 3 * net.rate) if net.rate else (1, 1, net.frames or 300, net.bands or 80)
        return {net.reads: torch.zeros(shape)}
    long, small = "16x8" in name, name.endswith("slowfast-small")
    frames = 64 if long else 16 if small else 8 if set(net.pathways) == {"slow"} else 32
    height, width = (128, 128) if small else (256, 256 if net.regions == "none" else 320)
    seconds = "frames" in net.signals or any(path.stem == "split" for path in net.pathways.values())
    rows = (256 if long else 128, 80) if seconds else (512, 128)
    signals = {"frames": torch.zeros(1, 3, frames, height, width)}
    signals["logmel"] = torch.zeros(1, 1, *rows)
    return {key: signals[key] for key in net.signals}


def trial(recipe: Recipe, device: str = "auto", processes: int = 1) -> Trial:
    """Measure an optimizer step on one micro-batch of random clips, within about `BUDGET` seconds.

    The smallest size shows how fast the device is; the largest that the budget allows is then measured, and its time
    is scaled by the multiply-adds of a full step.
    """
    clips = micro_batch_size(recipe, processes)
    sizes = list(_sizes(recipe, clips))
    cost = [_multiply_adds(smaller, count) for smaller, count in sizes]
    begin, at = time.perf_counter(), distributed.device(device)
    chosen = len(sizes) - 1
    tried = _measure(*sizes[chosen], at)
    left = BUDGET - (time.perf_counter() - begin)
    affordable = [row for row in range(chosen) if STEPS * _scaled(tried, cost[row] / cost[chosen]) <= left]
    if affordable:
        chosen = affordable[0]
        tried = _measure(*sizes[chosen], at)
    if chosen == 0:
        return tried
    seconds = _scaled(tried, cost[0] / cost[chosen])
    return replace(tried, clips=clips, seconds=seconds, measured=_describe(recipe, *sizes[chosen]))


def _scaled(tried: Trial, factor: float) -> Seconds:
    """Time of a step with ``factor`` times the multiply-adds."""
    return tried.update + factor * (tried.seconds - tried.update)


def _sizes(recipe: Recipe, clips: int) -> Iterator[tuple[Recipe, int]]:
    """The recipe with its clips, then smaller ones: fewer clips, smaller crops, fewer frames."""
    least = 2 if task_spec(recipe).has_objective else 1  # batch norms of projectors need two
    yield recipe, clips
    while clips > least:
        clips = max(least, clips // 2)
        yield recipe, clips
    for share in (2, 4):
        frames = recipe.video
        if frames is None or "frames" not in architecture(recipe).signals:
            return
        crop = -(-frames.crop // share // STRIDE) * STRIDE
        if crop < frames.crop:
            smaller = replace(frames, crop=crop, jitter=(crop, crop))
            yield recipe.model_copy(update={"video": smaller}), clips


def _multiply_adds(recipe: Recipe, clips: int) -> float:
    with torch.device("meta"):
        model = build_recognizer(recipe, head_sizes(recipe))
        model.objective = None
        return clips * count.gflops(model, zeros(recipe, 1, testing=False).signals)


def _describe(recipe: Recipe, measured: Recipe, clips: int) -> str:
    crops = measured.video and recipe.video and measured.video.crop < recipe.video.crop
    size = f" of {measured.video.crop} pixels" if measured.video and crops else ""
    return f"measured with {clips} clip{'s' * (clips > 1)}{size} and scaled"


def _measure(recipe: Recipe, clips: int, at: torch.device) -> Trial:
    step = TrialStep(recipe, clips, at)
    values: dict[str, float] = {}
    for _ in range(STEPS):  # the first step includes initialization
        start = time.perf_counter()
        losses = step.forward()
        step.backward(losses)
        before = time.perf_counter()
        step.update()
        update = time.perf_counter() - before
        values = values or {labels: float(value.detach()) for labels, value in losses.items()}
        seconds = time.perf_counter() - start
    return Trial(clips=clips, loss=values, seconds=seconds, update=update, device=str(at))
