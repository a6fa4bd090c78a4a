"""Training: a recipe in, a run folder out, events on the way."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from slowfast_cli.build import assemble, clips, schedule, transforms
from slowfast_cli.build.scores import scored
from slowfast_cli.data import loader
from slowfast_cli.engine import checkpoint, distributed
from slowfast_cli.engine.evaluate import predictions
from slowfast_cli.engine.fit import IN_FLIGHT, LossNotFiniteError, Step, StepConfig, fit
from slowfast_cli.engine.precise_bn import average_statistics
from slowfast_cli.engine.stop_signal import StopAgreement
from slowfast_cli.metrics.predictions import merge
from slowfast_cli.models.count import parameters
from slowfast_cli.plots.curves import curves_plot
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages.train.auto_workers import training_batches
from slowfast_cli.stages.train.run_folder import Run, lines
from slowfast_cli.stages.train.state import Training, build
from slowfast_cli.stages.train.tensorboard import Track, tracked
from slowfast_cli.storage import remote
from slowfast_cli.types import Corpus, Scores, SlowFastError
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
        source: Where clips are read from, as of the recipe.
        cores: That this process may use to read them.
    """

    run: Path
    first_step: int
    steps: int
    epoch_steps: int
    parameters: int
    train: Corpus
    val: Corpus
    init: Loaded | None
    source: str
    cores: int


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
        broken: Segments that could not be read, see ``broken.csv`` there.
    """

    run: Path
    broken: int = 0


Event = Started | Step | Scored | Finished


def train(
    recipe: Recipe, run: Run, *, name: str = "", fresh: bool = False, device: str = "auto", smoke: bool = False
) -> Generator[Event]:
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
        KeyboardInterrupt: Of several processes, one was asked to stop: all have, after the same step, with it saved.
    """
    share = distributed.join()
    at = distributed.device(device)
    if smoke:
        short = recipe.schedule.model_copy(update={"epochs": 1, "steps": None})
        recipe = recipe.model_copy(update={"schedule": short})
    training = build(recipe, share, at, smoke=smoke)
    epoch_steps = len(training.train_clips) // recipe.optim.batch
    steps = schedule.steps(recipe, epoch_steps)
    resumes = run.open(recipe, fresh=fresh) if share.rank == 0 else False
    resumes = distributed.gather([resumes], share)[0]  # the file may be a while in coming to another machine's eyes
    card = training.card(name)
    leads = share.rank == 0
    if resumes and not leads and os.environ.get("LOCAL_RANK") == "0":  # of another machine, whose copy is its own
        remote.download(run.folder)
    distributed.barrier(share)
    with run.alone() if leads else nullcontext(), tracked(run.folder / "tensorboard", on=leads) as track:
        first = training.restore(checkpoint.load_state(run.state)) if resumes else 0
        if leads:
            run.cut_metrics(first)
        yield Started(
            run=run.folder,
            first_step=first,
            steps=steps,
            epoch_steps=epoch_steps,
            parameters=parameters(training.model),
            train=training.train,
            val=training.val,
            init=training.init,
            source=recipe.data.source,
            cores=clips.cores(),
        )

        def log(line: Mapping[str, float]) -> None:
            if leads:
                run.append(line)
                track(line)

        with checkpoint.Saver() as saver:
            yield from _rounds(training, run, card, range(first, steps), epoch_steps, log, saver)
    distributed.barrier(share)
    if leads:
        curves_plot(lines(run.metrics), run.folder / "curves.png", title=name)
        remote.upload(run.folder)
    yield Finished(run=run.folder, broken=run.broken)


def _rounds(
    training: Training, run: Run, card: Card, steps: range, epoch_steps: int, log: Track, saver: checkpoint.Saver
) -> Generator[Step | Scored]:
    """Steps, and scores after epochs; the state is saved with them, now and then between, and on leaving."""
    leads, every = training.share.rank == 0, training.recipe.schedule.validate_every
    done, pending, together = (
        steps.start,
        deque[Step](),
        StopAgreement(IN_FLIGHT if training.device.type == "cuda" else 0),
    )
    try:
        for step in _steps(training, steps, epoch_steps):
            done, epoch = step.number, step.number / epoch_steps
            pending.append(step)
            scores = done == steps.stop or (every and done % epoch_steps == 0 and epoch % every == 0)
            saves = leads and (scores or done % training.recipe.schedule.checkpoint_steps == 0)
            told = _arrived(pending, run if leads else None, epoch_steps, log, wait=bool(scores or saves))
            scored = _score(training, run, card, done, epoch_steps, log) if scores else None
            yield from told
            if scored:
                yield scored
            if saves:
                saver.save(run.state, training.state(done))
                remote.upload(run.metrics)
            if together.reached(done):
                yield from _arrived(pending, run if leads else None, epoch_steps, log, wait=True)
                if leads:
                    saver.save(run.state, training.state(done))
                raise KeyboardInterrupt
    except LossNotFiniteError as error:
        saver.wait()
        raise SlowFastError(
            f"{error}; {_last_good(run, epoch_steps)}: try a lower optim.lr, optim.clip_norm=1 or optim.precision=fp32"
        ) from error
    except GeneratorExit:
        _arrived(pending, run if leads else None, epoch_steps, log, wait=True)
        if leads and done > steps.start:
            saver.save(run.state, training.state(done))
        raise


def _arrived(pending: deque[Step], run: Run | None, epoch_steps: int, log: Track, *, wait: bool) -> list[Step]:
    """Take out the steps whose losses are here, or wait for all of them; each is checked and logged."""
    found = []
    while pending and (wait or pending[0].arrived):
        step = pending.popleft()
        step.require_finite()
        log(
            {"step": step.number, "epoch": step.number / epoch_steps, "loss": step.loss, "lr": step.lr, **_losses(step)}
        )
        if run:
            run.note_broken(step.broken)
        found.append(step)
    return found


def _steps(training: Training, steps: range, epoch_steps: int) -> Iterator[Step]:
    recipe, share = training.recipe, training.share
    model: nn.Module = training.model
    if share.world > 1:
        model = DistributedDataParallel(
            model,
            device_ids=[training.device] if training.device.type == "cuda" else None,
            find_unused_parameters=recipe.task == "sync",  # what comes after the last stage that is compared
        )
    if recipe.optim.compile:
        model = torch.compile(model)  # type: ignore[assignment]
    parts, task = assemble.parts(recipe, share.world), assemble.task(recipe, training.val.classes)
    how = StepConfig(
        parts=parts,
        clip_norm=recipe.optim.clip_norm,
        dtype=assemble.DTYPES[recipe.optim.precision],
        seed=recipe.seed,
        rank=share.rank,
        contrast=task.losses if recipe.task == "simclr" and parts > 1 else None,
        graphs=recipe.optim.graphs,
    )
    for step in fit(
        model,
        task.loss,
        training_batches(training, steps),
        training.optimizer,
        schedule.learning_rate(recipe, epoch_steps),
        steps,
        how=how,
        scaler=training.scaler,
    ):
        training.model.momentum_update()
        if training.ema:
            training.ema.update(training.model)
        yield step


def _score(training: Training, run: Run, card: Card, done: int, epoch_steps: int, log: Track) -> Scored:
    recipe, share, epoch = training.recipe, training.share, done // epoch_steps
    dtype = assemble.DTYPES[recipe.optim.precision]
    if recipe.schedule.precise_norms:
        autocast = torch.autocast(training.device.type, dtype, enabled=dtype != torch.float32)
        batches = training_batches(training, range(recipe.schedule.precise_norms), seed=1 + epoch)
        with torch.random.fork_rng([training.device] if training.device.type == "cuda" else []), autocast:
            torch.manual_seed(recipe.seed + epoch)
            average_statistics(
                training.scored,
                (batch for _, batch in zip(range(recipe.schedule.precise_norms), batches, strict=False)),
            )
    distributed.average_buffers(training.scored, share)
    keys = loader.eval_keys(training.val_clips.counts(), batch=clips.eval_batch(recipe), share=share)
    read = clips.batches(recipe, training.val_clips, keys, training.device, unreadable=[])
    views = chain.from_iterable(map(transforms.testing(recipe, training.device), read))
    task = assemble.task(recipe, training.val.classes)
    found = merge(predictions(training.scored, task.predict, views, dtype=dtype), recipe.data.merge)
    scores = scored(recipe, distributed.gather(found, share), training.val)
    value = scores.values.get(recipe.metric, float("-inf"))  # a few segments of a smoke test may not have it
    best = value > training.best
    training.best = max(training.best, value)
    log({"step": done, "epoch": epoch, **{f"val_{key}": value for key, value in scores.values.items()}})
    if share.rank == 0:
        state = {
            name: value for name, value in training.scored.state_dict().items() if not name.startswith("objective.")
        }
        told = replace(card, scores=scores.values)
        for path in (run.last, run.best) if best and recipe.keep == "best" else (run.last,):
            checkpoint.write_whole(path, lambda part: save(part, state, told))
    return Scored(epoch=epoch, scores=scores, best=best)


def _losses(step: Step) -> dict[str, float]:
    detail = {f"loss_{labels}": value for labels, value in step.losses.items()} if len(step.losses) > 1 else {}
    data_wait = {"seconds": step.seconds, "waited": step.data_wait, "data_wait": 100 * step.data_wait / step.seconds}
    return detail | {"grad_norm": step.grad_norm, **data_wait}


def _last_good(run: Run, epoch_steps: int) -> str:
    if not run.state.is_file():
        return "no checkpoint was written yet"
    step = checkpoint.load_state(run.state)["step"]
    return f"the last good checkpoint is {run.state} (step {step}, epoch {step / epoch_steps:g})"
