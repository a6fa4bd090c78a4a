"""The EPIC-SOUNDS detection challenge: write the events of a split as its result file, and score such a file."""

import json
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from slowfast_cli.build.corpus import SplitRole, corpus_root, read_corpus
from slowfast_cli.corpora import epic_sounds
from slowfast_cli.events.event import FileEvents
from slowfast_cli.metrics.detection_map import Detections, DetectionScores, detection_scores
from slowfast_cli.metrics.epic_challenge import INTERACTION_DETECTION, check_complete
from slowfast_cli.metrics.epic_detections import (
    DetectedEvent,
    detection_submission,
    evaluator_names,
    read_detections,
)
from slowfast_cli.metrics.predictions import without_class
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.stages.evaluate.events import spans_of
from slowfast_cli.stages.evaluate.supervision import Provenance
from slowfast_cli.storage.bounded_zip import require_bounded
from slowfast_cli.types import Corpus, DataError, UsageError

LABELS, NOT_SCORED = "label", "background"
MEMBER = "test.json"
"""Of a zipped result file."""
INDENT = 4
STARTS = '{\n    "version": '
"""Of every result file that this module writes."""


@dataclass(frozen=True, kw_only=True)
class ClassPrecision:
    """Average precisions of one class, from 0 to 1, at the thresholds of `DetectionScores`."""

    name: str
    events: int
    detected: int
    ap: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class DetectionEvaluation:
    """A result file beside the events of a split."""

    split: str
    videos: int
    """Listed in the split."""
    without_result: Sequence[str]
    """Videos that the file has no entry for: all their events count as missed."""
    not_in_split: Sequence[str]
    """Videos of the file that the split does not list: all their detections count as wrong."""
    detections: int
    ignored: int
    """Detections of classes without truth events, such as background."""
    without_length: int
    """Detections that do not end after they start: they overlap no event, so that they count as wrong."""
    unusable: int
    """Events of the list that stop before they start."""
    scores: DetectionScores | None
    """None for a split without labels."""
    classes: tuple[ClassPrecision, ...] = ()
    """Those with truth events."""

    def plain(self) -> dict[str, Any]:
        """Values for JSON; scores in percent by the names of the challenge's evaluator."""
        return {
            "split": self.split,
            "scores": evaluator_names(self.scores) if self.scores else {},
            "tiou": list(self.scores.tious) if self.scores else [],
            "classes": [
                {"name": row.name, "events": row.events, "detected": row.detected, "ap": list(row.ap)}
                for row in self.classes
            ],
            "videos": self.videos,
            "without_result": list(self.without_result),
            "not_in_split": list(self.not_in_split),
            "detections": self.detections,
            "ignored": self.ignored,
            "without_length": self.without_length,
            "unusable": self.unusable,
        }


def read_truth(recipe: Recipe, split: SplitRole, option: str) -> Corpus:
    """Read a split with all its videos, whether their sound is on disk or not.

    Args:
        recipe: Names the data set and the split.
        split: The recipe's.
        option: That needs it, for the message.

    Raises:
        UsageError: The data set is another.
        DataError: The list is missing or not valid.
    """
    if recipe.data.corpus != "epic-sounds":
        raise UsageError(f"{option}: is EPIC-SOUNDS' detection challenge, and this is {recipe.data.corpus}")
    return epic_sounds.read_listed(corpus_root(recipe), recipe.split(split))


def read_complete(recipe: Recipe, split: SplitRole, truth: Corpus) -> Corpus:
    """Read a split whose events are to be submitted.

    Raises:
        DataError: A video is not on disk.
    """
    corpus = read_corpus(recipe, split)
    check_complete(INTERACTION_DETECTION, [recording.id for recording in corpus.recordings], _videos(truth))
    return corpus


def submission(files: Sequence[FileEvents], truth: Corpus, made_by: Provenance) -> str:
    """The text of the result file.

    Args:
        files: Events of each video; paths are video ids.
        truth: The split, all videos of which need an entry.
        made_by: What the file says of the network.

    Raises:
        DataError: A video has no entry.
    """
    events = {
        str(file.path): [
            DetectedEvent(index=event.index, score=event.score, start=event.start, end=event.end)
            for event in file.events
            if event.labels == LABELS
        ]
        for file in files
    }
    return json.dumps(detection_submission(events, _videos(truth), made_by.supervision, made_by.t_mod), indent=INDENT)


def read_results(path: Path) -> dict[str, Any]:
    """Read a result file, or the ``test.json`` in a zip file.

    Raises:
        DataError: It cannot be read, or names a video twice.
    """
    try:
        if path.suffix == ".zip":
            require_bounded(path)
            with zipfile.ZipFile(path) as archive:
                text = archive.read(MEMBER).decode("utf-8")
        else:
            text = path.read_text(encoding="utf-8")
        plain: dict[str, Any] = json.loads(text, object_pairs_hook=_unique)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, RecursionError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a result file ({error}): expected JSON, or a zip file with {MEMBER}") from error
    return plain


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) < len(pairs):
        name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"'{name}' is there twice")
    return plain


def score_results(plain: dict[str, Any], truth: Corpus, where: str) -> DetectionEvaluation:
    """Score a result file as the challenge's evaluator does; events of background do not count.

    Raises:
        DataError: The file is not valid.
    """
    detections = read_detections(plain, where)
    listed, entries = _videos(truth), plain["results"]
    names = truth.classes[LABELS]
    scores, rows, ignored = None, tuple[ClassPrecision, ...](), 0
    if any(segment.targets for segment in truth.segments):
        spans = spans_of(without_class(truth, NOT_SCORED), LABELS)
        scores = detection_scores(spans, detections)
        rows = _class_rows(scores, [sum(map(len, of_class.values())) for of_class in spans], detections, names)
        ignored = len(detections.scores) - sum(row.detected for row in rows)
    return DetectionEvaluation(
        split=truth.split,
        videos=len(listed),
        without_result=[video for video in listed if video not in entries],
        not_in_split=sorted(entries.keys() - set(listed)),
        detections=len(detections.scores),
        ignored=ignored,
        without_length=int((detections.spans[:, 0] >= detections.spans[:, 1]).sum()),
        unusable=len(truth.missing),
        scores=scores,
        classes=rows,
    )


def _class_rows(
    scores: DetectionScores, events: Sequence[int], detections: Detections, names: Sequence[str]
) -> tuple[ClassPrecision, ...]:
    detected = np.bincount(detections.classes, minlength=len(names))
    return tuple(
        ClassPrecision(name=names[index], events=events[index], detected=int(detected[index]), ap=tuple(ap_T.tolist()))
        for index, ap_T in zip(scores.classes, scores.ap.T, strict=True)
    )


def _videos(truth: Corpus) -> list[str]:
    return [recording.id for recording in truth.recordings]
