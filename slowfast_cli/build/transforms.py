"""What happens to a batch on the device before the network sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from slowfast_cli.build import assemble
from slowfast_cli.features import frames as pictures
from slowfast_cli.features.augment import Augment, mix
from slowfast_cli.features.byol_augment import Views
from slowfast_cli.features.logmel import FrontEnd, LogMel, repeat_last
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.tasks.avsync import easy_negatives, with_negatives
from slowfast_cli.tasks.rotation import LABELS, TURNS, quarters_of
from slowfast_cli.tasks.simclr import POSITIVE, positives
from slowfast_cli.types import Batch, Signals

Training = Callable[[Batch, int, float], Batch]  # batch, steps done, share of the training done
Testing = Callable[[Batch], Iterator[Batch]]


def training(recipe: Recipe, device: torch.device, views: Views | None = None) -> Training:
    """Log-mel of samples, augmentation, BYOL-A's views, frames cut at random, DropPathway, sound that does not belong.

    What is drawn comes from torch's generator; whether a step drops the sound, from the seed and the step alone, so
    that all processes and all parts of a batch do the same.

    Args:
        recipe: What is to be done.
        device: Where.
        views: BYOL-A's, which remember earlier clips.
    """
    sounds = _sounds(recipe, device)
    settings, slope = recipe.augment, assemble.front_end(recipe).slope
    augment = Augment(**settings.model_dump(exclude={"mix", "mix_other"}), slope=slope)
    seen = assemble.frame_settings(recipe)

    def prepared(batch: Batch, step: int, done: float) -> Batch:
        batch = replace(batch, signals=sounds(batch.signals))
        heard = [name for name in ("logmel", "shifted") if name in batch.signals]
        batch = replace(batch, signals=batch.signals | {name: augment(batch.signals[name]) for name in heard})
        if "samples" in batch.signals:
            batch = replace(batch, signals={**batch.signals, "samples": augment.samples(batch.signals["samples"])})
        if views is not None:
            batch = replace(batch, signals={"logmel": views(batch.signals["logmel"])}, ids=batch.ids * 2)
        if settings.mix:
            name = "samples" if "samples" in batch.signals else "logmel"
            sizes, other = assemble.heads(recipe), settings.mix_other
            mixed, targets = mix(batch.signals[name], batch.targets, sizes, settings.mix, other, slope)
            batch = replace(batch, signals={**batch.signals, name: mixed}, targets=targets)
        if seen is not None and "frames" in batch.signals:
            batch = _cut(batch, pictures.random_cut(batch.signals["sizes"].cpu(), seen), seen)
        if recipe.task == "rotation":
            quarters = torch.randint(len(TURNS), (len(batch),))
            batch = replace(batch, targets={LABELS: quarters.to(device)})
            batch = replace(batch, signals=pictures.rotated(batch.signals, quarters))
        if (
            "has_audio" in batch.signals
            and np.random.default_rng((recipe.seed, step)).random() < recipe.model.drop_pathway
        ):
            batch = replace(batch, signals={**batch.signals, "has_audio": torch.zeros_like(batch.signals["has_audio"])})
        if recipe.sync and "shifted" in batch.signals:
            hard = recipe.sync.hard if done >= recipe.sync.hard_from else 0.0
            batch = _compared(batch, with_negatives(batch.signals["logmel"], batch.signals["shifted"], hard=hard))
        if assemble.compared(recipe) > 1:  # on the device before the step, which then asks the host for nothing
            known = torch.tensor(positives(batch.ids), device="cpu", pin_memory=device.type == "cuda")
            batch = replace(batch, targets={**batch.targets, POSITIVE: known.to(device, non_blocking=True)})
        return batch

    return prepared


def testing(recipe: Recipe, device: torch.device) -> Testing:
    """Log-mel of samples, and one batch for each crop of the frames."""
    sounds = _sounds(recipe, device)
    seen = assemble.frame_settings(recipe)
    hard = recipe.sync is None or recipe.sync.test == "hard"

    def prepared(batch: Batch) -> Iterator[Batch]:
        batch = replace(batch, signals=sounds(batch.signals))
        if "shifted" in batch.signals:
            own, other = batch.signals["logmel"], batch.signals["shifted"]
            batch = _compared(batch, with_negatives(own, other, hard=1) if hard else easy_negatives(own, batch.ids))
        if seen is None or "frames" not in batch.signals:
            yield batch
            return
        for view in crops(batch, seen):
            yield _turned(view) if recipe.task == "rotation" else view

    return prepared


def _sounds(recipe: Recipe, device: torch.device) -> Callable[[Signals], Signals]:
    """What becomes of clips that came as samples: log-mels, unless the network reads samples."""
    if "samples" in assemble.net(recipe).signals:
        return _as_samples
    return log_mels(assemble.front_end(recipe), device)


def _as_samples(signals: Signals) -> Signals:
    return {name: value for name, value in signals.items() if name != "true_frames"}


def log_mels(front_end: FrontEnd, device: torch.device) -> Callable[[Signals], Signals]:
    """Float32 log-mels, worked out of clips that came as samples; of clips without sound they are zeros.

    Args:
        front_end: Their settings.
        device: Where.
    """
    log_mel = LogMel(front_end).to(device)

    def prepared(signals: Signals) -> Signals:
        signals = dict(signals)
        if "samples" in signals:
            signals["logmel"] = repeat_last(log_mel(signals.pop("samples")), signals.pop("true_frames"))
        for name in ("logmel", "shifted"):
            if name in signals:
                signals[name] = signals[name].float()  # shards hold float16, and this is cheaper here than before
            if f"{name}_samples" in signals:
                rows_BR = signals.pop(f"{name}_rows")
                whole_B1TF = log_mel(signals.pop(f"{name}_samples"))
                signals[name] = torch.take_along_dim(whole_B1TF, rows_BR[:, None, :, None], dim=2)
            if name in signals and "has_audio" in signals:  # clips without sound have a log-mel of zeros
                signals[name] = signals[name] * signals["has_audio"][:, None, None, None]
        return signals

    return prepared


def crops(batch: Batch, settings: pictures.FrameSettings) -> Iterator[Batch]:
    """One batch for each crop that is tested.

    Args:
        batch: Its frames are as they were read, their sizes beside them.
        settings: Which crops.
    """
    for number in range(max(settings.crops, 1)):
        yield _cut(batch, pictures.eval_crop(batch.signals["sizes"].cpu(), settings, number), settings)


def _cut(batch: Batch, cut: pictures.Cut, settings: pictures.FrameSettings) -> Batch:
    signals = dict(batch.signals)
    sizes_B2 = signals.pop("sizes").cpu()
    signals["frames"] = pictures.sampled(signals["frames"], sizes_B2, cut, settings)
    boxes: Tensor | None = None if batch.boxes is None else pictures.placed(batch.boxes, cut)
    return replace(batch, signals=signals, boxes=boxes)


def _turned(batch: Batch) -> Batch:
    quarters_B = torch.tensor([quarters_of(id_) for id_ in batch.ids])
    return replace(batch, signals=pictures.rotated(batch.signals, quarters_B))


def _compared(batch: Batch, pairs_S1TF: Tensor) -> Batch:
    """The same with sound that does not belong behind the sound that does, in place of another stretch of each clip."""
    rest = {name: value for name, value in batch.signals.items() if name != "shifted"}
    return replace(batch, signals={**rest, "logmel": pairs_S1TF})
