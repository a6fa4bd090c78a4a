"""Predictions for a whole split, and one for each segment out of those of its views."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import nn

from slowfast_cli.types import Batch, Prediction

Predict = Callable[[nn.Module, Batch], list[Prediction]]


def predictions(
    model: nn.Module, predict: Predict, batches: Iterable[Batch], *, dtype: torch.dtype = torch.float32
) -> Iterator[Prediction]:
    """One prediction a view, in the order of the batches; the model is put in eval mode."""
    device = next(model.parameters()).device
    model.eval()
    for batch in batches:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            yield from predict(model, batch)


def merge(views: Iterable[Prediction]) -> list[Prediction]:
    """The mean over the views of each segment, in the order in which segments first come.

    The sum is in float64, so that neither the order nor the number of batches shows.
    """
    sums: dict[str, dict[str, np.ndarray]] = {}
    counts: dict[str, int] = {}
    for view in views:
        held = sums.setdefault(view.id, {})
        counts[view.id] = counts.get(view.id, 0) + 1
        for labels, scores in view.scores.items():
            held[labels] = held.get(labels, np.zeros(len(scores))) + scores
    return [
        Prediction(id=id_, scores={labels: (total / counts[id_]).astype(np.float32) for labels, total in held.items()})
        for id_, held in sums.items()
    ]


def ordered(merged: Sequence[Prediction], ids: Sequence[str]) -> list[Prediction]:
    """The predictions of ``ids``, in that order."""
    by_id = {prediction.id: prediction for prediction in merged}
    return [by_id[id_] for id_ in ids]
