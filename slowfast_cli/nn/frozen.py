"""Freezing of batch norms."""

import contextlib
import re
from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm


def batch_norms(model: nn.Module) -> Iterator[tuple[str, BatchNorm]]:
    """Yield the name and module of every batch norm of a model."""
    return ((name, module) for name, module in model.named_modules() if isinstance(module, BatchNorm))


def freeze(model: nn.Module, which: str) -> list[str]:
    """Set `requires_grad` of the selected batch norms to False and return their names.

    The caller must keep them in eval mode to freeze their running statistics as well.

    Args:
        model: A trunk, whose stems are named ``stages.<pathway>_stem`` and ``laterals.<pathways>_stem``.
        which: ``none``, ``all``, or ``all-but-first``: the first norm of each pathway and of each lateral after the
            stem stays trainable (ASF Sec. 4.2 names the first; its code leaves these).
    """
    if which == "none":
        return []
    first = re.compile(r"(stages|laterals)\.\w+_stem\.norm")
    frozen = [name for name, _ in batch_norms(model) if which == "all" or not first.fullmatch(name)]
    for name in frozen:
        model.get_submodule(name).requires_grad_(False)
    return frozen


@contextlib.contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Keep batch norms in training mode from updating their running statistics and batch counter.

    They still normalize by the statistics of the batch, as a recomputed forward pass requires.
    """
    saved = [(norm, norm.momentum, norm.num_batches_tracked) for _, norm in batch_norms(model)]
    try:
        for norm, _, _ in saved:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        yield
    finally:
        for norm, momentum, num_batches in saved:
            norm.momentum, norm.num_batches_tracked = momentum, num_batches
