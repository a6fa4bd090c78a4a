"""Prediction with audio-only models: a few views of a whole file, or a timeline in constant memory. Without torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from slowfast_cli.data.views import clip_samples, cut, spread, windows
from slowfast_cli.media import audio
from slowfast_cli.media.audio_source import printable
from slowfast_cli.stages.predict.results import MOST_VIEWS, Failed, FilePrediction, Timeline
from slowfast_cli.types import DataError, Recording, Seconds

BATCH = 16  # windows in one forward pass
MOST_SAMPLES = 1 << 24  # in one forward pass, of windows much longer than a clip
NEAR = 2  # a span up to this many times as long as its views together is decoded in one piece


@dataclass(frozen=True, kw_only=True)
class FileViews:
    """Decoded views of a file."""

    path: Path
    seconds: Seconds
    pieces: list[np.ndarray]
    truncated: str  # description of what is missing; empty for a whole file


class SoundScorer(Protocol):
    """Scores sounds."""

    def __call__(self, sounds: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Probabilities (sounds, classes) by label set of mono float32 samples, each shorter than a clip."""


class AudioPredictor:
    """Predicts files with a model that reads audio only.

    Args:
        score: The model.
        rate: Sampling rate that it reads, Hz.
        clip_seconds: Length of its clips.
        views: Test views of a file.
        sigmoid: Views are merged by their maximum for sigmoid outputs, else by their mean.
    """

    def __init__(self, score: SoundScorer, *, rate: int, clip_seconds: Seconds, views: int, sigmoid: bool) -> None:
        self._score = score
        self.rate = rate
        self._clip = clip_samples(clip_seconds, rate)
        self._views, self._sigmoid = views, sigmoid

    def predict(self, path: Path, timeline: Timeline | None) -> Iterator[FilePrediction]:
        """See `slowfast_cli.stages.predict.results.FilePredictor`."""
        if timeline is not None:
            yield from self.windows(Recording(id=str(path), path=path), timeline)
            return
        for result in self.predict_files([path]):
            if isinstance(result, Failed):
                raise DataError(result.reason)
            yield result

    def predict_files(self, paths: Sequence[Path]) -> list[FilePrediction | Failed]:
        """Predict whole files, in order; the views of all files share forward passes."""
        files: list[FileViews | Failed] = []
        for path in paths:
            try:
                files.append(self.read_views(path))
            except DataError as error:
                files.append(Failed.of(path, error))
        pieces = [piece for file in files if isinstance(file, FileViews) for piece in file.pieces]
        scores = self.scores(pieces) if pieces else {}
        results, done = list[FilePrediction | Failed](), 0
        for file in files:
            if isinstance(file, Failed):
                results.append(file)
                continue
            after = done + len(file.pieces)
            merged = {labels: self._merge(rows[done:after]) for labels, rows in scores.items()}
            results.append(
                FilePrediction(path=file.path, start=0.0, end=file.seconds, scores=merged, note=file.truncated)
            )
            done = after
        return results

    def read_views(self, path: Path) -> FileViews:
        """Decode the views of a file.

        Raises:
            DataError: The file cannot be decoded, or has no samples.
        """
        recording = Recording(id=str(path), path=path)
        rate = self.rate
        probe = audio.probe(recording)
        seconds = probe.seconds
        size = max(round(seconds * rate), 1)
        cuts = [cut(0, size, self._clip, start) for start in self._starts(size)]
        first, last = cuts[0].first, cuts[-1].first + cuts[-1].count
        if last - first <= NEAR * sum(view.count for view in cuts):  # opened and decoded once
            span = audio.read(recording, rate=rate, first=first, count=last - first)
            pieces = [span[view.first - first :][: view.count] for view in cuts]
        else:
            pieces = [audio.read(recording, rate=rate, first=view.first, count=view.count) for view in cuts]
        pieces = [piece for piece in pieces if len(piece)]
        if not pieces:
            raise _no_samples(path)
        return FileViews(path=path, seconds=seconds, pieces=pieces, truncated=probe.truncated)

    def windows(self, recording: Recording, timeline: Timeline) -> Iterator[FilePrediction]:
        """Predict each window of a recording, which may be a data set inside an HDF5 file.

        Raises:
            DataError: The recording cannot be decoded, or has no samples.
        """
        path, rate = recording.path, self.rate
        window, hop = (max(clip_samples(seconds, rate), 1) for seconds in (timeline.window, timeline.hop))
        first, buffer, pieces = 0, np.zeros(0, np.float32), list[np.ndarray]()  # `first`: position of buffer[0]
        ends: list[Seconds] = []
        note = audio.truncation(recording)
        for block in audio.blocks(recording, rate=rate):
            buffer = np.concatenate([buffer, block])
            while len(buffer) >= window:
                pieces.append(buffer[:window].copy())
                ends.append((first + window) / rate)
                buffer, first = buffer[hop:], first + hop
                if len(pieces) == BATCH or len(pieces) * window >= MOST_SAMPLES:
                    yield from self._predict_windows(path, pieces, ends, note)
                    pieces, ends = [], []
        if len(windows(first + len(buffer), window, hop)) * hop > first and len(buffer):  # the shorter last window
            pieces.append(buffer)
            ends.append((first + len(buffer)) / rate)
        if pieces:
            yield from self._predict_windows(path, pieces, ends, note)
        elif not first:
            raise _no_samples(path)

    def _predict_windows(
        self, path: Path, pieces: list[np.ndarray], ends: list[Seconds], note: str
    ) -> Iterator[FilePrediction]:
        scores = self.scores(pieces)
        for row, (piece, end) in enumerate(zip(pieces, ends, strict=True)):
            start = end - len(piece) / self.rate
            own = {labels: rows[row] for labels, rows in scores.items()}
            yield FilePrediction(path=path, start=start, end=end, scores=own, note=note)

    def scores(self, pieces: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Probabilities (pieces, classes) by label set; the views of a piece longer than a clip are merged."""
        cuts = [cut(0, len(piece), self._clip, start) for piece in pieces for start in self._starts(len(piece))]
        owner = [row for row, piece in enumerate(pieces) for _ in self._starts(len(piece))]
        sounds = [pieces[row][view.first : view.first + view.count] for row, view in zip(owner, cuts, strict=True)]
        parts = [self._score(sounds[first : first + BATCH]) for first in range(0, len(sounds), BATCH)]
        rows_of = [np.flatnonzero(np.array(owner) == row) for row in range(len(pieces))]
        scores = {}
        for labels in parts[0]:
            probabilities = np.concatenate([part[labels] for part in parts])
            scores[labels] = np.stack([self._merge(probabilities[rows]) for rows in rows_of])
        return scores

    def _merge(self, views: np.ndarray) -> np.ndarray:
        merged: np.ndarray = views.max(0) if self._sigmoid else views.mean(0)
        return merged

    def _starts(self, size: int) -> list[float]:
        """Starts of the views: as many as in evaluation; more if the sound is much longer than that many clips."""
        views = max(self._views, min(round(size / self._clip), MOST_VIEWS))
        return spread(size, self._clip, views) if size > self._clip else [0.0]


def _no_samples(path: Path) -> DataError:
    return DataError(f"{printable(path)}: no sound in it: 0 samples decoded")
