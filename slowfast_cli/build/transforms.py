"""On-device transforms between the loader and the network, as lists made from a recipe.

Training: log-mel, SpecAugment, two views (BYOL), mixup, random crop of the frames, DropPathway, AV-sync negatives, and
what the task adds. Testing: log-mel, AV-sync negatives, then one batch for each crop of the frames.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from slowfast_cli.build.corpus import head_sizes
from slowfast_cli.build.network import architecture
from slowfast_cli.build.task import task_spec
from slowfast_cli.features import frames
from slowfast_cli.features.augment import augment_logmel, augment_samples, mixup
from slowfast_cli.features.front_ends import make_front_end
from slowfast_cli.features.logmel import repeat_last
from slowfast_cli.recipe.schema import Recipe, Sync
from slowfast_cli.settings import Augment, Frames, FrontEnd
from slowfast_cli.tasks.avsync import append_negatives
from slowfast_cli.types import Batch, Inputs


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training stands when it reads a batch."""

    step: int = 0  # optimizer steps done
    share: float = 0.0  # of all steps


Transform = Callable[[Batch, Progress], Batch]
EvalTransform = Callable[[Batch], Iterator[Batch]]


def training_transform(recipe: Recipe, device: torch.device, views: nn.Module | None = None) -> Transform:
    """Build the transform of training batches.

    Random numbers come from torch's generator; whether a step drops the audio depends on the seed and the step alone,
    so that all processes and micro-batches agree.

    Args:
        recipe: What to apply.
        device: Device of the batches.
        views: Makes two views of each log-mel, for BYOL; keeps state between batches.
    """
    transforms = training_transforms(recipe, device, views)

    def apply(batch: Batch, progress: Progress) -> Batch:
        for transform in transforms:
            batch = transform(batch, progress)
        return batch

    return apply


def training_transforms(recipe: Recipe, device: torch.device, views: nn.Module | None = None) -> list[Transform]:
    """List the transforms of training batches in the order in which they are applied."""
    spec, slope = task_spec(recipe), recipe.frontend.slope
    transforms: list[Transform] = [ComputeLogMel(recipe, device), SpecAugment(recipe.augment, slope)]
    if views is not None:
        transforms.append(TwoViews(views))
    if recipe.augment.mix:
        transforms.append(Mixup(recipe.augment, head_sizes(recipe), slope))
    if recipe.video is not None:
        transforms.append(RandomCrop(recipe.video))
    transforms.append(DropPathway(recipe.model.drop_pathway, recipe.seed))
    if recipe.sync:
        transforms.append(SyncNegatives(recipe.sync))
    if spec.transform is not None:
        transforms.append(_ignoring_progress(spec.transform))
    return transforms


def eval_transform(recipe: Recipe, device: torch.device) -> EvalTransform:
    """Build the transform of test batches: one batch for each crop of the frames."""
    to_logmel, settings, per_crop = ComputeLogMel(recipe, device), recipe.video, task_spec(recipe).eval_transform
    hard = 1.0 if recipe.sync is None or recipe.sync.test == "hard" else None

    def apply(batch: Batch) -> Iterator[Batch]:
        batch = append_negatives(to_logmel(batch, Progress()), hard=hard)
        crops = iter([batch]) if settings is None or batch.inputs.frames is None else eval_crops(batch, settings)
        yield from crops if per_crop is None else map(per_crop, crops)

    return apply


def _ignoring_progress(transform: Callable[[Batch], Batch]) -> Transform:
    return lambda batch, _: transform(batch)


class ComputeLogMel:
    """Compute the log-mel of clips that were read as samples, unless the network reads samples."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        reads_samples = "samples" in architecture(recipe).signals
        self._compute = None if reads_samples else log_mels(recipe.frontend, device)

    def __call__(self, batch: Batch, progress: Progress) -> Batch:
        """Apply the transform."""
        if self._compute is None:
            return replace(batch, inputs=replace(batch.inputs, valid_frames=None))
        return replace(batch, inputs=self._compute(batch.inputs))


def log_mels(front_end: FrontEnd, device: torch.device) -> Callable[[Inputs[Tensor]], Inputs[Tensor]]:
    """Build a function that replaces samples by float32 log-mels; those of clips without audio are zeros."""
    to_logmel = make_front_end(front_end).to(device)

    def compute(
        logmel: Tensor | None, samples: Tensor | None, rows: Tensor | None, valid_frames: Tensor | None
    ) -> Tensor | None:
        if samples is None:  # shards hold float16, which is cheaper to convert here than on the host
            return None if logmel is None else logmel.float()
        logmel_B1TF: Tensor = to_logmel(samples)
        if rows is not None:
            return torch.take_along_dim(logmel_B1TF, rows[:, None, :, None], dim=2)
        return logmel_B1TF if valid_frames is None else repeat_last(logmel_B1TF, valid_frames)

    def apply(inputs: Inputs[Tensor]) -> Inputs[Tensor]:
        logmel = compute(inputs.logmel, inputs.samples, inputs.rows, inputs.valid_frames)
        negative = compute(inputs.negative, inputs.negative_samples, inputs.negative_rows, None)
        if inputs.has_audio is not None:
            mask = inputs.has_audio[:, None, None, None]
            logmel = None if logmel is None else logmel * mask
            negative = None if negative is None else negative * mask
        return replace(
            inputs, logmel=logmel, negative=negative,
            samples=None, valid_frames=None, rows=None, negative_samples=None, negative_rows=None,
        )  # fmt: skip

    return apply


@dataclass(frozen=True)
class SpecAugment:
    """SpecAugment, time shifts and gain, on log-mels or samples."""

    settings: Augment
    slope: float

    def __call__(self, batch: Batch, progress: Progress) -> Batch:
        """Apply the transform."""
        inputs = batch.inputs
        for name in ("logmel", "negative"):
            if (logmel := getattr(inputs, name)) is not None:
                inputs = replace(inputs, **{name: augment_logmel(logmel, self.settings, slope=self.slope)})
        if inputs.samples is not None:
            inputs = replace(inputs, samples=augment_samples(inputs.samples, self.settings))
        return replace(batch, inputs=inputs)


@dataclass(frozen=True)
class TwoViews:
    """Replace each clip by two augmented views (BYOL-A)."""

    views: nn.Module

    def __call__(self, batch: Batch, progress: Progress) -> Batch:
        """Apply the transform."""
        return replace(batch, inputs=Inputs(logmel=self.views(batch.inputs.logmel)), ids=batch.ids * 2)


@dataclass(frozen=True)
class Mixup:
    """Mix each clip and its targets with another clip of the batch."""

    settings: Augment
    classes: Mapping[str, int]
    slope: float

    def __call__(self, batch: Batch, progress: Progress) -> Batch:
        """Apply the transform."""
        inputs = batch.inputs
        name = "logmel" if inputs.samples is None else "samples"
        alpha, beta = self.settings.mix, self.settings.mix_other
        mixed, targets = mixup(getattr(inputs, name), batch.targets, self.classes, alpha, beta, self.slope)
        return replace(batch, inputs=replace(inputs, **{name: mixed}), targets=targets)


@dataclass(frozen=True)
class RandomCrop:
    """Scale jitter, random crop and mirroring of the frames."""

    settings: Frames

    def __call__(self, batch: Batch, progress: Progress) -> Batch:
        """Apply the transform."""
        sizes = batch.inputs.frame_sizes
        return batch if sizes is None else _crop(batch, frames.random_crop(sizes.cpu(), self.settings), self.settings)


@dataclass(frozen=True)
class DropPathway:
    """Silence the audio pathways in a share of the steps (AV Sec. 3.5)."""

    share: float
    seed: int

    def __call__(self, batch: Batch, progress: Progress) -> Batch:
        """Apply the transform."""
        has_audio = batch.inputs.has_audio
        if has_audio is None or np.random.default_rng((self.seed, progress.step)).random() >= self.share:
            return batch
        return replace(batch, inputs=replace(batch.inputs, has_audio=torch.zeros_like(has_audio)))


@dataclass(frozen=True)
class SyncNegatives:
    """Append AV-sync negatives, hard ones from a share of the training on."""

    settings: Sync

    def __call__(self, batch: Batch, progress: Progress) -> Batch:
        """Apply the transform."""
        hard = self.settings.hard if progress.share >= self.settings.hard_from else 0.0
        return append_negatives(batch, hard=hard)


def eval_crops(batch: Batch, settings: Frames) -> Iterator[Batch]:
    """Yield one batch for each test crop of the frames.

    Args:
        batch: With ``frames`` as they were read, and ``frame_sizes``.
        settings: Which crops.
    """
    sizes = batch.inputs.frame_sizes
    if sizes is None:
        raise ValueError("eval_crops: frames without frame_sizes are cropped already")
    for number in range(max(settings.crops, 1)):
        yield _crop(batch, frames.eval_crop(sizes.cpu(), settings, number), settings)


def _crop(batch: Batch, crop: frames.Crop, settings: Frames) -> Batch:
    inputs = batch.inputs
    if inputs.frames is None or inputs.frame_sizes is None:
        return batch
    cropped = frames.crop_frames(inputs.frames, inputs.frame_sizes.cpu(), crop, settings)
    boxes = None if batch.boxes is None else frames.boxes_to_crop(batch.boxes, crop)
    return replace(batch, inputs=replace(inputs, frames=cropped, frame_sizes=None), boxes=boxes)
