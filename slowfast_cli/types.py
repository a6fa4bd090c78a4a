"""The values that flow through the toolkit; every layer may import this one, and it imports none.

``Corpus -> Segment -> Clip -> Batch -> Prediction -> Scores``: frozen, with units; no torch, so that the help is quick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from slowfast_cli.errors import BrokenMediaError as BrokenMediaError
from slowfast_cli.errors import DataError as DataError
from slowfast_cli.errors import LostError as LostError
from slowfast_cli.errors import SlowFastError as SlowFastError
from slowfast_cli.errors import UsageError as UsageError
from slowfast_cli.errors import WeightsError as WeightsError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Seconds: TypeAlias = float
Signals: TypeAlias = "dict[str, Tensor]"  # "logmel" (B, 1, T, F), "frames" (B, 3, T, H, W); time is always axis 2
Target: TypeAlias = "int | tuple[int, ...]"  # one class, or all that hold at once (multi-label)
Place: TypeAlias = "tuple[float, float, float, float]"  # x1, y1, x2, y2 as shares of the frame's width and height
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


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One file of sound or video on disk, one named run of samples inside an HDF5 file, or a folder of pictures.

    Attributes:
        id: Unique within its corpus; the key of its rows in the shards.
        path: The file or folder.
        dataset: Name of the 1-d dataset of samples when ``path`` is an HDF5 file.
        rate: Sampling rate of that dataset in Hz; media files carry their own.
        fps: Pictures a second when ``path`` is a folder of them, in the order of their names.
        sound: The file its sound is in, where that is another one.
        sound_start: What time it is in ``sound`` when the recording begins.
    """

    id: str
    path: Path
    dataset: str | None = None
    rate: int | None = None
    fps: float | None = None
    sound: Path | None = None
    sound_start: Seconds = 0.0

    def __post_init__(self) -> None:
        if (self.dataset is None) != (self.rate is None):
            raise ValueError(f"recording {self.id}: dataset and rate go together")
        if self.fps is not None and self.fps <= 0:
            raise ValueError(f"recording {self.id}: {self.fps} pictures a second")


@dataclass(frozen=True, kw_only=True)
class Span:
    """A class that holds for a part of a segment only.

    Attributes:
        labels: The label set.
        index: The class.
        start: In seconds from the start of the recording.
        stop: In seconds.
    """

    labels: str
    index: int
    start: Seconds
    stop: Seconds


@dataclass(frozen=True, kw_only=True)
class Box:
    """Someone in the picture, and what they do.

    Attributes:
        place: Left, top, right, bottom as shares of the frame's width and height.
        targets: Class indices of all that they do; empty where a detector drew the box.
        score: The detector's confidence; 1 where a person drew it.
    """

    place: Place
    targets: tuple[int, ...] = ()
    score: float = 1.0

    def __post_init__(self) -> None:
        x1, y1, x2, y2 = self.place
        if not (x1 <= x2 and y1 <= y2):
            raise ValueError(f"box {self.place}: right and bottom do not lie after left and top")


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A labelled stretch of a recording.

    Attributes:
        id: Unique within its corpus and split.
        recording: Where the sound is.
        start: In seconds from the start of the recording.
        stop: In seconds; None means to the end of the recording.
        targets: Class index by label set (``verb`` and ``noun``), or a tuple where several hold; empty without labels.
        group: Who or what the segment shares with others: participant, fold or source.
        centre: The moment that its only clip is centred on; None spreads clips from start to stop.
        spans: When each of several targets holds; empty where they hold throughout.
        boxes: Where in the frame at ``centre`` the model is asked what happens.
        truth: Boxes that people annotated there, where ``boxes`` are a detector's.
    """

    id: str
    recording: Recording
    start: Seconds = 0.0
    stop: Seconds | None = None
    targets: Mapping[str, Target] = field(default_factory=dict)
    group: str = ""
    centre: Seconds | None = None
    spans: tuple[Span, ...] = ()
    boxes: tuple[Box, ...] = ()
    truth: tuple[Box, ...] = ()

    def __post_init__(self) -> None:
        if self.start < 0 or (self.stop is not None and self.stop <= self.start):
            raise ValueError(f"segment {self.id}: start {self.start} s, stop {self.stop} s")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Something listed that could not be used, and why; ``soundless``: it only has no sound, no fault of a video."""

    id: str
    path: Path
    reason: str
    soundless: bool = False


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """One split of a data set: what is listed, what is on disk, and what the class numbers mean.

    Attributes:
        name: The data set, as in ``--dataset``.
        split: The part of it.
        segments: Those whose media exist, in the order of the list; a tuple, or columns that make each when asked.
        classes: Names by label set; a target is an index into them.
        missing: Listed, but not usable.
        subsets: Ids of segments that are also scored apart (``unseen``).
        tail: Indices of rare classes by label set, scored apart.
        scored: Indices of the classes that count, by label set, where not all do (AVA: 60 of 80).
        seen: Whether it is about pictures, so that a recording without sound is whole.
        note: What its reader has to tell of what it found.
    """

    name: str
    split: str
    segments: Sequence[Segment]
    classes: Mapping[str, tuple[str, ...]]
    missing: Sequence[Failure] = ()
    subsets: Mapping[str, frozenset[str]] = field(default_factory=dict)
    tail: Mapping[str, frozenset[int]] = field(default_factory=dict)
    scored: Mapping[str, frozenset[int]] = field(default_factory=dict)
    seen: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        for labels, names in self.classes.items():
            if len(set(names)) != len(names):
                raise ValueError(f"{self.name}: label set {labels} names a class twice")
        seen: set[str] = set()
        for segment in self.segments if isinstance(self.segments, tuple | list) else ():  # columns check themselves
            if segment.id in seen:
                raise ValueError(f"{self.name}: segment {segment.id} is listed twice")
            seen.add(segment.id)
            for labels, target in segment.targets.items():
                for index in target if isinstance(target, tuple) else (target,):
                    if not 0 <= index < (size := len(self.classes[labels])):
                        raise ValueError(f"{self.name}: {segment.id}: {labels} {index} is not one of {size}")

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
        signals: Arrays without the batch axis: ``logmel`` (1, T, F), ``samples`` (N,), ``frames`` (3, T, H, W) uint8.
        targets: Class index by label set, or (classes,) zeros and ones where several hold at once.
        id: The segment's.
        view: Which of its test views, from 0.
        boxes: The segment's, whose targets are then those of the boxes.
    """

    signals: Mapping[str, np.ndarray]
    targets: Mapping[str, int | np.ndarray]
    id: str
    view: int = 0
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Clips stacked, on one device.

    Attributes:
        signals: ``logmel`` (B, 1, T, F), ``frames`` (B, 3, T, H, W); ``has_audio`` (B,): 0 without sound.
        targets: By label set: class indices (B,); (B, classes) when mixed or several hold; of boxes (N, classes).
        ids: The segments' ids, one a row of the signals.
        boxes: (N, 5): row of the batch, then x1, y1, x2, y2 in pixels of the frames.
        places: Of the boxes, as shares of the recording's frame, in the same order.
        broken: Recordings of the batch that could not be read, and are not in it.
        silent: How many clips have no sound, where sound is asked for.
        readers: Processes that read batches; 0: the one that asks for them.
        waited: How long it was waited for.
    """

    signals: Signals
    targets: Mapping[str, Tensor]
    ids: tuple[str, ...]
    boxes: Tensor | None = None
    places: tuple[Place, ...] = ()
    broken: tuple[Failure, ...] = ()
    without_audio: int = 0
    workers: int = 0
    data_wait: Seconds = 0.0

    def __len__(self) -> int:
        return len(self.ids)

    def pin_memory(self) -> Batch:
        """The same in page-locked memory; the loader calls it."""
        return self.map(lambda value: value.pin_memory())

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same with every tensor changed."""
        return replace(
            self,
            signals={name: change(value) for name, value in self.signals.items()},
            targets={name: change(value) for name, value in self.targets.items()},
            boxes=None if self.boxes is None else change(self.boxes),
        )


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Probabilities for one view, or for one segment once its views are merged.

    Attributes:
        id: The segment's.
        scores: By label set, (classes,) float32 on the CPU.
        place: The box they are about, where the segment has boxes.
    """

    id: str
    scores: Mapping[str, np.ndarray]
    place: Place | None = None


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
