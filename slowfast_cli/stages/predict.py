"""Predictions for any sound: whole files by a few views, or a timeline of sliding windows in constant memory."""

from __future__ import annotations

import glob
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from torch import Tensor

from slowfast_cli.data.sources import media_below
from slowfast_cli.data.views import clip_samples, cut, spread, windows
from slowfast_cli.engine import distributed
from slowfast_cli.features.logmel import FrontEnd, LogMel, repeat_last
from slowfast_cli.media import audio
from slowfast_cli.media.source import shown
from slowfast_cli.models.slowfast import Recogniser
from slowfast_cli.types import MEDIA_SUFFIXES, DataError, Recording, Seconds, UsageError, WeightsError
from slowfast_cli.weights.file import Card, build

BATCH = 16  # windows in one forward pass
MOST_VIEWS = 10  # of one sound, spread evenly over it


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Sliding windows.

    Attributes:
        window: Length of each.
        hop: From the start of one to the start of the next.
    """

    window: Seconds
    hop: Seconds

    def __post_init__(self) -> None:
        if not 0 < self.hop <= self.window < float("inf"):
            raise UsageError(f"--timeline {self.window:g}/{self.hop:g}: want 0 < hop <= window, in seconds, as 2.0/0.5")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the model says of a stretch of sound.

    Attributes:
        path: The file.
        start: Of the stretch.
        end: Of the stretch.
        scores: Probabilities by label set, (classes,).
    """

    path: Path
    start: Seconds
    end: Seconds
    scores: Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A file that could not be used."""

    path: Path
    reason: str


@dataclass(frozen=True, kw_only=True)
class Top:
    """One line of a top-k: a class, or a verb and a noun together."""

    label: str
    index: int | tuple[int, int]
    score: float


class Predictor:
    """A trained model with its front end, ready for samples.

    Args:
        weights: A weight file.
        device: ``auto``, ``cpu``, ``cuda``.

    Attributes:
        card: What the weights say of themselves.
    """

    card: Card

    def __init__(self, weights: Path, device: str = "auto") -> None:
        self._device = distributed.device(device)
        self.card, model = build(weights)
        self._model: Recogniser = model.to(self._device)
        try:
            self._front_end = FrontEnd(**self.card.front_end)  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            raise WeightsError(f"{weights}: its header does not describe a front end ({error})") from error
        self._log_mel = LogMel(self._front_end).to(self._device)
        self._clip = clip_samples(self.card.clip_seconds, self._front_end.rate)

    def files(self, paths: Iterable[Path | Failed], timeline: Timeline | None = None) -> Iterator[Answer | Failed]:
        """Answer for each file; one that fails, or has failed before, is told and the others go on."""
        for path in paths:
            if isinstance(path, Failed):
                yield path
                continue
            try:
                yield from self._windows(path, timeline) if timeline else [self._whole(path)]
            except DataError as error:
                yield Failed(path=path, reason=str(error))

    def _whole(self, path: Path) -> Answer:
        recording = Recording(id=str(path), path=path)
        rate = self._front_end.rate
        with _decoding(path):
            seconds = audio.probe(recording).seconds
            size = max(round(seconds * rate), 1)
            cuts = [cut(0, size, self._clip, start) for start in self._starts(size)]
            pieces = [audio.read(recording, rate=rate, first=where.first, count=where.count) for where in cuts]
        scores = self._scores([piece for piece in pieces if len(piece)] or _nothing(path))
        return Answer(path=path, start=0.0, end=seconds, scores={name: rows.mean(0) for name, rows in scores.items()})

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
            self._model({"logmel": self._logmel(sounds[first : first + BATCH])})
            for first in range(0, len(sounds), BATCH)
        ]
        rows_of = [np.flatnonzero(np.array(owner) == row) for row in range(len(pieces))]
        scores = {}
        for labels in logits[0]:
            probabilities = torch.cat([part[labels].float().softmax(1) for part in logits]).cpu().numpy()
            scores[labels] = np.stack([probabilities[rows].mean(0) for rows in rows_of])
        return scores

    def _starts(self, size: int) -> list[float]:
        """The views the model was scored with; more where the sound is much longer than those were."""
        views = max(self.card.views, min(round(size / self._clip), MOST_VIEWS))
        return spread(size, self._clip, views) if size > self._clip else [0.0]

    def _logmel(self, sounds: Sequence[np.ndarray]) -> Tensor:
        """Log-mels of one length, the last frame of a shorter sound repeated (ASF Sec. 4.2)."""
        padded = torch.from_numpy(np.stack([np.pad(sound, (0, self._clip - 1 - len(sound))) for sound in sounds]))
        frames_B = torch.tensor([self._front_end.frames(len(sound)) for sound in sounds], device=self._device)
        return repeat_last(self._log_mel(padded.to(self._device)), frames_B)


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Turn what a decoder may raise of a broken file into an error of that file."""
    try:
        yield
    except (ValueError, RuntimeError, ArithmeticError, LookupError, OSError) as error:
        raise DataError(f"{shown(path)}: its decoder failed ({type(error).__name__}: {error})") from error


def _blocks(path: Path, rate: int) -> Iterator[np.ndarray]:
    with _decoding(path):
        yield from audio.blocks(Recording(id=str(path), path=path), rate=rate)


def _nothing(path: Path) -> list[np.ndarray]:
    raise DataError(f"{shown(path)}: no sound in it: 0 samples decoded")


def tops(answer: Answer, card: Card, k: int) -> dict[str, list[Top]]:
    """The best classes by label set; a verb and a noun together are an ``action`` as well."""
    found = {}
    for labels, scores in answer.scores.items():
        best = np.argsort(-scores, kind="stable")[:k]
        found[labels] = [Top(label=card.classes[labels][i], index=int(i), score=float(scores[i])) for i in best]
    if set(found) == {"verb", "noun"}:
        joint = np.outer(answer.scores["verb"], answer.scores["noun"])
        nouns = joint.shape[1]
        found["action"] = [
            Top(
                label=f"{card.classes['verb'][i // nouns]} {card.classes['noun'][i % nouns]}",
                index=(int(i // nouns), int(i % nouns)),
                score=float(joint.flat[i]),
            )
            for i in np.argsort(-joint, axis=None, kind="stable")[:k]
        ]
    return found


def sources(words: Sequence[str], stdin: TextIO) -> list[Path | Failed]:
    """The files that words stand for; a folder or a pattern without any is a failure among them.

    Args:
        words: Files, folders (with all below), globs, a ``list.txt`` (a path a line), ``-`` (stdin).
        stdin: Where ``-`` reads from.
    """
    found: list[Path | Failed] = []
    for word in words:
        path = Path(word)
        if word == "-":
            if isinstance(stdin, io.TextIOWrapper):
                stdin.reconfigure(errors="surrogateescape")  # as the names of files
            found += _paths(stdin)
        elif path.is_dir():
            reason = f"a folder without sound or video files; they end in {', '.join(sorted(MEDIA_SUFFIXES))}"
            found += list(media_below(path)) or [Failed(path=path, reason=f"{shown(path)}: {reason}")]
        elif path.suffix.lower() == ".txt" and path.is_file():
            with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
                found += _paths(lines)
        elif not path.exists() and glob.has_magic(word):
            matched = sorted(glob.glob(word, recursive=True))  # noqa: PTH207  (it takes absolute patterns too)
            found += _paths(matched) or [Failed(path=path, reason=f"{shown(word)}: no file matches")]
        else:
            found.append(path)
    return found


def _paths(lines: Iterable[str]) -> list[Path]:
    return [Path(line.strip()) for line in lines if line.strip()]
