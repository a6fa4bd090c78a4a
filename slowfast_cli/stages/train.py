"""Training: a recipe in, a run folder out, events on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from slowfast_cli.data import loader
from slowfast_cli.data.clips import Clips
from slowfast_cli.data.loader import Share
from slowfast_cli.engine import checkpoint, distributed
from slowfast_cli.engine.evaluate import predictions
from slowfast_cli.engine.fit import How, LossNotFiniteError, Step, fit
from slowfast_cli.engine.optim import optimizer
from slowfast_cli.engine.precise_norms import average_statistics
from slowfast_cli.metrics.predictions import merge
from slowfast_cli.metrics.scores import score
from slowfast_cli.models.count import parameters
from slowfast_cli.models.slowfast import Recogniser
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages import assemble
from slowfast_cli.stages.finetune import start_from
from slowfast_cli.stages.run import Run
from slowfast_cli.types import Corpus, DataError, Scores, SlowFastError
from slowfast_cli.weights.file import Card, Loaded, save


@dataclass(frozen=True, kw_only=True)
class Started:
    """Everything is built.

    Attributes:
        run: The folder.
        first_step: Where it goes on; 0 for a new run.
        steps: In all.
        epoch_steps: In an epoch.
        parameters: Of the model.
        train: The split that is learned from.
        val: The split that is scored.
        init: What came from other weights, if any.
    """

    run: Path
    first_step: int
    steps: int
    epoch_steps: int
    parameters: int
    train: Corpus
    val: Corpus
    init: Loaded | None


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The validation split was scored, and the weights are saved.

    Attributes:
        epoch: Epochs done.
        scores: On the validation split.
        best: Whether these are the best so far.
    """

    epoch: int
    scores: Scores
    best: bool


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The run is over.

    Attributes:
        run: The folder.
        scores: The last ones; None when nothing was left to do.
    """

    run: Path
    scores: dict[str, float] = field(default_factory=dict)


Event = Started | Step | Scored | Finished


@dataclass(kw_only=True)
class _Training:
    """What a run holds in memory."""

    recipe: Recipe
    share: Share
    device: torch.device
    model: Recogniser
    averaged: AveragedModel | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    train_clips: Clips
    val_clips: Clips
    val: Corpus
    best: float = float("-inf")

    @property
    def scored(self) -> nn.Module:
        """The weights that are scored and saved."""
        return self.averaged.module if self.averaged else self.model

    def state(self, step: int) -> dict[str, Any]:
        """All that a later process needs to go on."""
        return {
            "step": step,
            "best": self.best,
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict() if self.averaged else {},
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> int:
        """Take a state over; returns the steps done."""
        self.model.load_state_dict(state["model"])
        if self.averaged:
            self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.best = state["best"]
        return int(state["step"])


def train(
    recipe: Recipe, run: Run, *, name: str = "", fresh: bool = False, device: str = "auto", smoke: bool = False
) -> Iterator[Event]:
    """Train a recipe, or go on where its run stopped; the caller may stop between any two events and nothing is lost.

    Args:
        recipe: What to train.
        run: Where to.
        name: The recipe's, for the weight files.
        fresh: Start over.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``.
        smoke: Only two batches and eight test segments, for one epoch.

    Raises:
        SlowFastError: Anything the user can mend.
    """
    share = distributed.join()
    at = distributed.device(device)
    if smoke:
        recipe = recipe.model_copy(update={"schedule": recipe.schedule.model_copy(update={"epochs": 1})})
    training, started = _build(recipe, share, at, smoke=smoke)
    steps, epoch_steps = started["steps"], started["epoch_steps"]
    resumes = run.open(recipe, fresh=fresh) if share.rank == 0 else False
    distributed.barrier(share)
    resumes = resumes or (share.rank > 0 and run.state.is_file())
    card = _card(recipe, training.val, name)
    with run.locked() if share.rank == 0 else nullcontext():
        first = training.restore(checkpoint.load_state(run.state)) if resumes else 0
        if share.rank == 0:
            run.cut_metrics(first)
        yield Started(run=run.folder, first_step=first, parameters=parameters(training.model), **started)
        scores: dict[str, float] = {}
        done = first
        try:
            for step in _steps(training, range(first, steps), epoch_steps):
                done = step.number
                if share.rank == 0:
                    run.append({"step": done, "epoch": done / epoch_steps, "loss": step.loss, "lr": step.lr, **_losses(step)})
                ends_epoch = done % epoch_steps == 0
                if ends_epoch and (done // epoch_steps % recipe.schedule.validate_every == 0 or done == steps):
                    event = _score(training, run, card, done, epoch_steps)
                    scores = dict(event.scores.values)
                    yield step
                    yield event
                else:
                    yield step
                if ends_epoch and share.rank == 0:
                    checkpoint.save_state(run.state, training.state(done))
        except LossNotFiniteError as error:
            raise SlowFastError(
                f"{error}; {_last_good(run, epoch_steps)}: try a lower optim.lr, optim.clip_norm=1 or optim.precision=fp32"
            ) from error
        except GeneratorExit:
            if share.rank == 0 and done > first:
                checkpoint.save_state(run.state, training.state(done))
            raise
    distributed.barrier(share)
    yield Finished(run=run.folder, scores=scores)


def _build(recipe: Recipe, share: Share, device: torch.device, *, smoke: bool) -> tuple[_Training, dict[str, Any]]:
    store = assemble.store(recipe)
    found = {part: assemble.usable(assemble.corpus(recipe, part), store) for part in ("train", "val")}
    train_corpus, val = found["train"], found["val"]
    if smoke:
        train_corpus = replace(train_corpus, segments=train_corpus.segments[: 2 * recipe.optim.batch])
        val = replace(val, segments=val.segments[:8])
    if train_corpus.classes != val.classes:
        raise DataError(f"{val.name}: the classes of {train_corpus.split} and {val.split} differ: use one class list for both")
    loader.require_clips(len(train_corpus.segments), recipe.optim.batch, train_corpus.split)
    if recipe.optim.batch % (recipe.optim.accumulate * share.world):
        raise DataError(
            f"optim.batch: {recipe.optim.batch} clips do not part into {share.world} processes x {recipe.optim.accumulate} parts"
        )
    torch.manual_seed(recipe.seed)
    model = Recogniser(
        assemble.net(recipe), assemble.sizes(val), dropout=recipe.model.dropout, freeze_norms=recipe.model.freeze_norms
    )
    told = start_from(model, recipe.model.init, val.classes) if recipe.model.init else None
    model = model.to(device)
    if device.type == "cuda":
        model = model.to(memory_format=torch.channels_last)
    if recipe.optim.sync_norms and share.world > 1:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    plan = recipe.optim
    training = _Training(
        recipe=recipe,
        share=share,
        device=device,
        model=model,
        averaged=AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(plan.ema)) if plan.ema else None,
        optimizer=optimizer(
            model, plan.name, lr=plan.lr, momentum=plan.momentum, nesterov=plan.nesterov, weight_decay=plan.weight_decay
        ),
        scaler=torch.amp.GradScaler(device.type, enabled=plan.precision == "fp16"),
        train_clips=assemble.clips(recipe, train_corpus, store),
        val_clips=assemble.clips(recipe, val, store),
        val=val,
    )
    epoch_steps = len(train_corpus.segments) // plan.batch
    steps = epoch_steps * recipe.schedule.epochs
    return training, {"steps": steps, "epoch_steps": epoch_steps, "train": train_corpus, "val": val, "init": told}


def _steps(training: _Training, steps: range, epoch_steps: int) -> Iterator[Step]:
    recipe, share = training.recipe, training.share
    model: nn.Module = training.model
    if share.world > 1:
        model = DistributedDataParallel(model, device_ids=[training.device] if training.device.type == "cuda" else None)
    if recipe.optim.compile:
        model = torch.compile(model)  # type: ignore[assignment]
    how = How(
        parts=recipe.optim.accumulate,
        clip_norm=recipe.optim.clip_norm,
        dtype=assemble.DTYPES[recipe.optim.precision],
        seed=recipe.seed,
        rank=share.rank,
    )
    for step in fit(
        model,
        assemble.task(recipe).loss,
        _training_batches(training, steps.start, recipe.schedule.epochs),
        training.optimizer,
        assemble.learning_rate(recipe),
        steps,
        epoch_steps=epoch_steps,
        how=how,
        scaler=training.scaler,
    ):
        if training.averaged:
            training.averaged.update_parameters(training.model)
        yield step


def _training_batches(training: _Training, first_step: int, epochs: int, seed: int = 0) -> Iterator[Any]:
    recipe = training.recipe
    keys = loader.training_keys(
        len(training.train_clips),
        batch=recipe.optim.batch,
        parts=recipe.optim.accumulate,
        epochs=epochs,
        first_step=first_step,
        seed=recipe.seed + seed,
        share=training.share,
    )
    prepared = assemble.prepare(recipe, assemble.sizes(training.val), training.device, training=True)
    read = loader.batches(training.train_clips, keys, workers=assemble.workers(recipe), device=training.device)
    return map(prepared, read)


def _score(training: _Training, run: Run, card: Card, done: int, epoch_steps: int) -> Scored:
    recipe, share, epoch = training.recipe, training.share, done // epoch_steps
    if recipe.schedule.precise_norms:
        batches = _training_batches(training, 0, epochs=-(-recipe.schedule.precise_norms // epoch_steps), seed=1 + epoch)
        with torch.random.fork_rng():
            torch.manual_seed(recipe.seed + epoch)
            average_statistics(training.scored, (batch for batch, _ in zip(batches, range(recipe.schedule.precise_norms), strict=False)))
    keys = loader.test_keys(len(training.val_clips), recipe.data.views, batch=recipe.optim.batch, share=share)
    read = loader.batches(training.val_clips, keys, workers=assemble.workers(recipe), device=training.device)
    prepared = assemble.prepare(recipe, {}, training.device, training=False)
    found = merge(predictions(training.scored, assemble.task(recipe).predict, map(prepared, read)))
    scores = score(distributed.gather(found, share), training.val)
    value = scores.values.get(recipe.metric)
    if value is None:
        raise SlowFastError(f"metric: {recipe.metric!r} is not scored on {training.val.name}; there are {', '.join(scores.values)}")
    best = value > training.best
    training.best = max(value, training.best)
    if share.rank == 0:
        run.append({"step": done, "epoch": epoch, **{f"val_{key}": value for key, value in scores.values.items()}})
        state = training.scored.state_dict()
        told = replace(card, scores=scores.values)
        for path in (run.last, run.best) if best else (run.last,):
            checkpoint.write_whole(path, lambda part: save(part, state, told))
    return Scored(epoch=epoch, scores=scores, best=best)


def _card(recipe: Recipe, corpus: Corpus, name: str) -> Card:
    return Card(
        net=assemble.net(recipe),
        classes=corpus.classes,
        front_end=assemble.front_end(recipe).settings(),
        clip_seconds=recipe.data.clip_seconds,
        views=recipe.data.views,
        recipe=name,
        source=f"slowfast train {name} on {corpus.name} {recipe.split('train')}",
    )


def _losses(step: Step) -> dict[str, float]:
    detail = {f"loss_{labels}": value for labels, value in step.losses.items()} if len(step.losses) > 1 else {}
    return detail | {"grad_norm": step.grad_norm, "seconds": step.seconds, "waited": step.waited}


def _last_good(run: Run, epoch_steps: int) -> str:
    if not run.state.is_file():
        return "no checkpoint was written yet"
    step = checkpoint.load_state(run.state)["step"]
    return f"the last good checkpoint is {run.state} (step {step}, epoch {step / epoch_steps:g})"
