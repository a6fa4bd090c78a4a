"""Batches of noise with the sizes of a recipe: to count, to time and to estimate without data."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from slowfast_cli.build.network import architecture
from slowfast_cli.build.task import task_spec
from slowfast_cli.data.views import clip_samples
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.settings import WHOLE
from slowfast_cli.types import Batch, Inputs


def random_batch(recipe: Recipe, clips: int, heads: Mapping[str, int]) -> Batch:
    """Make a training batch of noise and random targets, of the recipe's sizes."""
    spec = task_spec(recipe)
    repeats = spec.views_per_segment

    def noise(name: str, value: Tensor) -> Tensor:
        if value.ndim == 1:
            return value
        copies = repeats * (2 if recipe.sync and name == "logmel" else 1)
        return torch.cat([torch.randn_like(value) for _ in range(copies)])

    blank = zeros(recipe, clips, testing=False)
    targets = {
        labels: torch.rand(clips, classes).round() if spec.multi_label else torch.randint(classes, (clips,))
        for labels, classes in heads.items()
    }
    boxes = torch.tensor([[float(row), 8.0, 8.0, 40.0, 40.0] for row in range(clips)]) if spec.boxes else None
    return Batch(
        inputs=Inputs(**{name: noise(name, value) for name, value in blank.present.items()}),
        targets=targets,
        ids=tuple(map(str, range(clips))) * repeats,
        boxes=boxes,
    )


def zeros(recipe: Recipe, clips: int, *, testing: bool) -> Inputs[Tensor]:
    """Inputs of the recipe's sizes, for training or ``testing``."""
    front_end, frames, net = recipe.frontend, recipe.video, architecture(recipe)
    samples = clip_samples(recipe.data.clip_seconds or 0, front_end.rate) - 1
    inputs: Inputs[Tensor] = Inputs()
    if "frames" in net.signals and frames:
        side = frames.side if testing else frames.crop
        # A whole frame is taken as 4:5, as the paper counts AVA (AV Sec. 5, footnote 2).
        wide = side * 5 // 4 if testing and frames.crops == WHOLE else side
        inputs = replace(inputs, frames=torch.zeros(clips, 3, frames.frames, side, wide))
    if "logmel" in net.signals:
        rows = frames.rows if frames else front_end.frames(samples)
        inputs = replace(inputs, logmel=torch.zeros(clips, 1, rows, front_end.mels))
    if "samples" in net.signals:
        inputs = replace(inputs, samples=torch.zeros(clips, samples))
    if "features" in net.signals:
        inputs = replace(inputs, features=torch.zeros(clips, sum(net.features().values())))
    return replace(inputs, has_audio=torch.ones(clips)) if len(net.signals) == 2 else inputs
