"""Probabilities of sounds by a network in PyTorch, or behind a converted program."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from slowfast_cli.data.views import clip_samples
from slowfast_cli.features.front_ends import make_front_end
from slowfast_cli.features.logmel import repeat_last
from slowfast_cli.settings import FrontEnd
from slowfast_cli.weights.file import Card


class NetworkScorer:
    """Scores sounds with a model that reads audio only.

    Args:
        model: The model, on its device.
        card: Its metadata.
        front_end: Log-mel settings of the model, or the sampling rate if it reads samples.
        rows: Indices of the log-mel frames that the model reads; empty for all.
    """

    def __init__(self, model: nn.Module, card: Card, front_end: FrontEnd, *, rows: Sequence[int] = ()) -> None:
        self._device = next(model.parameters()).device
        self._model = model
        self._front_end = front_end
        self._transform = make_front_end(front_end).to(self._device)
        self._clip = clip_samples(card.clip_seconds, front_end.rate)
        self._sigmoid, self._silence = card.sigmoid, card.silence
        self._reads = "samples" if "samples" in card.net.signals else "logmel"
        self._rows = list(rows)

    @torch.inference_mode()
    def __call__(self, sounds: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """See `slowfast_cli.stages.predict.audio.SoundScorer`."""
        logits: dict[str, Tensor] = self._model({self._reads: self.signal(sounds)})
        activate = torch.sigmoid if self._sigmoid else lambda rows: rows.softmax(1)
        return {labels: activate(rows.float()).cpu().numpy() for labels, rows in logits.items()}

    def signal(self, sounds: Sequence[np.ndarray]) -> Tensor:
        """Stack samples or log-mels at one length, padding shorter sounds as in training (ASF Sec. 4.2)."""
        padded = torch.from_numpy(np.stack([np.pad(sound, (0, self._clip - 1 - len(sound))) for sound in sounds]))
        padded = padded.to(self._device)
        if self._reads == "samples":
            return padded
        logmel: Tensor = self._transform(padded)
        if not self._silence:
            frames_B = torch.tensor([self._front_end.frames(len(sound)) for sound in sounds], device=self._device)
            logmel = repeat_last(logmel, frames_B)
        return logmel[:, :, self._rows] if self._rows else logmel
