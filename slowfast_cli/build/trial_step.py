"""The training step of a recipe on a micro-batch of noise: to time it, or to estimate its memory."""

import torch
from torch import Tensor

from slowfast_cli.build.corpus import head_sizes
from slowfast_cli.build.network import build_recognizer, channels_last
from slowfast_cli.build.random_batch import random_batch
from slowfast_cli.build.schedule import DTYPES, build_optimizer
from slowfast_cli.build.task import build_task
from slowfast_cli.recipe.schema import Recipe


class TrialStep:
    """Network, optimizer and batch of a recipe, built as a training builds them.

    Args:
        recipe: What would be trained.
        clips: Clips of the micro-batch.
        at: Device.
    """

    def __init__(self, recipe: Recipe, clips: int, at: torch.device) -> None:
        heads, optim = head_sizes(recipe), recipe.optim
        with at:  # fake tensors cannot be moved
            self.model = build_recognizer(recipe, heads).train()
            self.batch = random_batch(recipe, clips, heads)
        if at.type == "cuda":
            channels_last(self.model)
        self.optimizer = build_optimizer(recipe, self.model)
        self.task = build_task(recipe, heads)
        self._autocast = torch.autocast(at.type, DTYPES[optim.precision], enabled=optim.precision != "fp32")

    def forward(self) -> dict[str, Tensor]:
        """Compute the losses by label set."""
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast:
            return self.task.loss(self.model, self.batch)

    def backward(self, losses: dict[str, Tensor]) -> None:
        """Compute the gradients."""
        torch.stack(list(losses.values())).sum().backward()

    def update(self) -> None:
        """Take the optimizer step."""
        self.optimizer.step()
        self.model.momentum_update()
