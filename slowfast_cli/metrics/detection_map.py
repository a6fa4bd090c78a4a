"""Mean average precision of detected events at thresholds of temporal intersection over union (tIoU).

The rules are those of the evaluator of the EPIC-SOUNDS detection challenge (epic-kitchens/C10-epic-sounds-detection),
which are those of ActivityNet: Heilbron et al., "ActivityNet", CVPR 2015.

Shapes: R truth events, E detected events, C classes, T thresholds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slowfast_cli.metrics.event_runs import EventsOfFiles, Spans
from slowfast_cli.metrics.events import overlaps
from slowfast_cli.metrics.ranking import interpolated_precision

TIOUS = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Thresholds of EPIC-SOUNDS."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections:
    """Detected events of several files, in any order."""

    files: np.ndarray
    """Names of their files, (E,) str."""
    spans: Spans
    """(E, 2) seconds; an event that does not end after it starts overlaps no other."""
    classes: np.ndarray
    """Class indices, (E,)."""
    scores: np.ndarray
    """(E,), higher is surer; only their order counts."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectionScores:
    """Average precisions, from 0 to 1."""

    tious: tuple[float, ...]
    classes: tuple[int, ...]
    """Classes with truth events; only these count."""
    ap: np.ndarray
    """Of each threshold and each of ``classes``, (T, C)."""

    @property
    def maps(self) -> tuple[float, ...]:
        """The mean over the classes at each threshold."""
        return tuple(self.ap.mean(axis=1).tolist())

    @property
    def average(self) -> float:
        """The mean over the thresholds."""
        return float(np.mean(self.maps))


def detection_scores(
    truth: Sequence[EventsOfFiles], detections: Detections, tious: Sequence[float] = TIOUS
) -> DetectionScores:
    """Compute the average precision of every class with truth events.

    Detections of a class are matched by falling score, those of equal score as they are listed. Each takes the
    truth event of its file with the highest tIoU among those that no other has taken, if that is at least the
    threshold; so it may take the second best. Of equal tIoU, the event that is listed last is taken, as the
    evaluator does. Detections of classes without truth events do not count.

    Args:
        truth: Truth events by class and file.
        detections: Detected events.
        tious: Thresholds.

    Raises:
        ValueError: No class has a truth event.
    """
    used = tuple(index for index, of_class in enumerate(truth) if sum(map(len, of_class.values())))
    if not used:
        raise ValueError("no class has a truth event")
    ap = [_class_precisions(truth[index], detections, index, np.array(tious)) for index in used]
    return DetectionScores(tious=tuple(tious), classes=used, ap=np.array(ap).T)


def tiou(truth_R2: Spans, events_E2: Spans) -> np.ndarray:
    """Intersection over union of each truth event, which has a length, with each detected event, (R, E)."""
    shared = overlaps(truth_R2, events_E2)
    lengths = (truth_R2[:, 1] - truth_R2[:, 0])[:, None] + (events_E2[:, 1] - events_E2[:, 0])[None]
    ratio: np.ndarray = np.divide(shared, lengths - shared, out=np.zeros_like(shared), where=shared > 0)
    return ratio


def _class_precisions(truth: EventsOfFiles, detections: Detections, index: int, tious_T: np.ndarray) -> list[float]:
    own = np.flatnonzero(detections.classes == index)
    own = own[np.argsort(-detections.scores[own], kind="stable")]
    files, spans = detections.files[own], detections.spans[own]
    hits_ET = np.zeros((len(own), len(tious_T)), bool)
    for file, truth_R2 in truth.items():
        here = np.flatnonzero(files == file)
        hits_ET[here] = _match(tiou(truth_R2[::-1], spans[here]), tious_T)
    positives = sum(map(len, truth.values()))
    return [interpolated_precision(hits_E, positives) for hits_E in hits_ET.T]


def _match(tiou_RE: np.ndarray, tious_T: np.ndarray) -> np.ndarray:
    """Whether each detection of a file, by falling score, takes a truth event at each threshold, (E, T)."""
    hits_ET = np.zeros((tiou_RE.shape[1], len(tious_T)), bool)
    free_TR = np.ones((len(tious_T), len(tiou_RE)), bool)
    for event in np.flatnonzero(tiou_RE.max(axis=0, initial=0.0) >= tious_T.min()):
        overlap_TR = np.where(free_TR, tiou_RE[:, event], -1.0)
        best_T = overlap_TR.argmax(axis=1)
        hit_T = overlap_TR.max(axis=1) >= tious_T
        free_TR[hit_T, best_T[hit_T]] = False
        hits_ET[event] = hit_T
    return hits_ET
