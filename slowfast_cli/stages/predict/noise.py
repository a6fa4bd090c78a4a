"""Noise in the place of clips, to measure and compare networks without files."""

import torch
from torch import Tensor

from slowfast_cli.data.views import clip_samples
from slowfast_cli.stages.predict.video import eval_frames
from slowfast_cli.types import Signals
from slowfast_cli.weights.file import Card


def noise(card: Card, batch: int) -> Signals:
    """Make a batch of noise of the sizes that a model reads."""
    signals: dict[str, Tensor] = {}
    frames = eval_frames(card) if "frames" in card.net.signals else None
    if frames is not None:
        signals["frames"] = torch.randn(batch, 3, frames.frames, frames.side, frames.side)
    if {"logmel", "samples"} & card.net.signals:
        front_end = card.log_mel()
        samples = clip_samples(card.clip_seconds, front_end.rate) - 1
        rows = frames.rows if frames else front_end.frames(samples)
        if "samples" in card.net.signals:
            signals["samples"] = torch.randn(batch, samples)
        else:
            signals["logmel"] = torch.randn(batch, 1, rows, front_end.mels)
    return signals | ({"has_audio": torch.ones(batch)} if len(signals) == 2 else {})
