"""Training: a recipe in, a run folder out, events along the way."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain, islice

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from slowfast_cli.build.clips import cores, eval_batch, load_batches
from slowfast_cli.build.schedule import DTYPES, learning_rate, total_steps
from slowfast_cli.build.scores import event_thresholds, score_predictions, validation_loss
from slowfast_cli.build.task import build_task, step_config, task_spec
from slowfast_cli.build.transforms import eval_transform
from slowfast_cli.data import loader
from slowfast_cli.engine import checkpoint, distributed
from slowfast_cli.engine.evaluate import predictions
from slowfast_cli.engine.fit import IN_FLIGHT, LossNotFiniteError, Step, fit
from slowfast_cli.engine.precise_bn import precise_bn
from slowfast_cli.engine.stop_signal import StopAgreement
from slowfast_cli.metrics.predictions import merge
from slowfast_cli.models.count import parameters
from slowfast_cli.plots.curves import curves_plot
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages.train.auto_workers import training_batches
from slowfast_cli.stages.train.default_run import Place, open_run
from slowfast_cli.stages.train.html import write_report
from slowfast_cli.stages.train.progress import Event as Event
from slowfast_cli.stages.train.progress import Finished as Finished
from slowfast_cli.stages.train.progress import Scored as Scored
from slowfast_cli.stages.train.progress import Started as Started
from slowfast_cli.stages.train.run_folder import Run, lines
from slowfast_cli.stages.train.state import Training, build_training
from slowfast_cli.stages.train.trackers import installed, tracking
from slowfast_cli.storage import remote
from slowfast_cli.storage.atomic import write_atomic
from slowfast_cli.types import SlowFastError
from slowfast_cli.weights.file import Card, save

Log = Callable[[Mapping[str, float]], None]  # takes a line of metrics.jsonl


def train(
    recipe: Recipe,
    at_run: Place,
    *,
    name: str = "",
    fresh: bool = False,
    device: str = "auto",
    smoke: bool = False,
    track: Sequence[str] | None = None,
) -> Generator[Event]:
    """Train a recipe, or resume its run. The caller may stop after any event and nothing is lost.

    Args:
        recipe: What to train.
        at_run: The run; the first process chooses the folder of a `DefaultRun` for all.
        name: Name of the recipe, for the weight files.
        fresh: Move an existing run aside and start over.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``.
        smoke: Use two batches and eight test segments, for one epoch.
        track: Trackers, see `slowfast_cli.stages.train.trackers`; None: TensorBoard, if it is installed.

    Raises:
        SlowFastError: A user error in the recipe, the data, the weights or the run folder.
        KeyboardInterrupt: One of several processes was asked to stop: all stop after the same step, which is saved.
    """
    share = distributed.join()
    at = distributed.device(device)
    if smoke:
        short = recipe.schedule.model_copy(update={"epochs": 1, "steps": None})
        recipe = recipe.model_copy(update={"schedule": short})
    training = build_training(recipe, share, at, smoke=smoke)
    given, recipe = recipe, training.recipe
    epoch_steps = len(training.train_clips) // recipe.optim.batch
    steps, leads = total_steps(recipe, epoch_steps), share.rank == 0
    run, resumes = open_run(at_run, recipe, given=given, fresh=fresh, share=share)
    card = training.card(name)
    if resumes and not leads and os.environ.get("LOCAL_RANK") == "0":  # the cache of another machine
        remote.download(run.folder)
    distributed.barrier(share)
    names = () if smoke or not leads else installed() if track is None else track
    with run.exclusive() if leads else nullcontext(), tracking(names, run.folder, recipe) as write:
        first = training.restore(checkpoint.load_state(run.state), run.state) if resumes else 0
        steps = first if training.ended and not training.unscored else steps
        if leads:
            run.cut_metrics(first, scored=not training.unscored)
        yield Started(
            run=run.folder,
            first_step=first,
            steps=steps,
            epoch_steps=epoch_steps,
            parameters=parameters(training.model),
            train=training.train,
            val=training.val,
            init=training.init,
            init_name=recipe.model.init,
            source=recipe.data.source,
            cores=cores(),
            remarks=training.remarks,
        )

        def log(line: Mapping[str, float]) -> None:
            if leads:
                run.append(line)
                write(line)

        with checkpoint.Saver() as saver:
            yield from _rounds(training, run, card, range(first, steps), epoch_steps, log, saver)
        if leads:
            curves_plot(lines(run.metrics), run.folder / "curves.png", title=name, metric=training.metric)
            write_report(run.folder)
    distributed.barrier(share)
    if leads:
        remote.upload(run.folder)
    yield Finished(run=run.folder, broken=run.broken)


def _rounds(
    training: Training, run: Run, card: Card, steps: range, epoch_steps: int, log: Log, saver: checkpoint.Saver
) -> Generator[Step | Scored]:
    """Yield steps, and scores after epochs; checkpoint before and after scoring, at intervals, and on leaving."""
    leads, plan = training.share.rank == 0, training.recipe.schedule
    done, pending = steps.start, deque[Step]()
    stop = StopAgreement(IN_FLIGHT if training.device.type == "cuda" else 0)
    log_to = run if leads else None
    try:
        if training.unscored:  # scoring had failed
            yield _score_and_save(training, run, card, done, epoch_steps, log, saver)
        for step in _steps(training, steps, epoch_steps):
            done, epoch = step.number, step.number / epoch_steps
            pending.append(step)
            every = plan.validate_every
            scores = done == steps.stop or (every and done % epoch_steps == 0 and epoch % every == 0)
            training.unscored = bool(scores)
            saves = leads and done % plan.checkpoint_steps == 0
            yield from _log_steps(pending, log_to, epoch_steps, log, wait=bool(scores or saves))
            if scores:
                yield _score_and_save(training, run, card, done, epoch_steps, log, saver)
            elif saves:
                saver.save(run.state, training.state(done))
                remote.upload(run.metrics)
            if stop.reached(done):
                yield from _log_steps(pending, log_to, epoch_steps, log, wait=True)
                if leads:
                    saver.save(run.state, training.state(done))
                raise KeyboardInterrupt
    except LossNotFiniteError as error:
        saver.wait()
        raise SlowFastError(
            f"{error}; {_last_checkpoint(run, epoch_steps)}: try a lower optim.lr, optim.clip_norm=1 or "
            "optim.precision=fp32"
        ) from error
    except GeneratorExit:
        _log_steps(pending, log_to, epoch_steps, log, wait=True)
        if leads and done > steps.start:
            saver.save(run.state, training.state(done))
        raise


def _score_and_save(
    training: Training, run: Run, card: Card, done: int, epoch_steps: int, log: Log, saver: checkpoint.Saver
) -> Scored:
    """Score the validation split; the state is saved before, so that a failure loses no epoch, and after."""
    leads = training.share.rank == 0
    if leads:
        saver.save(run.state, training.state(done))
    scored = _score(training, run, card, done, epoch_steps, log)
    training.unscored = False
    if leads:
        saver.save(run.state, training.state(done))
        remote.upload(run.metrics)
    return scored


def _log_steps(pending: deque[Step], run: Run | None, epoch_steps: int, log: Log, *, wait: bool) -> list[Step]:
    """Remove the steps whose losses have arrived, or wait for all of them; check and log each."""
    steps = []
    while pending and (wait or pending[0].arrived):
        step = pending.popleft()
        step.require_finite()
        detail = {f"loss_{labels}": value for labels, value in step.losses.items()} if len(step.losses) > 1 else {}
        log(
            {
                "step": step.number,
                "epoch": step.number / epoch_steps,
                "loss": step.loss,
                "lr": step.lr,
                **detail,
                "grad_norm": step.grad_norm,
                "seconds": step.seconds,
                "data_wait_seconds": step.data_wait,
                "data_wait": 100 * step.data_wait / step.seconds,
            }
        )
        if run:
            run.note_broken(step.broken)
        steps.append(step)
    return steps


def _steps(training: Training, steps: range, epoch_steps: int) -> Iterator[Step]:
    recipe, share, spec = training.recipe, training.share, task_spec(training.recipe)
    model: nn.Module = training.model
    if share.world > 1:
        model = DistributedDataParallel(
            model,
            device_ids=[training.device] if training.device.type == "cuda" else None,
            find_unused_parameters=spec.part is None,  # layers after the last stage that AV-sync compares
        )
    if recipe.optim.compile:
        model = torch.compile(model)  # type: ignore[assignment]
    task = build_task(recipe, training.val.classes)
    config = step_config(recipe, task, share)
    batches, rate = training_batches(training, steps), learning_rate(recipe, epoch_steps)
    for step in fit(model, task.loss, batches, training.optimizer, rate, steps, config=config, scaler=training.scaler):
        training.model.momentum_update()
        if training.ema:
            training.ema.update(training.model)
        yield step
        if training.ended:
            return


def _score(training: Training, run: Run, card: Card, done: int, epoch_steps: int, log: Log) -> Scored:
    """Score the validation split, and save the weights."""
    recipe, share, epoch = training.recipe, training.share, done // epoch_steps
    dtype, count = DTYPES[recipe.optim.precision], recipe.schedule.precise_bn_batches
    if count:
        autocast = torch.autocast(training.device.type, dtype, enabled=dtype != torch.float32)
        batches = training_batches(training, range(count), seed=1 + epoch)
        with torch.random.fork_rng([training.device] if training.device.type == "cuda" else []), autocast:
            torch.manual_seed(recipe.seed + epoch)
            precise_bn(training.scored, islice(batches, count))
    distributed.average_buffers(training.scored, share)
    keys = loader.eval_keys(training.val_clips.counts(), batch=eval_batch(recipe), share=share)
    batches = load_batches(recipe, training.val_clips, keys, training.device, unreadable=[])
    views = chain.from_iterable(map(eval_transform(recipe, training.device), batches))
    task = build_task(recipe, training.val.classes)
    merged = merge(predictions(training.scored, task.predict, views, dtype=dtype), recipe.data.merge)
    gathered = distributed.gather(merged, share)
    scores = score_predictions(recipe, gathered, training.val)
    name = training.metric
    loss = validation_loss(recipe, gathered, training.val)
    best = training.record(scores.values.get(name), loss)  # the few segments of a smoke test may not have it
    values = scores.values if loss is None else {"loss": loss, **scores.values}
    log({"step": done, "epoch": epoch, **{f"val_{key}": value for key, value in values.items()}})
    if share.rank == 0:
        state = {
            name: value for name, value in training.scored.state_dict().items() if not name.startswith("objective.")
        }
        scored = replace(card, scores=scores.values, thresholds=event_thresholds(recipe, gathered, training.val))
        for path in (run.last, run.best) if best and recipe.keep == "best" else (run.last,):
            write_atomic(path, lambda temporary: save(temporary, state, scored))
    return Scored(epoch=epoch, scores=scores, metric=name, best=best)


def _last_checkpoint(run: Run, epoch_steps: int) -> str:
    if not run.state.is_file():
        return "no checkpoint was written yet"
    step = checkpoint.load_state(run.state)["step"]
    return f"the last good checkpoint is {run.state} (step {step}, epoch {step / epoch_steps:g})"
