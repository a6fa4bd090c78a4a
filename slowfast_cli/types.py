"""The values that flow through the toolkit; every layer may import this one, and it imports none.

``Corpus -> Segment -> Clip -> Batch -> Prediction -> Scores``: each is frozen, knows its units and refuses nonsense.
Torch is imported for type checkers only, so that the command line starts without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Seconds: TypeAlias = float
Signals: TypeAlias = "dict[str, Tensor]"  # "logmel" (B, 1, T, F); time is always axis 2
Settings: TypeAlias = "dict[str, int | float | str | bool]"  # JSON-able settings of a front end


def finite(value: Any) -> Any:
    """The same plain value with None in place of NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(inside) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inside) for inside in value]
    return None if isinstance(value, float) and not isfinite(value) else value


AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".aif", ".aiff", ".wma"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".avi", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".3gp", ".flv"})
MEDIA_SUFFIXES = AUDIO_SUFFIXES | VIDEO_SUFFIXES


class SlowFastError(Exception):
    """A mistake the user can mend; its text says where, what is wrong, what is right and what to do.

    Attributes:
        code: What the process exits with.
    """

    code = 1


class UsageError(SlowFastError):
    """Wrong words on the command line, or a recipe that does not hold together."""

    code = 2


class DataError(SlowFastError):
    """Media, annotations or shards that are missing, broken or made with other settings."""

    code = 3


class WeightsError(SlowFastError):
    """Weights that are missing, broken or of another network; a download that failed."""

    code = 4


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One file of sound on disk, or one named run of samples inside an HDF5 file.

    Attributes:
        id: Unique within its corpus; the key of its rows in the shards.
        path: The file.
        dataset: Name of the 1-d dataset of samples when ``path`` is an HDF5 file.
        rate: Sampling rate of that dataset in Hz; media files carry their own.
    """

    id: str
    path: Path
    dataset: str | None = None
    rate: int | None = None

    def __post_init__(self) -> None:
        if (self.dataset is None) != (self.rate is None):
            raise ValueError(f"recording {self.id}: dataset and rate go together")


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A labelled stretch of a recording.

    Attributes:
        id: Unique within its corpus and split.
        recording: Where the sound is.
        start: In seconds from the start of the recording.
        stop: In seconds; None means to the end of the recording.
        targets: Class index by label set (``label``, or ``verb`` and ``noun``); empty for a split without labels.
        group: Who or what the segment shares with others: participant, fold or source.
    """

    id: str
    recording: Recording
    start: Seconds = 0.0
    stop: Seconds | None = None
    targets: Mapping[str, int] = field(default_factory=dict)
    group: str = ""

    def __post_init__(self) -> None:
        if self.start < 0 or (self.stop is not None and self.stop <= self.start):
            raise ValueError(f"segment {self.id}: start {self.start} s, stop {self.stop} s")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Something listed that could not be used, and why."""

    id: str
    path: Path
    reason: str


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """One split of a data set: what is listed, what is on disk, and what the class numbers mean.

    Attributes:
        name: The data set, as in ``--dataset``.
        split: The part of it.
        segments: Those whose media exist, in the order of the list.
        classes: Names by label set; a target is an index into them.
        missing: Listed, but not usable.
        subsets: Ids of segments that are also scored apart (``unseen``).
        tail: Indices of rare classes by label set, scored apart.
    """

    name: str
    split: str
    segments: tuple[Segment, ...]
    classes: Mapping[str, tuple[str, ...]]
    missing: tuple[Failure, ...] = ()
    subsets: Mapping[str, frozenset[str]] = field(default_factory=dict)
    tail: Mapping[str, frozenset[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for labels, names in self.classes.items():
            if len(set(names)) != len(names):
                raise ValueError(f"{self.name}: label set {labels} names a class twice")
        seen: set[str] = set()
        for segment in self.segments:
            if segment.id in seen:
                raise ValueError(f"{self.name}: segment {segment.id} is listed twice")
            seen.add(segment.id)
            for labels, index in segment.targets.items():
                if not 0 <= index < len(self.classes[labels]):
                    raise ValueError(
                        f"{self.name}: {segment.id}: {labels} {index} is not one of {len(self.classes[labels])}"
                    )

    @property
    def listed(self) -> int:
        """How many segments the annotations list."""
        return len(self.segments) + len(self.missing)

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """Each recording once, in the order of first use."""
        return tuple({segment.recording.id: segment.recording for segment in self.segments}.values())


Reader: TypeAlias = Callable[[Path, str], Corpus]  # read(root, split)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """What one training example or one test view is made of, before batching.

    Attributes:
        signals: Arrays without the batch axis: ``logmel`` (1, T, F) or ``samples`` (N,).
        targets: As in `Segment`.
        id: The segment's.
        view: Which of its test views, from 0.
    """

    signals: Mapping[str, np.ndarray]
    targets: Mapping[str, int]
    id: str
    view: int = 0


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Clips stacked, on one device.

    Attributes:
        signals: ``logmel`` (B, 1, T, F).
        targets: By label set: class indices (B,), or probabilities (B, classes) when examples were mixed.
        ids: The segments' ids, one a row.
    """

    signals: Signals
    targets: Mapping[str, Tensor]
    ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def pin_memory(self) -> Batch:
        """The same in page-locked memory, which a device copies from while it works; the loader calls it."""
        return Batch(
            signals={name: value.pin_memory() for name, value in self.signals.items()},
            targets={name: value.pin_memory() for name, value in self.targets.items()},
            ids=self.ids,
        )


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Probabilities for one view, or for one segment once its views are merged.

    Attributes:
        id: The segment's.
        scores: By label set, (classes,) float32 on the CPU.
    """

    id: str
    scores: Mapping[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What a metric says, and over how much of the list it was computed.

    Attributes:
        values: By metric name; accuracies in percent, mAP and AUC from 0 to 1.
        found: Segments scored.
        listed: Segments in the official list.
    """

    values: Mapping[str, float]
    found: int
    listed: int
