"""Result files of the EPIC-SOUNDS detection challenge, version 0.1: build, check, and turn into arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from slowfast_cli.metrics.detection_map import Detections, DetectionScores
from slowfast_cli.metrics.epic_challenge import (
    HIGHEST_LEVEL,
    INTERACTION_DETECTION,
    Supervision,
    check_complete,
    document,
)
from slowfast_cli.metrics.epic_submission import INTERACTIONS
from slowfast_cli.types import DataError, Seconds

LEVELS = {**dict.fromkeys(("sls_pt", "sls_tl", "sls_td"), HIGHEST_LEVEL), "t_mod": 2}
"""Highest value of each field; all start at 0."""
MICROSECOND = 6  # decimals of written times
LARGE = 1e300  # numbers that are not finite are not below it


@dataclass(frozen=True, kw_only=True)
class DetectedEvent:
    """An event of a video."""

    index: int
    """Of the class."""
    score: float
    start: Seconds
    end: Seconds

    @property
    def is_interval(self) -> bool:
        """Whether it starts at 0 or later and before it ends."""
        return 0 <= self.start < self.end


def detection_submission(
    events: Mapping[str, Sequence[DetectedEvent]],
    expected: Sequence[str],
    supervision: Supervision | None = None,
    t_mod: int = 0,
) -> dict[str, Any]:
    """Build the challenge's JSON document.

    Args:
        events: Of each video; an empty sequence for a video without.
        expected: Videos of the split, each of which needs an entry.
        supervision: Supervision levels of the model; the baseline's, trained on train, if None.
        t_mod: What the model reads: 0 sound, 1 frames, 2 both.

    Raises:
        DataError: Missing or unknown videos; an event of no class, without length, or with a number that is not finite.
    """
    check_complete(INTERACTION_DETECTION, list(events), expected)
    results = {video: [_plain(event) for event in of_video] for video, of_video in events.items()}
    plain = document(INTERACTION_DETECTION, results, supervision, t_mod)
    read_detections(plain, "submission", intervals_only=True)
    return plain


def _plain(event: DetectedEvent) -> dict[str, Any]:
    segment = [round(event.start, MICROSECOND), round(event.end, MICROSECOND)]
    return {"interaction": event.index, "score": event.score, "segment": segment}


def read_detections(plain: object, where: str, *, intervals_only: bool = False) -> Detections:
    """Turn a document into arrays.

    The checks are those of the challenge's validator, and that scores and times are finite. As for the evaluator, an
    event may start before 0, or end before it starts: it then overlaps no other.

    Args:
        plain: The parsed JSON.
        where: Its name, for error messages.
        intervals_only: Refuse events that do not start at 0 or later and before they end.

    Raises:
        DataError: A check fails.
    """
    rows: list[tuple[str, DetectedEvent]] = []
    for video, events in _results(plain, where).items():
        if not isinstance(events, list):
            raise DataError(f"{where}: results of {video}: {_shown(events)}, expected a list of events")
        for place, plain_event in enumerate(events):
            event = _event(plain_event, at := f"{where}: {video}: event {place}")
            if intervals_only and not event.is_interval:
                raise DataError(f"{at}: segment {[event.start, event.end]}, expected 0 <= start < end")
            rows.append((video, event))
    return Detections(
        files=np.array([video for video, _ in rows], dtype=np.str_),
        spans=np.array([(event.start, event.end) for _, event in rows], dtype=np.float64).reshape(-1, 2),
        classes=np.array([event.index for _, event in rows], dtype=np.int64),
        scores=np.array([event.score for _, event in rows], dtype=np.float64),
    )


def evaluator_names(scores: DetectionScores) -> dict[str, float]:
    """The scores as the challenge's evaluator prints them: percent, and the place of a tIoU, from 1, in its name.

    Returns:
        ``interaction_map_at_01`` (tIoU 0.1) to ``interaction_map_at_05`` (0.5) and ``interaction_map_avg``.
    """
    named = {f"interaction_map_at_{place:02d}": 100 * value for place, value in enumerate(scores.maps, 1)}
    return {**named, "interaction_map_avg": 100 * scores.average}


def _results(plain: object, where: str) -> Mapping[str, object]:
    """The results of a document whose other fields are right."""
    if not isinstance(plain, dict):
        raise DataError(f"{where}: {_shown(plain)}, expected an object with version, challenge and results")
    for name, value in (("version", INTERACTION_DETECTION.version), ("challenge", INTERACTION_DETECTION.name)):
        if plain.get(name) != value:
            raise DataError(f"{where}: {name} is {_shown(plain.get(name))}, expected '{value}'")
    for name, highest in LEVELS.items():
        if not _is_index(plain.get(name), highest):
            raise DataError(f"{where}: {name} is {_shown(plain.get(name))}, expected a whole number, 0 to {highest}")
    results = plain.get("results")
    if not isinstance(results, dict):
        raise DataError(f"{where}: results is {_shown(results)}, expected an object of lists by video id")
    return results


def _event(event: object, where: str) -> DetectedEvent:
    if not isinstance(event, dict) or not event.keys() >= {"interaction", "score", "segment"}:
        raise DataError(f"{where}: {_shown(event)}, expected interaction, score and segment")
    index, score, segment = (event[name] for name in ("interaction", "score", "segment"))
    if not _is_index(index, INTERACTIONS - 1):
        raise DataError(f"{where}: interaction {_shown(index)}, expected a class index, 0 to {INTERACTIONS - 1}")
    if not _is_number(score):
        raise DataError(f"{where}: score {_shown(score)}, expected a finite number")
    if not isinstance(segment, list) or len(segment) != 2 or not all(map(_is_number, segment)):
        raise DataError(f"{where}: segment {_shown(segment)}, expected start and end in seconds")
    return DetectedEvent(index=index, score=float(score), start=float(segment[0]), end=float(segment[1]))


def _is_index(value: object, highest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= highest


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGE


def _shown(value: object) -> str:
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
