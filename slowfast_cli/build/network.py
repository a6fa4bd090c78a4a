"""The network of a recipe: its description, whether it goes with the task and the front end, and the model."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import nn

from slowfast_cli.build.corpus import shards_folder
from slowfast_cli.build.task import sync_stages, task_spec
from slowfast_cli.data.stored_features import StoredFeatures
from slowfast_cli.models import external
from slowfast_cli.models.architecture import Architecture, Baseline
from slowfast_cli.models.baselines.zoo import BASELINES
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.slowfast import SlowFast
from slowfast_cli.models.spec import Net, keep_taps, with_width
from slowfast_cli.models.zoo import VARIANTS
from slowfast_cli.recipe.schema import Model, Recipe
from slowfast_cli.tasks.task import TaskSpec
from slowfast_cli.types import UsageError, did_you_mean
from slowfast_cli.weights.file import read_card
from slowfast_cli.weights.resolve import weight_file

NETWORKS: Mapping[str, Architecture] = {**VARIANTS, **BASELINES}


def architecture(recipe: Recipe) -> Architecture:
    """Look up the description of the recipe's network and adapt it to the recipe.

    Raises:
        UsageError: There is no such network, or it does not go with the task or the front end.
    """
    if recipe.data.source == "features":
        metadata = StoredFeatures(shards_folder(recipe) / recipe.split("test")).metadata
        return Baseline(kind="features", reads="features", length=metadata["length"])
    net = _named(recipe.model)
    if isinstance(net, Baseline):
        _require_baseline(recipe, net)
        return net
    net = with_width(net, recipe.model.width) if recipe.model.width else net
    if recipe.video and "frames" in net.signals and net.window:
        net = replace(net, window=-(-recipe.video.crop // 32))
    _require_variant(recipe, net)
    return keep_taps(net, sync_stages(recipe))


def _named(model: Model) -> Architecture:
    """The network of a zoo name, of user code (``module:callable``), or of a weight file."""
    if model.variant is None:
        return _of_weights(model.init or "")
    if ":" in model.variant:
        return external_architecture(model.variant)
    if model.variant not in NETWORKS:
        near = did_you_mean(model.variant, NETWORKS)
        raise UsageError(
            f"model.variant: {model.variant!r}: no such network{near or '; `slowfast recipes variants` lists them'}"
        )
    return NETWORKS[model.variant]


@functools.lru_cache(maxsize=8)
def _of_weights(name: str) -> Architecture:
    return read_card(weight_file(name)).net


@functools.lru_cache(maxsize=8)
def external_architecture(factory: str) -> Baseline:
    """Describe a network of user code, ``module:callable``."""
    return external.describe(factory)


def _require_baseline(recipe: Recipe, net: Baseline) -> None:
    """Refuse a baseline that does not go with the recipe.

    Raises:
        UsageError: Task, front end or clip length do not fit; the text says what would.
    """
    name, front_end, spec = recipe.model.variant or recipe.model.init, recipe.frontend, task_spec(recipe)
    if recipe.video or spec.needs == "frames":
        raise UsageError(
            f"model.variant: {name} reads audio only: it goes with neither `video` nor task: {recipe.task}"
        )
    _require_signal(recipe, spec, net)
    if recipe.model.width:
        raise UsageError(f"model.width: {name} has a fixed width: set it to null")
    _require_body(recipe, spec, net.kind)
    wrong = []
    if net.rate is not None and net.rate != front_end.rate:
        wrong.append(f"frontend.rate={net.rate}")
    if net.bands is not None and net.bands != front_end.mels:
        wrong.append(f"frontend.mels={net.bands}")
    wrong += [f"frontend.{key}={value}" for key, value in net.front_end.items() if getattr(front_end, key) != value]
    if wrong:
        raise UsageError(f"model.variant: {name} needs another front end: set {' '.join(wrong)}")
    samples = round((recipe.data.clip_seconds or 0) * front_end.rate) - 1
    steps = samples if net.reads == "samples" else 1 + samples // max(front_end.hop, 1)
    if net.reads != "features" and steps < net.least:
        raise UsageError(
            f"data.clip_seconds: {recipe.data.clip_seconds} s are {steps} {'samples' if net.rate else 'frames'}, but "
            f"{name} needs at least {net.least}"
        )


def _require_signal(recipe: Recipe, spec: TaskSpec, net: Architecture) -> None:
    """Refuse a network that does not read the signal that the task changes."""
    if spec.needs and spec.needs not in net.signals:
        reads = " and ".join(sorted(net.signals))
        raise UsageError(
            f"model.variant: task: {recipe.task} needs {spec.needs}, but {recipe.model.variant or recipe.model.init} "
            f"reads {reads}: choose another network"
        )


def _require_body(recipe: Recipe, spec: TaskSpec, kind: str) -> None:
    """Refuse a network that the task's objective cannot train."""
    if spec.body and kind != spec.body:
        raise UsageError(
            f"task: {recipe.task} trains {spec.body}, but model.variant is {recipe.model.variant}: set it to "
            f"{spec.variant}, or choose task: simclr"
        )


def _require_variant(recipe: Recipe, net: Net) -> None:
    """Refuse a SlowFast network that does not go with the recipe.

    Raises:
        UsageError: It cannot do the task; the text says what would.
    """
    variant, spec = recipe.model.variant, task_spec(recipe)
    _require_body(recipe, spec, "")
    if "frames" in net.signals and not recipe.video:
        raise UsageError(f"model.variant: {variant} reads frames: add a `video` section, or choose an audio network")
    if recipe.video and recipe.video.sampling == "uniform" and net.signals != {"frames"}:
        raise UsageError(
            f"video.sampling: uniform: a clip has no span of its own, and {variant} reads audio: set it to dense, or "
            "choose a network of frames only"
        )
    if (net.regions != "none") != spec.boxes:
        wanted = "classifies boxes: set task: detect" if net.regions != "none" else "classifies whole clips, not boxes"
        raise UsageError(f"model.variant: {variant} {wanted}; networks for boxes end in -ava")
    if not {"frames", "logmel"} <= net.signals and recipe.model.drop_pathway:
        raise UsageError(f"model.drop_pathway: {variant} does not read both frames and audio: there is nothing to drop")
    _require_signal(recipe, spec, net)
    if recipe.sync and (unknown := set(recipe.sync.stages) - set(net.sync_laterals())):
        raise UsageError(
            f"sync.stages: {', '.join(sorted(unknown))}: {variant} fuses audio into video after "
            f"{', '.join(net.sync_laterals()) or 'no stage'}"
        )


def objective(recipe: Recipe) -> Callable[[nn.Module], nn.Module] | None:
    """Factory of the module that pretraining adds to the trunk; None for a task with labels."""
    make = task_spec(recipe).objective
    return None if make is None else lambda trunk: make(trunk, recipe.pretext)


def build_recognizer(recipe: Recipe, sizes: Mapping[str, int]) -> Recognizer:
    """Build the recipe's model, freshly initialized.

    Args:
        recipe: Names the network.
        sizes: Number of classes by label set.
    """
    model = Recognizer(
        architecture(recipe),
        sizes,
        dropout=recipe.model.dropout,
        freeze_bn=recipe.model.freeze_bn,
        freeze_trunk=recipe.model.freeze_trunk or recipe.probe is not None,
        sync=sync_stages(recipe),
        hidden=recipe.model.hidden,
        objective=objective(recipe),
    )
    if isinstance(model.trunk, SlowFast):
        model.trunk.activation_checkpointing = recipe.optim.activation_checkpointing
    elif recipe.optim.activation_checkpointing:
        raise UsageError(
            f"optim.activation_checkpointing: {recipe.model.variant} is not split into stages: set it to false"
        )
    return model


def channels_last(model: nn.Module) -> None:
    """Store convolution kernels channels last, over 2 or 3 axes; activations then follow."""
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in model.parameters():
        if parameter.ndim in layouts:
            parameter.data = parameter.data.contiguous(memory_format=layouts[parameter.ndim])
