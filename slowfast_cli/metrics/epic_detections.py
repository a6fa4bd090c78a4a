"""Result files of the EPIC-SOUNDS detection challenge, version 0.1: build, check, and turn into arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from slowfast_cli.metrics.detection_map import Detections, DetectionScores
from slowfast_cli.metrics.epic import Supervision
from slowfast_cli.metrics.epic_submission import INTERACTIONS
from slowfast_cli.types import DataError, Seconds

VERSION, CHALLENGE = "0.1", "audio_based_interaction_detection"
LEVELS = {"sls_pt": 5, "sls_tl": 5, "sls_td": 5, "t_mod": 2}
"""Highest value of each field; all start at 0."""
MICROSECOND = 6  # decimals of written times
NAMED = 3  # videos named in a message
LARGE = 1e300  # numbers that are not finite are not below it

Found = tuple[int, float, Seconds, Seconds]
"""Class index, score, start and end of an event."""


def detection_submission(
    found: Mapping[str, Sequence[Found]],
    expected: Sequence[str],
    supervision: Supervision | None = None,
    modality: int = 0,
) -> dict[str, Any]:
    """Build the challenge's JSON document.

    Args:
        found: Events of each video; an empty sequence for a video without.
        expected: Videos of the split, each of which needs an entry.
        supervision: Supervision levels of the model; the baseline's, trained on train, if None.
        modality: What the model reads (``t_mod``): 0 sound, 1 frames, 2 both.

    Raises:
        DataError: Missing or unknown videos; an event of no class, without length, or with a number that is not finite.
    """
    check_videos(found, expected)
    level = supervision or Supervision()
    results = {
        video: [
            {"interaction": index, "score": score, "segment": [round(start, MICROSECOND), round(end, MICROSECOND)]}
            for index, score, start, end in events
        ]
        for video, events in found.items()
    }
    plain = {
        "version": VERSION, "challenge": CHALLENGE, "sls_pt": level.pt, "sls_tl": level.tl, "sls_td": level.td,
        "t_mod": modality, "results": results,
    }  # fmt: skip
    read_detections(plain, "submission")
    return plain


def check_videos(videos: Mapping[str, object], expected: Sequence[str]) -> None:
    """Raise `DataError` if a video of a split has no entry, or an entry is of none."""
    for names, problem in (
        ([video for video in expected if video not in videos], "have no result"),
        (sorted(videos.keys() - set(expected)), "are not in the split"),
    ):
        if names:
            raise DataError(
                f"submission: {len(names)} of {len(set(expected))} videos {problem}, such as "
                f"{', '.join(names[:NAMED])}; the challenge needs the events of each video of the split: get "
                "the missing ones, and replace those that cannot be read"
            )


def read_detections(plain: object, where: str) -> Detections:
    """Turn a document into arrays.

    The checks are those of the challenge's validator; further ones are that scores and times are finite and that events
    start at 0 or later and before they end.

    Args:
        plain: The parsed JSON.
        where: Its name, for error messages.

    Raises:
        DataError: A check fails.
    """
    results = _results(plain, where)
    rows: list[tuple[str, Found]] = []
    for video, events in results.items():
        if not isinstance(events, list):
            raise DataError(f"{where}: results of {video}: {_shown(events)}, expected a list of events")
        rows += [(video, _event(event, f"{where}: {video}: event {place}")) for place, event in enumerate(events)]
    return Detections(
        files=np.array([video for video, _ in rows], dtype=np.str_),
        spans=np.array([event[2:] for _, event in rows], dtype=np.float64).reshape(-1, 2),
        classes=np.array([event[0] for _, event in rows], dtype=np.int64),
        scores=np.array([event[1] for _, event in rows], dtype=np.float64),
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
    for name, value in (("version", VERSION), ("challenge", CHALLENGE)):
        if plain.get(name) != value:
            raise DataError(f"{where}: {name} is {_shown(plain.get(name))}, expected '{value}'")
    for name, highest in LEVELS.items():
        if not _is_index(plain.get(name), highest):
            raise DataError(f"{where}: {name} is {_shown(plain.get(name))}, expected a whole number, 0 to {highest}")
    results = plain.get("results")
    if not isinstance(results, dict):
        raise DataError(f"{where}: results is {_shown(results)}, expected an object of lists by video id")
    return results


def _event(event: object, where: str) -> Found:
    if not isinstance(event, dict) or not event.keys() >= {"interaction", "score", "segment"}:
        raise DataError(f"{where}: {_shown(event)}, expected interaction, score and segment")
    index, score, segment = (event[name] for name in ("interaction", "score", "segment"))
    if not _is_index(index, INTERACTIONS - 1):
        raise DataError(f"{where}: interaction {_shown(index)}, expected a class index, 0 to {INTERACTIONS - 1}")
    if not _is_number(score):
        raise DataError(f"{where}: score {_shown(score)}, expected a finite number")
    if not isinstance(segment, list) or len(segment) != 2 or not all(map(_is_number, segment)):
        raise DataError(f"{where}: segment {_shown(segment)}, expected start and end in seconds")
    if not 0 <= segment[0] < segment[1]:
        raise DataError(f"{where}: segment {_shown(segment)}, expected 0 <= start < end")
    return index, float(score), float(segment[0]), float(segment[1])


def _is_index(value: object, highest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= highest


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGE


def _shown(value: object) -> str:
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
