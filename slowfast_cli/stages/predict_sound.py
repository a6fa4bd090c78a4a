"""What is heard in a file, by a model that only listens: a few views of it, or a timeline in constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from slowfast_cli.data.views import clip_samples, cut, spread, windows
from slowfast_cli.features.logmel import FrontEnd, LogMel, repeat_last
from slowfast_cli.media import audio
from slowfast_cli.media.source import shown
from slowfast_cli.models.recogniser import Recogniser
from slowfast_cli.stages.answers import MOST_VIEWS, Answer, Timeline, decoding
from slowfast_cli.types import DataError, Recording, Seconds
from slowfast_cli.weights.file import Card

BATCH = 16  # windows in one forward pass


class Listener:
    """A model that listens, ready for samples.

    Args:
        model: The model, on its device.
        card: What it says of itself. Where each class stands for itself, views are merged by their maximum.
        front_end: Of the log-mel that it reads, or the rate of the samples.
        rows: Numbers of the log-mel's rows that it was trained on, where not all of them.
    """

    def __init__(
        self,
        model: Recogniser,
        card: Card,
        front_end: FrontEnd,
        *,
        rows: Sequence[int] = (),
    ) -> None:
        self._device = next(model.parameters()).device
        self._model = model
        self._front_end = front_end
        self._log_mel = LogMel(front_end).to(self._device)
        self._clip = clip_samples(card.clip_seconds, front_end.rate)
        self._views, self._sigmoid, self._silence = card.views, card.sigmoid, card.silence
        self._reads = "samples" if "samples" in card.net.signals else "logmel"
        self._rows = list(rows)

    def answers(self, path: Path, timeline: Timeline | None) -> Iterator[Answer]:
        """See `slowfast_cli.stages.answers.Senses`."""
        yield from self._windows(path, timeline) if timeline else [self._whole(path)]

    def _whole(self, path: Path) -> Answer:
        recording = Recording(id=str(path), path=path)
        rate = self._front_end.rate
        with decoding(path):
            seconds = audio.probe(recording).seconds
            size = max(round(seconds * rate), 1)
            cuts = [cut(0, size, self._clip, start) for start in self._starts(size)]
            pieces = [audio.read(recording, rate=rate, first=where.first, count=where.count) for where in cuts]
        scores = self._scores([piece for piece in pieces if len(piece)] or _nothing(path))
        merged = {name: self._merged(rows) for name, rows in scores.items()}
        return Answer(path=path, start=0.0, end=seconds, scores=merged)

    def _windows(self, path: Path, timeline: Timeline) -> Iterator[Answer]:
        rate = self._front_end.rate
        window, hop = (max(clip_samples(seconds, rate), 1) for seconds in (timeline.window, timeline.hop))
        starts, held, pieces = 0, np.zeros(0, np.float32), list[np.ndarray]()
        ends: list[Seconds] = []
        for block in _blocks(path, rate):
            held = np.concatenate([held, block])
            while len(held) >= window:
                pieces.append(held[:window].copy())
                ends.append((starts + window) / rate)
                held, starts = held[hop:], starts + hop
                if len(pieces) == BATCH:
                    yield from self._answers(path, pieces, ends)
                    pieces, ends = [], []
        if len(windows(starts + len(held), window, hop)) * hop > starts and len(held):  # the last, shorter one
            pieces.append(held)
            ends.append((starts + len(held)) / rate)
        if pieces:
            yield from self._answers(path, pieces, ends)
        elif not starts:
            _nothing(path)

    def _answers(self, path: Path, pieces: list[np.ndarray], ends: list[Seconds]) -> Iterator[Answer]:
        scores = self._scores(pieces)
        for row, (piece, end) in enumerate(zip(pieces, ends, strict=True)):
            start = end - len(piece) / self._front_end.rate
            yield Answer(path=path, start=start, end=end, scores={name: rows[row] for name, rows in scores.items()})

    @torch.inference_mode()
    def _scores(self, pieces: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Probabilities (pieces, classes) by label set; a piece longer than a clip is answered by several views."""
        cuts = [cut(0, len(piece), self._clip, start) for piece in pieces for start in self._starts(len(piece))]
        owner = [row for row, piece in enumerate(pieces) for _ in self._starts(len(piece))]
        sounds = [pieces[row][where.first : where.first + where.count] for row, where in zip(owner, cuts, strict=True)]
        logits = [
            self._model({self._reads: self._signal(sounds[first : first + BATCH])})
            for first in range(0, len(sounds), BATCH)
        ]
        rows_of = [np.flatnonzero(np.array(owner) == row) for row in range(len(pieces))]
        scores = {}
        for labels in logits[0]:
            asked = torch.cat([part[labels].float() for part in logits])
            probabilities = (asked.sigmoid() if self._sigmoid else asked.softmax(1)).cpu().numpy()
            scores[labels] = np.stack([self._merged(probabilities[rows]) for rows in rows_of])
        return scores

    def _merged(self, views: np.ndarray) -> np.ndarray:
        merged: np.ndarray = views.max(0) if self._sigmoid else views.mean(0)
        return merged

    def _starts(self, size: int) -> list[float]:
        """The views the model was scored with; more where the sound is much longer than those were."""
        views = max(self._views, min(round(size / self._clip), MOST_VIEWS))
        return spread(size, self._clip, views) if size > self._clip else [0.0]

    def _signal(self, sounds: Sequence[np.ndarray]) -> Tensor:
        """Samples or log-mels of one length; a shorter sound filled up as in training (ASF Sec. 4.2)."""
        padded = torch.from_numpy(np.stack([np.pad(sound, (0, self._clip - 1 - len(sound))) for sound in sounds]))
        padded = padded.to(self._device)
        if self._reads == "samples":
            return padded
        whole: Tensor = self._log_mel(padded)
        if not self._silence:
            frames_B = torch.tensor([self._front_end.frames(len(sound)) for sound in sounds], device=self._device)
            whole = repeat_last(whole, frames_B)
        return whole[:, :, self._rows] if self._rows else whole


def _blocks(path: Path, rate: int) -> Iterator[np.ndarray]:
    with decoding(path):
        yield from audio.blocks(Recording(id=str(path), path=path), rate=rate)


def _nothing(path: Path) -> list[np.ndarray]:
    raise DataError(f"{shown(path)}: no sound in it: 0 samples decoded")
