"""Everything that a training holds in memory, built from its recipe."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from slowfast_cli.build.adapt import adapted, changes
from slowfast_cli.build.checks import require_processes, require_trainable
from slowfast_cli.build.clips import build_clips, open_store, require_batch, stated_views, usable
from slowfast_cli.build.corpus import class_counts, read_corpus, segments_hash
from slowfast_cli.build.init_weights import start_from
from slowfast_cli.build.network import architecture, build_recognizer, channels_last
from slowfast_cli.build.remarks import training_remarks
from slowfast_cli.build.schedule import build_optimizer
from slowfast_cli.build.task import sync_stages, task_spec
from slowfast_cli.data.clips import Clips
from slowfast_cli.data.stored_features import FeatureClips
from slowfast_cli.engine.checkpoint import restore_optimizer
from slowfast_cli.engine.ema import Ema
from slowfast_cli.metrics.registry import find_metric
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.types import Corpus, Share, SlowFastError, UsageError, text_of
from slowfast_cli.weights.file import Card, Loaded


@dataclass(kw_only=True)
class Training:
    """The objects of a training run."""

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
    metric: str  # the score by which the best weights are kept
    init: Loaded | None  # what was copied from other weights
    remarks: tuple[str, ...] = ()  # what the user should know about the data
    views: nn.Module | None = None  # makes two views of each clip, with state (BYOL)
    best: float | None = None  # best value of the metric so far
    best_loss: float | None = None  # validation loss of the best weights
    stale: int = 0  # validations in sequence without a better score
    unscored: bool = False  # the last step ends an epoch whose validation is not done

    @property
    def scored(self) -> nn.Module:
        """The module that is scored and saved: the EMA if there is one."""
        return self.ema.module if self.ema else self.model

    @property
    def ended(self) -> bool:
        """Whether the score has not improved for so long that the training ends early."""
        return 0 < self.recipe.schedule.patience <= self.stale

    def record(self, value: float | None, loss: float | None) -> bool:
        """Record score and loss of a validation; return whether its weights are the best so far.

        With early stopping, which is for small validation sets, the lower loss decides between equal scores.
        """
        better = value is not None and find_metric(self.metric).better(value, self.best)
        if self.recipe.schedule.patience and value is not None and value == self.best and loss is not None:
            better = self.best_loss is None or loss < self.best_loss
        self.stale = 0 if better else self.stale + 1
        if better:
            self.best, self.best_loss = value, loss
        return better

    def state(self, step: int) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        views = {**self.views.state_dict(), "past": self.views.past} if self.views else {}
        return {
            "step": step,
            "best": self.best,
            "best_loss": self.best_loss,
            "stale": self.stale,
            "unscored": self.unscored,
            "classes": {labels: list(names) for labels, names in self.val.classes.items()},
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict() if self.ema else {},
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "views": views,
        }

    def restore(self, state: dict[str, Any], path: Path) -> int:
        """Load a state and return the number of steps done.

        Raises:
            UsageError: The data now has other classes than the state.
            SlowFastError: The state is not one of this network and optimizer.
        """
        try:
            self._require_classes(state.get("classes", self.val.classes), path)
            self.model.load_state_dict(state["model"])
            if self.ema:
                self.ema.load_state_dict(state["ema"])
            restore_optimizer(self.optimizer, state["optimizer"])
            self.scaler.load_state_dict(state["scaler"])
            if self.views:
                self.views.past = state["views"].pop("past").to(self.device)
                self.views.load_state_dict(state["views"])
            self.best, self.unscored = state["best"], bool(state.get("unscored"))
            self.best_loss, self.stale = state.get("best_loss"), int(state.get("stale", 0))
            if not (isinstance(self.best, int | float | None) and type(state["step"]) is int and state["step"] >= 0):
                raise ValueError(f"step {state['step']!r}, best score {self.best!r}")
            return int(state["step"])
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise SlowFastError(
                f"{path}: not a training state of this recipe ({text_of(error)[:200]}): start over with --fresh"
            ) from error

    def _require_classes(self, stored: dict[str, Any], path: Path) -> None:
        """Refuse data whose classes differ from those that the outputs were trained for."""
        for labels in {**stored, **self.val.classes}:
            before, now = tuple(stored.get(labels, ())), self.val.classes.get(labels, ())
            if before == now:
                continue
            gone, new = (
                ", ".join(sorted(one - other)[:5]) for one, other in ((set(before), set(now)), (set(now), set(before)))
            )
            change = ", ".join([f"without {gone}"] * bool(gone) + [f"with {new}"] * bool(new)) or "in another order"
            raise UsageError(
                f"{path}: was trained on {len(before)} classes ({labels}); the data now has {len(now)}, {change}: "
                f"start over with --fresh, or train on from its weights with "
                f"`slowfast finetune RECIPE --weights {path.parent}`"
            )

    def card(self, name: str) -> Card:
        """The metadata of the run's weight files.

        Args:
            name: Name of the recipe.
        """
        recipe, frames, net = self.recipe, self.recipe.video, architecture(self.recipe)
        return Card(
            net=net,
            classes=self.val.classes,
            front_end=recipe.frontend.settings() if "frames" not in net.signals or len(net.signals) > 1 else {},
            video=frames.settings() if frames else {},
            clip_seconds=frames.seconds if frames else recipe.data.clip_seconds or 0.0,
            views=stated_views(recipe),
            sigmoid=task_spec(recipe).multi_label,
            sync=sync_stages(recipe),
            hidden=recipe.model.hidden,
            silence=recipe.data.pad == "silence",
            unknown=recipe.data.unknown,
            recipe=name,
            trained_on=segments_hash(self.train),
            train_split=self.train.split,
            source=f"slowfast train {name} on {self.train.name} {self.train.split}",
        )


def build_training(recipe: Recipe, share: Share, device: torch.device, *, smoke: bool) -> Training:
    """Build everything that a training needs.

    Args:
        recipe: What to train.
        share: Rank and world size.
        device: Device of this process.
        smoke: Use two batches and eight test segments only.

    Raises:
        UsageError: The recipe does not go with the corpus or the number of processes.
        DataError: The corpus or its shards are missing, or do not go with the recipe.
        WeightsError: The weights of `model.init` are missing, or of another network.
    """
    store, spec = open_store(recipe), task_spec(recipe)
    train, val = (usable(recipe, read_corpus(recipe, role), store) for role in ("train", "val"))
    metric = require_trainable(recipe, train, val)
    given, recipe = recipe, adapted(recipe, train, store)
    optim = recipe.optim
    if smoke:
        train = replace(train, segments=train.segments[: 2 * optim.batch])
        val = replace(val, segments=val.segments[:8])
    require_processes(recipe, share, device)
    train_clips = build_clips(recipe, train, store)
    require_batch(recipe, train_clips, train.split)
    torch.manual_seed(recipe.seed)
    model = build_recognizer(recipe, class_counts(val))
    classes = {} if recipe.probe else val.classes  # the classifiers of a probe start fresh
    init = start_from(model, recipe.model.init, classes) if recipe.model.init else None
    model = model.to(device)
    if device.type == "cuda":  # on a CPU, narrow channels_last convolutions crash in torch 2.13
        channels_last(model)
    if optim.sync_bn and share.world > 1:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return Training(
        recipe=recipe,
        share=share,
        device=device,
        model=model,
        ema=Ema(model, optim.ema) if optim.ema else None,
        optimizer=build_optimizer(recipe, model),
        scaler=torch.amp.GradScaler(device.type, enabled=optim.precision == "fp16"),
        train_clips=train_clips,
        val_clips=build_clips(recipe, val, store),
        train=train,
        val=val,
        metric=metric,
        remarks=(*changes(given, recipe), *training_remarks(recipe, train, val, store, init))
        if share.rank == 0
        else (),
        init=init,
        views=spec.views().to(device) if spec.views else None,
    )
