"""Predictions for any file: a model with its senses, the files that words stand for, the best classes of an answer.

What a model makes of a file depends on what it reads: `slowfast_cli.stages.predict.audio` for those that only listen,
`slowfast_cli.stages.predict.video` for those that look at frames, and may listen too.
"""

from __future__ import annotations

import glob
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import torch

from slowfast_cli.corpora.media_files import media_below
from slowfast_cli.data.views import rows_span, spread_rows
from slowfast_cli.engine import distributed
from slowfast_cli.media.audio_source import printable
from slowfast_cli.models.folding import prepare_for_inference
from slowfast_cli.models.recognizer import Recognizer
from slowfast_cli.settings import FrontEnd
from slowfast_cli.stages.predict import boxes as boxes_module
from slowfast_cli.stages.predict.audio import AudioPredictor
from slowfast_cli.stages.predict.parallel import predict_parallel
from slowfast_cli.stages.predict.results import Failed, FilePrediction, FilePredictor, Timeline
from slowfast_cli.types import MEDIA_SUFFIXES, VIDEO_SUFFIXES, DataError, UsageError, WeightsError
from slowfast_cli.weights.file import Card, build
from slowfast_cli.weights.resolve import weight_file

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Top:
    """One line of a top-k: a class, or a verb and a noun together."""

    label: str
    index: int | tuple[int, int]
    score: float


class Predictor:
    """A trained model that predicts the classes of files.

    >>> predictor = Predictor()
    >>> (prediction,) = predictor("tests/assets/dog.ogg")
    >>> predictor.top(prediction, 1)["label"][0].label
    'dog'

    Args:
        weights: A weight file, a run folder or a catalogue name; None for the bundled model. A `Path` is not looked up.
        device: ``auto``, ``cpu``, ``cuda``.
        precision: ``fp32``, or ``bf16``, which is faster and changes scores slightly.
        boxes: A list of boxes and times, for a model that classifies boxes, see
            `slowfast_cli.stages.predict.boxes.read`; None classifies the whole frame.

    Raises:
        WeightsError: The file is missing, not a weight file, or its header is inconsistent.
        UsageError: Boxes were given for a model that classifies none.
        DataError: The list of boxes is inconsistent.
    """

    card: Card
    """Metadata of the weights."""

    def __init__(
        self,
        weights: str | Path | None = None,
        device: str = "auto",
        *,
        precision: str = "fp32",
        boxes: Path | None = None,
    ) -> None:
        weights = (
            weights
            if isinstance(weights, Path) and weights.is_file()
            else weight_file(str(weights) if weights else None)
        )
        self._boxes = None if boxes is None else boxes_module.read(boxes)
        at = distributed.device(device)
        self.card, model = build(weights)
        if boxes is not None and not self.detects:
            raise UsageError(
                f"--boxes {printable(boxes)}: {printable(weights)} classifies whole clips, not boxes: leave it out, or "
                "use weights for boxes, such as AVA's (`slowfast weights ls`)"
            )
        if not self.card.classes:
            raise WeightsError(
                f"{weights}: has no classes (it was trained without labels): finetune it first, with `slowfast finetune "
                "RECIPE --weights ...`"
            )
        if "features" in self.card.net.signals:
            raise WeightsError(f"{weights}: is a probe on the features of a trunk: finetune the trunk instead")
        self._model = prepare_for_inference(model, at, PRECISIONS[precision])
        self._senses = _senses(weights, self.card, self._model, self._boxes)

    def __call__(self, path: str | Path, timeline: Timeline | None = None) -> list[FilePrediction]:
        """Predict one file: as a whole, by windows of a timeline, or by its boxes.

        Raises:
            DataError: The file cannot be used.
        """
        predictions = list(self.files([Path(path)], timeline))
        for prediction in predictions:
            if isinstance(prediction, Failed):
                raise DataError(prediction.reason)
        return [prediction for prediction in predictions if isinstance(prediction, FilePrediction)]

    def top(self, prediction: FilePrediction, k: int = 5) -> dict[str, list[Top]]:
        """The k best classes of a prediction by label set."""
        return tops(prediction, self.card, k)

    @property
    def looks(self) -> bool:
        """It reads frames, so that a file needs pictures."""
        return "frames" in self.card.net.signals

    @property
    def detects(self) -> bool:
        """It answers for boxes in the picture."""
        return self.card.net.regions != "none"

    @property
    def suffixes(self) -> frozenset[str]:
        """Of the files in a folder that are meant for it."""
        return VIDEO_SUFFIXES if self.looks else MEDIA_SUFFIXES

    def check(self, paths: Sequence[Path | Failed]) -> None:
        """Refuse files that the boxes cannot be told apart for.

        Raises:
            UsageError: There are several, and the boxes do not say which one they are about.
        """
        if self._boxes is not None and not self._boxes.named and len(paths) > 1:
            raise UsageError(
                f"--boxes {printable(self._boxes.path)}: does not say which of {len(paths)} files each box is about: "
                "add a column 'path', or name one file"
            )

    def files(
        self, paths: Iterable[Path | Failed], timeline: Timeline | None = None
    ) -> Iterator[FilePrediction | Failed]:
        """Answer for each file, in order; one that fails, or has failed before, is told and the others go on.

        Whole files are heard several at a time, a bounded number ahead of the answers.
        """
        if timeline is None and isinstance(self._senses, AudioPredictor):
            yield from predict_parallel(paths, self._senses.whole, threads=torch.get_num_threads())
            return
        for path in paths:
            if isinstance(path, Failed):
                yield path
                continue
            try:
                yield from self._senses.answers(path, timeline)
            except DataError as error:
                yield Failed(path=path, reason=str(error))


def _senses(weights: Path, card: Card, model: Recognizer, boxes: boxes_module.BoxList | None) -> FilePredictor:
    front_end = None
    if "frames" not in card.net.signals or "logmel" in card.net.signals:
        with _header(weights, "a front end"):
            front_end = FrontEnd(**card.front_end)  # type: ignore[arg-type]
    if "frames" not in card.net.signals and front_end is not None:
        rows: list[int] = []
        if card.video:  # it was trained on the sound that goes with frames
            from slowfast_cli.settings import Frames  # noqa: PLC0415  (others start without it)

            with _header(weights, "frames"):
                seen = Frames.from_settings(dict(card.video))
            length = rows_span(seen.seconds, seen.fps, front_end.hop / front_end.rate)
            rows = spread_rows(0, length, seen.rows).tolist()
        return AudioPredictor(model, card, front_end, rows=rows)
    from slowfast_cli.stages.predict import video  # noqa: PLC0415  (a model of sound starts without it)

    with _header(weights, "frames"):
        settings = video.tested(card)
    viewer = video.VideoPredictor(model, card, settings, front_end)
    return viewer if card.net.regions == "none" else video.Detector(viewer, boxes)


@contextmanager
def _header(weights: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{weights}: its header does not describe {what} ({error})") from error


def tops(answer: FilePrediction, card: Card, k: int) -> dict[str, list[Top]]:
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


def sources(words: Sequence[str], stdin: TextIO, suffixes: frozenset[str] = MEDIA_SUFFIXES) -> list[Path | Failed]:
    """The files that words stand for; a folder or a pattern without any is a failure among them.

    Args:
        words: Files, folders (with all below), globs, a ``list.txt`` (a path a line), ``-`` (stdin).
        stdin: Where ``-`` reads from.
        suffixes: Of the files of a folder, in lower case.
    """
    kinds = "sound or video" if suffixes == MEDIA_SUFFIXES else "video"
    found: list[Path | Failed] = []
    for word in words:
        path = Path(word)
        if word == "-":
            if isinstance(stdin, io.TextIOWrapper):
                stdin.reconfigure(errors="surrogateescape")  # as the names of files
            found += _paths(stdin)
        elif path.is_dir():
            reason = f"a folder without {kinds} files; they end in {', '.join(sorted(suffixes))}"
            below = [each for each in media_below(path) if each.suffix.lower() in suffixes]
            found += below or [Failed(path=path, reason=f"{printable(path)}: {reason}")]
        elif path.suffix.lower() == ".txt" and path.is_file():
            with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
                found += _paths(lines)
        elif not path.exists() and glob.has_magic(word):
            matched = sorted(glob.glob(word, recursive=True))  # noqa: PTH207  (it takes absolute patterns too)
            found += _paths(matched) or [Failed(path=path, reason=f"{printable(word)}: no file matches")]
        else:
            found.append(path)
    return found


def _paths(lines: Iterable[str]) -> list[Path]:
    return [Path(line.strip()) for line in lines if line.strip()]
