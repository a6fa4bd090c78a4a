"""Explain the answer for a file by Grad-CAM: which parts of the sound or the frames speak for a class."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from slowfast_cli.models.gradcam import grad_cam, normalized
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.plots.explanation import explanation_plot
from slowfast_cli.stages.predict.file_predictor import file_predictor
from slowfast_cli.stages.predict.predictor import Predictor
from slowfast_cli.types import Signals, UsageError, did_you_mean
from slowfast_cli.weights.file import build

PIXELS = {"mean": 0.45, "std": 0.225}  # of normalized frames, where the card does not say


class _Recorder(nn.Module):
    """Keeps the clip with the highest score of a class while a model predicts."""

    def __init__(self, model: Recognizer, labels: str, index: int) -> None:
        super().__init__()
        self.model, self.trunk, self.heads = model, model.trunk, model.heads
        self._labels, self._index = labels, index
        self.best, self.signals = -np.inf, dict[str, Tensor]()

    def forward(self, signals: Signals, boxes: Tensor | None = None) -> dict[str, Tensor]:
        logits: dict[str, Tensor] = self.model(signals, boxes)
        rows = logits[self._labels].flatten(1, -2).mean(1) if logits[self._labels].ndim > 2 else logits[self._labels]
        scores_B = rows.float().log_softmax(-1)[:, self._index]
        row = int(scores_B.argmax())
        if float(scores_B[row]) > self.best:
            self.best = float(scores_B[row])
            self.signals = {name: value[row : row + 1] for name, value in signals.items()}
        return logits


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The clip of a file with the highest score of a class, and what speaks for the class there."""

    label: str
    score: float
    """Of the whole file."""
    signals: Mapping[str, np.ndarray]
    """``logmel`` (T, F), ``samples`` (N,), ``frames`` (T, H, W, 3) uint8."""
    maps: Mapping[str, np.ndarray]
    """By signal, from 0 to 1: (T, F), (N,), (T, H, W)."""


def explain(predictor: Predictor, path: Path, name: str | None = None) -> Explanation:
    """Compute the Grad-CAM of a file.

    Args:
        predictor: The model.
        path: The file.
        name: Class to explain; the best one by default.

    Raises:
        UsageError: There is no such class, or the model classifies boxes.
        DataError: The file cannot be read.
    """
    card = predictor.card
    if predictor.detects:
        raise UsageError("--explain: these weights classify boxes, which have no Grad-CAM here: use others")
    (prediction, *_) = predictor(path)
    labels, index = class_of(card.classes, name)
    if name is None:
        best = predictor.top(prediction, 1)[labels][0]
        index = best.index if isinstance(best.index, int) else best.index[0]
    _, model = build(predictor.weights)
    recorder = _Recorder(model.eval().requires_grad_(False), labels, index)
    list(file_predictor(predictor.weights, card, recorder, None).predict(path, None))
    signals = {key: value.float() for key, value in recorder.signals.items()}
    maps = normalized(grad_cam(model, signals, labels, index))
    return Explanation(
        label=card.classes[labels][index],
        score=float(prediction.scores[labels][index]),
        signals={key: _shown(key, value[0], dict(card.video)) for key, value in signals.items() if key in maps},
        maps={key: value.numpy() for key, value in maps.items()},
    )


def class_of(classes: Mapping[str, tuple[str, ...]], name: str | None) -> tuple[str, int]:
    """Find a class by its name: its label set, and its index there; raise `UsageError` if there is none."""
    if name is None:
        return next(iter(classes)), 0
    for labels, names in classes.items():
        if name in names:
            return labels, names.index(name)
    known = [name for names in classes.values() for name in names]
    raise UsageError(f"--explain-class {name}: no such class{did_you_mean(name, known)}")


def _shown(name: str, signal: Tensor, video: Mapping[str, object]) -> np.ndarray:
    """A signal as it is drawn: a log-mel without its channel axis, frames as RGB."""
    if name != "frames":
        return signal.squeeze(0).numpy() if signal.ndim == 3 else signal.numpy()
    mean, std = (torch.tensor(video.get(key, value)).reshape(-1, 1, 1, 1) for key, value in PIXELS.items())
    pixels = ((signal * std + mean).clamp(0, 1) * 255).byte()
    return (pixels.flip(0) if video.get("channels") == "bgr" else pixels).permute(1, 2, 3, 0).numpy()


def draw(explanation: Explanation, path: Path, out: Path, *, seconds: float) -> Path:
    """Write the picture of an explanation.

    Args:
        explanation: What to draw.
        path: The file, for the title.
        out: The PNG.
        seconds: Length of the clip.
    """
    title = f"{path.name}: {explanation.label} {explanation.score:.0%}"
    return explanation_plot(explanation.signals, explanation.maps, out, title=title, seconds=seconds)
