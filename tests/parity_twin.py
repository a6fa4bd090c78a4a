"""Auditory Slow-Fast's training, written out in plain torch: the network, the loss, the schedule and the step.

Nothing of the package is used. Parameters are a dictionary by the names that the package gives them; the network is the
two-pathway one of the paper (arXiv:2103.03516, Sec. 3), alpha 4, with the blocks that the names tell.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as f

STAGES = ("stem", "res2", "res3", "res4", "res5")
LEARNING = ("trunk.stages.slow_stem.norm", "trunk.stages.fast_stem.norm", "trunk.laterals.f2s_stem.norm")
"""The norms that still learn where norms are frozen "but the first": of both stems and of the first lateral."""


@dataclass
class Twin:
    """A training in progress."""

    state: dict[str, Tensor]  # parameters and running statistics, float64
    lr: float  # the highest rate
    momentum: float
    decay: float  # of all but norms
    weights: dict[str, float]  # of the losses by label set
    frozen: str  # none, all-but-first, all
    epoch_steps: int
    drops: tuple[int, ...]  # epochs
    warmup: int  # epochs
    warmup_from: float
    done: int = 0

    def __post_init__(self) -> None:
        self.state = {name: value.clone() for name, value in self.state.items()}
        self.velocity: dict[str, Tensor] = {}
        self.learning = {
            name: value.requires_grad_()
            for name, value in self.state.items()
            if name.endswith((".weight", ".bias")) and (not is_norm(name) or self.learns(name.rpartition(".")[0]))
        }

    def learns(self, norm: str) -> bool:
        return self.frozen == "none" or (self.frozen == "all-but-first" and norm in LEARNING)

    def rate(self) -> float:
        """Epochs are fractional: drops of a factor of ten, after a linear warm-up to the value at its end."""
        epoch = self.done / self.epoch_steps
        if epoch < self.warmup:
            full = self.dropped(self.warmup)
            return full * self.warmup_from + full * (1 - self.warmup_from) * epoch / self.warmup
        return self.dropped(epoch)

    def dropped(self, epoch: float) -> float:
        return self.lr * 0.1 ** sum(epoch >= at for at in self.drops)

    def step(self, parts: list[tuple[Tensor, dict[str, Tensor]]]) -> float:
        """One step on a batch in equal parts, each of which norms see alone; returns its loss."""
        total = torch.zeros((), dtype=torch.float64)
        for logmel, targets in parts:
            logits = self.forward(logmel)
            for labels, target in targets.items():
                log_p = logits[labels] - logits[labels].exp().sum(1, keepdim=True).log()
                loss = -log_p[torch.arange(len(target)), target].mean()
                total = total + self.weights.get(labels, 1.0) * loss / len(parts)
        gradients = torch.autograd.grad(total, list(self.learning.values()))
        rate = self.rate()
        with torch.no_grad():
            for (name, value), gradient in zip(self.learning.items(), gradients, strict=True):
                decayed = gradient if is_norm(name) else gradient + self.decay * value
                before = self.velocity.get(name)
                self.velocity[name] = decayed if before is None else self.momentum * before + decayed
                value.sub_(rate * (decayed + self.momentum * self.velocity[name]))  # Nesterov looks ahead
        self.done += 1
        return total.item()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        frames = torch.linspace(0, x.shape[2] - 1, x.shape[2] // 4).long()
        slow, fast = x[:, :, frames], x
        for stage in STAGES:
            slow, fast = self.stage(f"slow_{stage}", slow), self.stage(f"fast_{stage}", fast)
            if stage != "res5":
                lateral = f"trunk.laterals.f2s_{stage}"
                joined = f.conv2d(fast, self.state[f"{lateral}.conv.weight"], stride=(4, 1), padding=(3, 0))
                slow = torch.cat([slow, self.norm(f"{lateral}.norm", joined).clamp(min=0)], 1)
        features = torch.cat([slow.mean((2, 3)), fast.mean((2, 3))], 1)
        labels = [name.split(".")[2] for name in self.state if name.startswith("heads.") and name.endswith(".bias")]
        return {
            name: features @ self.state[f"heads.linears.{name}.0.weight"].T + self.state[f"heads.linears.{name}.0.bias"]
            for name in labels
        }

    def stage(self, name: str, x: Tensor) -> Tensor:
        at = f"trunk.stages.{name}"
        if name.endswith("stem"):
            x = self.norm(f"{at}.norm", self.convolve(f"{at}.conv", x, (2, 2))).clamp(min=0)
            return f.max_pool2d(x, 3, 2, 1)
        block = 0
        while f"{at}.{block}.a.weight" in self.state:
            stride = (1, 2) if block == 0 and not name.endswith("res2") else (1, 1)
            here, skip = f"{at}.{block}", x
            y = self.norm(f"{here}.a_norm", self.convolve(f"{here}.a", x)).clamp(min=0)
            y = self.norm(f"{here}.b_norm", self.convolve(f"{here}.b", y, stride)).clamp(min=0)
            y = self.norm(f"{here}.c_norm", self.convolve(f"{here}.c", y))
            if block == 0:
                skip = self.norm(f"{here}.shortcut.norm", self.convolve(f"{here}.shortcut.conv", x, stride))
            x, block = (skip + y).clamp(min=0), block + 1
        return x

    def convolve(self, name: str, x: Tensor, stride: tuple[int, int] = (1, 1)) -> Tensor:
        weight = self.state[f"{name}.weight"]
        return f.conv2d(x, weight, stride=stride, padding=(weight.shape[2] // 2, weight.shape[3] // 2))

    def norm(self, name: str, x: Tensor) -> Tensor:
        """Statistics of the batch, which the running ones follow by a tenth; frozen norms use the running ones."""
        mean, var = self.state[f"{name}.running_mean"], self.state[f"{name}.running_var"]
        if self.learns(name):
            count = x.numel() // x.shape[1]
            now, spread = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
            mean.mul_(0.9).add_(0.1 * now.detach())
            var.mul_(0.9).add_(0.1 * spread.detach() * count / (count - 1))
            mean, var = now, spread
        scale = self.state[f"{name}.weight"] / (var + 1e-5).sqrt()
        return (x - mean[:, None, None]) * scale[:, None, None] + self.state[f"{name}.bias"][:, None, None]


def is_norm(name: str) -> bool:
    return "norm." in name
