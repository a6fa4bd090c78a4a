"""Batch norms that training must not touch."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

FREEZE = ("none", "all-but-first", "all")


def norms(model: nn.Module) -> Iterator[tuple[str, BatchNorm]]:
    """Every batch norm of a model, by name."""
    return ((name, module) for name, module in model.named_modules() if isinstance(module, BatchNorm))


def freeze(model: nn.Module, which: str) -> list[str]:
    """Stop the affine parameters of some batch norms from learning, and name them.

    Their running statistics stop when the caller keeps them in eval mode.

    Args:
        model: A trunk, whose stems are named ``stages.<pathway>_stem``.
        which: ``none``, ``all``, or ``all-but-first``: each pathway's first one goes on learning (ASF Sec. 4.2).
    """
    if which == "none":
        return []
    frozen = [name for name, _ in norms(model) if which == "all" or not re.fullmatch(r"stages\.\w+_stem\.norm", name)]
    for name in frozen:
        model.get_submodule(name).requires_grad_(False)
    return frozen


@contextlib.contextmanager
def still(model: nn.Module) -> Iterator[None]:
    """Keep the running statistics of batch norms as they are, in training mode too.

    The norms do all they ever do, which a pass that is computed again has to, but move by nothing, and count nothing.
    """
    kept = [(norm, norm.momentum, norm.num_batches_tracked) for _, norm in norms(model)]
    try:
        for norm, _, _ in kept:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        yield
    finally:
        for norm, momentum, counted in kept:
            norm.momentum, norm.num_batches_tracked = momentum, counted
