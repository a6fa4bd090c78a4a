"""Score the events that a model finds against a corpus with times: event-based F1, segment-based F1 and PSDS."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from slowfast_cli.build.corpus import SplitRole, read_corpus
from slowfast_cli.events.event import Event, FileEvents
from slowfast_cli.events.merge import Merging, merge, track
from slowfast_cli.metrics.event_runs import EventsOfFiles, FrameScores, stack_frames
from slowfast_cli.metrics.events import Collar, Counts, best_threshold, event_counts, segment_counts
from slowfast_cli.metrics.psds import LOCALIZE, RECOGNIZE, psds
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.types import Corpus, DataError, Recording, Seconds, Segment, Target, UsageError

SEGMENT: Seconds = 1.0
"""Length of the segments of segment-based F1."""
Windows = tuple[np.ndarray, np.ndarray, Mapping[str, np.ndarray]]
"""Starts (W,), ends (W,) in seconds, and scores (W, C) by label set, of the windows of a recording."""


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """Scores of one class, from 0 to 1."""

    name: str
    events: int
    """Truth events."""
    detected: int
    f1: float
    precision: float
    recall: float
    best_f1: float
    """With the threshold that is best on this very split: an upper bound."""
    best_threshold: float


@dataclass(frozen=True, kw_only=True)
class EventScores:
    """Scores of a label set, from 0 to 1."""

    classes: tuple[ClassScores, ...]
    """Those with truth events."""
    event_f1: float
    """Over all events (micro average)."""
    macro_event_f1: float
    """Mean over classes."""
    segment_f1: float
    psds1: float
    """Scenario 1 of DCASE: localize."""
    psds1_macro: float
    """The same without the penalty for the variance between classes, as AudioSet-strong is scored."""
    psds2: float
    """Scenario 2 of DCASE: recognize."""

    @property
    def values(self) -> dict[str, float]:
        """The averages by name."""
        return {name: value for name, value in asdict(self).items() if name != "classes"}


@dataclass(frozen=True, kw_only=True)
class EventEvaluation:
    """Scores by label set, the events found, and how many recordings there were."""

    scores: Mapping[str, EventScores]
    detected: Sequence[FileEvents]
    recordings: int
    missing: Sequence[str]
    """Why recordings could not be scored."""


def spans_of(corpus: Corpus, labels: str) -> list[EventsOfFiles]:
    """Events of each class of a label set as they are listed, by recording id; empty for segments without times."""
    spans: list[dict[str, list[tuple[Seconds, Seconds]]]] = [{} for _ in corpus.classes[labels]]
    for segment in corpus.segments:
        for index, start, stop in _events(segment, labels):
            spans[index].setdefault(segment.recording.id, []).append((start, stop))
    return [{id_: np.array(own) for id_, own in of_class.items()} for of_class in spans]


def _events(segment: Segment, labels: str) -> Iterator[tuple[int, Seconds, Seconds]]:
    """Class, start and end of the events of a segment: its spans, or the segment itself where it has an end."""
    if segment.spans:
        yield from ((span.index, span.start, span.stop) for span in segment.spans if span.labels == labels)
        return
    target: Target | None = segment.targets.get(labels)
    if segment.stop is not None and target is not None:
        yield from (
            (index, segment.start, segment.stop) for index in (target if isinstance(target, tuple) else (target,))
        )


def truth_of(corpus: Corpus, labels: str) -> list[EventsOfFiles]:
    """Events of each class of a label set, by recording id; events of a class that touch or overlap are joined.

    Raises:
        UsageError: The corpus has no times, or the label set has boxes or no labels.
    """
    spans = spans_of(corpus, labels)
    if not any(spans):
        raise UsageError(f"--events: {corpus.name} {corpus.split} has whole recordings, not events with start and end")
    return [{id_: _joined(own.tolist()) for id_, own in of_class.items()} for of_class in spans]


def _joined(spans: list[list[Seconds]]) -> np.ndarray:
    joined = list[list[Seconds]]()
    for start, stop in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], stop)
        else:
            joined.append([start, stop])
    return np.array(joined)


def common_label_sets(corpus: Corpus, classes: Mapping[str, Sequence[str]]) -> list[str]:
    """Label sets with the same classes in a corpus and in weights; raise `DataError` if there are none."""
    common = [labels for labels in corpus.classes if tuple(classes.get(labels, ())) == corpus.classes[labels]]
    if not common:
        raise DataError(f"{corpus.name} {corpus.split}: its classes are not those of the weights")
    return common


@dataclass(frozen=True, kw_only=True)
class SplitEvents:
    """The events of the recordings of a split."""

    files: Sequence[FileEvents]
    """Of the recordings that can be read; paths are recording ids."""
    frames: Mapping[str, Mapping[str, FrameScores]]
    """Scores by label set and recording."""
    missing: Sequence[str]
    """Why recordings could not be read."""

    @property
    def durations(self) -> dict[str, Seconds]:
        """Length by recording."""
        return {str(file.path): file.seconds for file in self.files}


def find_events(
    corpus: Corpus,
    label_sets: Sequence[str],
    windows: Callable[[Recording], Windows],
    hop: Seconds,
    merging: Merging,
    tick: Callable[[int, int], None] | None = None,
) -> SplitEvents:
    """Find the events of each recording of a split.

    Args:
        corpus: The split.
        label_sets: Those to find events of.
        windows: Scores the windows of a recording; raises `DataError`.
        hop: Distance of the windows.
        merging: How windows become events.
        tick: Called with the progress.

    Raises:
        DataError: No recording can be read.
    """
    frames: dict[str, dict[str, FrameScores]] = {labels: {} for labels in label_sets}
    files, missing = list[FileEvents](), list[str]()
    recordings = corpus.recordings
    for number, recording in enumerate(recordings, 1):
        try:
            starts, ends, scores = windows(recording)
        except DataError as error:
            missing.append(str(error))
            continue
        events = list[Event]()
        for labels in label_sets:
            tracked, edges = track(starts, ends, scores[labels], hop)
            frames[labels][recording.id] = FrameScores(scores=tracked, edges=edges)
            events += merge(tracked, edges, corpus.classes[labels], merging, labels)
        files.append(FileEvents(path=Path(recording.id), seconds=float(ends.max()), events=events))
        if tick:
            tick(number, len(recordings))
    if not files:
        raise DataError(
            f"{corpus.name} {corpus.split}: none of the {len(recordings)} recordings can be read"
            + (f": {missing[0]}" if missing else "")
        )
    return SplitEvents(files=files, frames=frames, missing=missing)


def evaluate_events(
    recipe: Recipe,
    split: SplitRole,
    classes: Mapping[str, Sequence[str]],
    windows: Callable[[Recording], Windows],
    hop: Seconds,
    merging: Merging,
    tick: Callable[[int, int], None] | None = None,
) -> EventEvaluation:
    """Find the events of each recording of a split, and score them.

    Args:
        recipe: Names the corpus.
        split: Its split.
        classes: Class names of the weights by label set; only those of the corpus are scored.
        windows: Scores the windows of a recording; raises `DataError`.
        hop: Distance of the windows.
        merging: How windows become events.
        tick: Called with the progress.

    Raises:
        UsageError: The corpus has no times.
        DataError: No recording can be read, or the classes are not those of the weights.
    """
    corpus = read_corpus(recipe, split)
    common = common_label_sets(corpus, classes)
    truth = {labels: truth_of(corpus, labels) for labels in common}
    detected = find_events(corpus, common, windows, hop, merging, tick)
    durations = detected.durations
    for labels, classes_ in truth.items():
        if not any(durations.keys() & of_class.keys() for of_class in classes_):
            raise DataError(f"{corpus.name} {corpus.split}: no recording that can be read has an event of {labels}")
    scored = {
        labels: score_events(
            corpus.classes[labels], labels, detected.frames[labels], truth[labels], durations, detected.files
        )
        for labels in common
    }
    return EventEvaluation(
        scores=scored, detected=detected.files, recordings=len(corpus.recordings), missing=detected.missing
    )


def score_events(
    names: Sequence[str],
    labels: str,
    frames: Mapping[str, FrameScores],
    truth: Sequence[EventsOfFiles],
    durations: Mapping[str, Seconds],
    detected: Sequence[FileEvents],
) -> EventScores:
    """Score the events of one label set; only recordings in ``durations`` count.

    Args:
        names: Class names.
        labels: The label set.
        frames: Frame scores by recording.
        truth: Truth events by class.
        durations: Length of the recordings.
        detected: Events found in each recording.
    """
    truth = [{id_: spans for id_, spans in of_class.items() if id_ in durations} for of_class in truth]
    used = [index for index, of_class in enumerate(truth) if of_class]
    events = _spans(detected, labels, len(names))
    counts = {index: event_counts(truth[index], events[index], Collar()) for index in used}
    segments = [segment_counts(truth[index], events[index], durations, SEGMENT) for index in used]
    stacked, with_truth = stack_frames(frames, used), [truth[index] for index in used]
    rows = []
    for place, index in enumerate(used):
        best = best_threshold(stacked, truth[index], place, Collar())
        rows.append(
            ClassScores(
                name=names[index],
                events=counts[index].true,
                detected=counts[index].detected,
                f1=counts[index].f1,
                precision=counts[index].precision,
                recall=counts[index].recall,
                best_f1=best.counts.f1,
                best_threshold=best.threshold,
            )
        )
    localize = psds(stacked, with_truth, durations, LOCALIZE)
    return EventScores(
        classes=tuple(rows),
        event_f1=sum(counts.values(), Counts()).f1,
        macro_event_f1=float(np.mean([row.f1 for row in rows])),
        segment_f1=sum(segments, Counts()).f1,
        psds1=localize.value,
        psds1_macro=localize.macro,
        psds2=psds(stacked, with_truth, durations, RECOGNIZE).value,
    )


def _spans(detected: Sequence[FileEvents], labels: str, classes: int) -> list[EventsOfFiles]:
    """The events of each class of a label set, by file."""
    spans: list[dict[str, list[tuple[Seconds, Seconds]]]] = [{} for _ in range(classes)]
    for file in detected:
        for event in file.events:
            if event.labels == labels:
                spans[event.index].setdefault(str(file.path), []).append((event.start, event.end))
    return [{id_: np.array(own) for id_, own in of_class.items()} for of_class in spans]
