"""What is heard in a file, by a model that only listens: a few views of it, or a timeline in constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from slowfast_cli.data.views import clip_samples, cut, spread, windows
from slowfast_cli.features.logmel import LogMel, repeat_last
from slowfast_cli.media import audio
from slowfast_cli.media.audio_source import printable
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.settings import FrontEnd
from slowfast_cli.stages.predict.results import MOST_VIEWS, Failed, FilePrediction, Timeline, decoding
from slowfast_cli.types import DataError, Recording, Seconds
from slowfast_cli.weights.file import Card

BATCH = 16  # windows in one forward pass
NEAR = 2  # as many times as long as its views, a stretch is read in one piece rather than view by view


@dataclass(frozen=True, kw_only=True)
class _Heard:
    """The views of a file."""

    path: Path
    seconds: Seconds
    pieces: list[np.ndarray]


class AudioPredictor:
    """A model that listens, ready for samples.

    Args:
        model: The model, on its device.
        card: What it says of itself. Where each class stands for itself, views are merged by their maximum.
        front_end: Of the log-mel that it reads, or the rate of the samples.
        rows: Numbers of the log-mel's rows that it was trained on, where not all of them.
    """

    def __init__(
        self,
        model: Recognizer,
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

    def answers(self, path: Path, timeline: Timeline | None) -> Iterator[FilePrediction]:
        """See `slowfast_cli.stages.predict.results.FilePredictor`."""
        if timeline is not None:
            yield from self._windows(path, timeline)
            return
        for told in self.whole([path]):
            if isinstance(told, Failed):
                raise DataError(told.reason)
            yield told

    def whole(self, paths: Sequence[Path]) -> list[FilePrediction | Failed]:
        """Answer for whole files, in order, all their views in as few forward passes as hold them."""
        found: list[_Heard | Failed] = []
        for path in paths:
            try:
                found.append(self._heard(path))
            except DataError as error:
                found.append(Failed(path=path, reason=str(error)))
        heard = [each for each in found if isinstance(each, _Heard)]
        scores = self._scores([piece for each in heard for piece in each.pieces]) if heard else {}
        told, done = list[FilePrediction | Failed](), 0
        for each in found:
            if isinstance(each, Failed):
                told.append(each)
                continue
            after = done + len(each.pieces)
            merged = {name: self._merged(rows[done:after]) for name, rows in scores.items()}
            told.append(FilePrediction(path=each.path, start=0.0, end=each.seconds, scores=merged))
            done = after
        return told

    def _heard(self, path: Path) -> _Heard:
        recording = Recording(id=str(path), path=path)
        rate = self._front_end.rate
        with decoding(path):
            seconds = audio.probe(recording).seconds
            size = max(round(seconds * rate), 1)
            cuts = [cut(0, size, self._clip, start) for start in self._starts(size)]
            first, last = cuts[0].first, cuts[-1].first + cuts[-1].count
            if last - first <= NEAR * sum(where.count for where in cuts):  # opened and decoded once
                span = audio.read(recording, rate=rate, first=first, count=last - first)
                pieces = [span[where.first - first :][: where.count] for where in cuts]
            else:
                pieces = [audio.read(recording, rate=rate, first=where.first, count=where.count) for where in cuts]
        return _Heard(path=path, seconds=seconds, pieces=[piece for piece in pieces if len(piece)] or _nothing(path))

    def _windows(self, path: Path, timeline: Timeline) -> Iterator[FilePrediction]:
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

    def _answers(self, path: Path, pieces: list[np.ndarray], ends: list[Seconds]) -> Iterator[FilePrediction]:
        scores = self._scores(pieces)
        for row, (piece, end) in enumerate(zip(pieces, ends, strict=True)):
            start = end - len(piece) / self._front_end.rate
            yield FilePrediction(
                path=path, start=start, end=end, scores={name: rows[row] for name, rows in scores.items()}
            )

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
    raise DataError(f"{printable(path)}: no sound in it: 0 samples decoded")
