"""Everything that a training holds in memory, built from its recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from slowfast_cli.build import assemble, clips, schedule
from slowfast_cli.build.checks import require_kind
from slowfast_cli.build.init_weights import start_from
from slowfast_cli.build.scores import require_metric
from slowfast_cli.corpora.segments import typical
from slowfast_cli.data.clips import Clips
from slowfast_cli.data.loader import Share
from slowfast_cli.data.stored_features import FeatureClips
from slowfast_cli.engine.ema import Ema
from slowfast_cli.engine.optim import make_optimizer
from slowfast_cli.features.byol_augment import Views
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.models.slowfast import SlowFast
from slowfast_cli.recipe.schema import PRETEXTS, Recipe
from slowfast_cli.types import Corpus, DataError, UsageError
from slowfast_cli.weights.file import Card, Loaded


@dataclass(kw_only=True)
class Training:
    """What a run holds in memory.

    Attributes:
        recipe: What is learned, and how.
        share: This process's part of the work.
        device: Where it is done.
        model: On the device.
        averaged: Its running average, if the recipe wants one.
        optimizer: Of the model.
        scaler: Of the gradients.
        train: The split that is learned from.
        val: The split that is scored.
        train_clips: Clips of the first.
        val_clips: Clips of the second.
        init: What came from other weights, if any.
        views: BYOL-A's augmentation, which remembers earlier clips.
        best: The best score so far.
    """

    recipe: Recipe
    share: Share
    device: torch.device
    model: Recognizer
    ema: Ema | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    train: Corpus
    val: Corpus
    train_clips: Clips | FeatureClips
    val_clips: Clips | FeatureClips
    init: Loaded | None
    views: Views | None = None
    best: float = float("-inf")

    @property
    def scored(self) -> nn.Module:
        """The weights that are scored and saved."""
        return self.ema.module if self.ema else self.model

    def state(self, step: int) -> dict[str, Any]:
        """All that a later process needs to go on."""
        return {
            "step": step,
            "best": self.best,
            "model": self.model.state_dict(),
            "averaged": self.ema.state_dict() if self.ema else {},
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "views": {**self.views.state_dict(), "past": self.views.past} if self.views else {},
        }

    def restore(self, state: dict[str, Any]) -> int:
        """Take a state over; returns the steps done."""
        self.model.load_state_dict(state["model"])
        if self.ema:
            self.ema.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.views:
            self.views.past = state["views"].pop("past").to(self.device)
            self.views.load_state_dict(state["views"])
        self.best = state["best"]
        return int(state["step"])

    def card(self, name: str) -> Card:
        """What its weight files say of themselves.

        Args:
            name: Of the recipe.
        """
        recipe, frames, net = self.recipe, assemble.frame_settings(self.recipe), assemble.net(self.recipe)
        return Card(
            net=net,
            classes=self.val.classes,
            front_end=assemble.front_end(recipe).settings()
            if "frames" not in net.signals or len(net.signals) > 1
            else {},
            video=frames.settings() if frames else {},
            clip_seconds=frames.seconds if frames else recipe.data.clip_seconds or 0.0,
            views=assemble.views(recipe),
            sigmoid=recipe.task in ("multilabel", "detect"),
            sync=assemble.sync_stages(recipe),
            hidden=recipe.model.hidden,
            silence=recipe.data.pad == "silence",
            recipe=name,
            source=f"slowfast train {name} on {self.train.name} {self.train.split}",
        )


def build(recipe: Recipe, share: Share, device: torch.device, *, smoke: bool) -> Training:
    """Build everything that a training needs.

    Args:
        recipe: What to train.
        share: This process's part of the work.
        device: Where.
        smoke: Keep two batches and eight test segments only.

    Raises:
        UsageError: The recipe does not go with the corpus or the number of processes.
        DataError: The corpus or its shards are not there, or do not fit the recipe.
        WeightsError: The weights to start from are not there, or are another network's.
    """
    store = clips.store(recipe)
    found = {part: clips.usable(recipe, assemble.corpus(recipe, part), store) for part in ("train", "val")}
    train_corpus, val = found["train"], found["val"]
    if recipe.task != "detect" and recipe.task not in PRETEXTS:
        _require_labels(train_corpus)
    require_kind(recipe, train_corpus)
    require_metric(recipe, val)
    if smoke:
        train_corpus = replace(train_corpus, segments=train_corpus.segments[: 2 * recipe.optim.batch])
        val = replace(val, segments=val.segments[:8])
    if train_corpus.classes != val.classes:
        raise DataError(
            f"{val.name}: the classes of {train_corpus.split} and {val.split} differ: use one class list for both"
        )
    _require_shares(recipe, share, device)
    train_clips = clips.clips(recipe, train_corpus, store)
    clips.require_batch(recipe, train_clips, train_corpus.split)
    torch.manual_seed(recipe.seed)
    model = recognizer(recipe, assemble.sizes(val))
    kept = {} if recipe.probe else val.classes  # a probe learns its classifiers from nothing
    told = start_from(model, recipe.model.init, kept) if recipe.model.init else None
    model = model.to(device)
    if device.type == "cuda":  # on a CPU, narrow channels_last convolutions crash in torch 2.13
        channels_last(model)
    if recipe.optim.sync_norms and share.world > 1:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    optim = recipe.optim
    return Training(
        recipe=recipe,
        share=share,
        device=device,
        model=model,
        ema=Ema(model, optim.ema) if optim.ema else None,
        optimizer=recipe_optimizer(recipe, model),
        scaler=torch.amp.GradScaler(device.type, enabled=optim.precision == "fp16"),
        train_clips=train_clips,
        val_clips=clips.clips(recipe, val, store),
        train=train_corpus,
        val=val,
        init=told,
        views=Views().to(device) if recipe.task == "byol" else None,
    )


def recognizer(recipe: Recipe, sizes: Mapping[str, int]) -> Recognizer:
    """The recipe's model, freshly initialised.

    Args:
        recipe: Its network.
        sizes: Number of classes by label set.
    """
    model = Recognizer(
        assemble.net(recipe),
        sizes,
        dropout=recipe.model.dropout,
        freeze_norms=recipe.model.freeze_norms,
        freeze_trunk=recipe.model.freeze_trunk or recipe.probe is not None,
        sync=assemble.sync_stages(recipe),
        hidden=recipe.model.hidden,
        objective=assemble.objective(recipe),
    )
    if recipe.optim.recompute and not isinstance(model.trunk, SlowFast):
        raise UsageError(f"optim.recompute: {recipe.model.variant} has no stages that it knows of: set it to false")
    if isinstance(model.trunk, SlowFast):
        model.trunk.activation_checkpointing = recipe.optim.recompute
    return model


def recipe_optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimiser."""
    settings = recipe.optim
    return make_optimizer(
        model,
        settings.name,
        lr=schedule.top_rate(recipe),
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
        decay_norms=settings.decay_norms,
    )


def channels_last(model: nn.Module) -> None:
    """Lay the kernels out as tensor cores read them, and with them all maps: channels last, over 2 axes or 3."""
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in model.parameters():
        if parameter.ndim in layouts:
            parameter.data = parameter.data.contiguous(memory_format=layouts[parameter.ndim])


def _require_labels(found: Corpus) -> None:
    bare = next(
        (segment.id for segment in typical(found.segments) if segment.targets.keys() != found.classes.keys()), None
    )
    if bare is not None:
        raise DataError(
            f"{found.name} {found.split}: {bare} has no label of every set ({', '.join(found.classes)}), so nothing "
            "can be learned from it: set data.train to a split that is labelled"
        )


def _require_shares(recipe: Recipe, share: Share, device: torch.device) -> None:
    settings, parts = recipe.optim, assemble.parts(recipe, share.world)
    if settings.norm_clips and settings.batch % (settings.norm_clips * share.world):
        raise UsageError(
            f"optim.norm_clips: {settings.batch} clips do not part into {share.world} processes x "
            f"{settings.norm_clips} clips a batch norm sees: set optim.batch to a multiple of both, or "
            "optim.norm_clips=null"
        )
    if settings.batch % (parts * share.world):
        raise UsageError(
            f"optim.batch: {settings.batch} clips do not part into {share.world} processes x {parts} parts"
        )
    if settings.graphs and (share.world > 1 or device.type != "cuda"):
        where = f"{share.world} processes" if share.world > 1 else device.type
        raise UsageError(
            f"optim.graphs: records the steps of one process on a GPU, and this is {where}: set it to false"
        )
    if settings.sync_norms and share.world > 1 and device.type != "cuda":
        raise UsageError(f"optim.sync_norms: works on CUDA only, and this is {device.type}: set it to false")
