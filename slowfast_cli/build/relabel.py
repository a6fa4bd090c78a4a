"""A corpus with some of its label sets, or with those that need no annotation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from slowfast_cli.corpora.segments import changed
from slowfast_cli.tasks import rotation
from slowfast_cli.types import Corpus, Segment, Target

T = TypeVar("T")


def _of_labels(wanted: frozenset[str], segment: Segment) -> Segment:
    targets = {labels: target for labels, target in segment.targets.items() if labels in wanted}
    return replace(segment, targets=targets, spans=tuple(span for span in segment.spans if span.labels in wanted))


def chosen(found: Corpus, wanted: frozenset[str]) -> Corpus:
    """The corpus with some of its label sets; what is scored, and when labels hold, stays."""

    def some(values: Mapping[str, T]) -> dict[str, T]:
        return {labels: value for labels, value in values.items() if labels in wanted}

    if wanted == found.classes.keys():
        return found
    segments = changed(found.segments, functools.partial(_of_labels, wanted))
    return replace(
        found, segments=segments, classes=some(found.classes), tail=some(found.tail), scored=some(found.scored)
    )


def relabelled(
    found: Corpus, classes: Mapping[str, tuple[str, ...]], targets: Callable[[str], Mapping[str, Target]]
) -> Corpus:
    """The corpus with other label sets, whose targets follow from a segment's id."""
    segments = changed(found.segments, functools.partial(_with_targets, targets))
    return replace(found, segments=segments, classes=classes, tail={}, scored={}, subsets={})


def _with_targets(targets: Callable[[str], Mapping[str, Target]], segment: Segment) -> Segment:
    return replace(segment, targets=targets(segment.id), spans=())


def nothing(id_: str) -> Mapping[str, Target]:
    """No targets."""
    return {}


def turned(id_: str) -> Mapping[str, Target]:
    """By how much the frames of a segment are turned when testing."""
    return {rotation.LABELS: rotation.quarters_of(id_)}
