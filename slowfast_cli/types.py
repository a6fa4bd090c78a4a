"""Value types for every layer, without torch: ``Corpus -> Segment -> Clip -> Batch -> Prediction -> Scores``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from slowfast_cli.errors import AbsentError as AbsentError
from slowfast_cli.errors import BrokenMediaError as BrokenMediaError
from slowfast_cli.errors import DataError as DataError
from slowfast_cli.errors import LostError as LostError
from slowfast_cli.errors import SlowFastError as SlowFastError
from slowfast_cli.errors import StreamError as StreamError
from slowfast_cli.errors import UsageError as UsageError
from slowfast_cli.errors import WeightsError as WeightsError
from slowfast_cli.errors import did_you_mean as did_you_mean
from slowfast_cli.errors import text_of as text_of
from slowfast_cli.suffixes import AUDIO_SUFFIXES as AUDIO_SUFFIXES
from slowfast_cli.suffixes import MEDIA_SUFFIXES as MEDIA_SUFFIXES
from slowfast_cli.suffixes import VIDEO_SUFFIXES as VIDEO_SUFFIXES

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

Seconds: TypeAlias = float
Signals: TypeAlias = "dict[str, Tensor]"  # "logmel" (B, 1, T, F), "frames" (B, 3, T, H, W); time is always axis 2
Target: TypeAlias = "int | tuple[int, ...]"  # class index, or indices (multi-label)
Place: TypeAlias = "tuple[float, float, float, float]"  # x1, y1, x2, y2, relative to the frame's size
Settings: TypeAlias = "dict[str, int | float | str | bool]"  # JSON-serializable front-end settings


def finite(value: Any) -> Any:
    """Replace NaN and infinities, which JSON does not have, with None, recursively."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A media file, a dataset of samples in an HDF5 file, or a folder of frame images."""

    id: str  # unique within its corpus; key of its rows in the shards
    path: Path
    dataset: str | None = None  # name of the 1-d dataset of samples when `path`, or `sound`, is an HDF5 file
    rate: int | None = None  # sampling rate of `dataset`, Hz
    fps: float | None = None  # frames per second when `path` is a folder of images, ordered by name
    sound: Path | None = None  # separate audio file
    sound_start: Seconds = 0.0  # time in `sound` at which the recording begins

    def __post_init__(self) -> None:
        if (self.dataset is None) != (self.rate is None):
            raise ValueError(f"recording {self.id}: dataset and rate must be given together")
        if self.fps is not None and self.fps <= 0:
            raise ValueError(f"recording {self.id}: fps is {self.fps}, expected a positive number")


@dataclass(frozen=True, kw_only=True)
class Span:
    """Time interval of one class within a segment, in seconds from the start of the recording."""

    labels: str  # label set
    index: int  # class
    start: Seconds
    stop: Seconds


@dataclass(frozen=True, kw_only=True)
class Box:
    """Bounding box of a person, with the actions of that person."""

    place: Place
    targets: tuple[int, ...] = ()  # class indices; empty for detected boxes
    score: float = 1.0  # detector confidence; 1 for annotated boxes

    def __post_init__(self) -> None:
        x1, y1, x2, y2 = self.place
        if not (x1 <= x2 and y1 <= y2):
            raise ValueError(f"box {self.place}: expected x1 <= x2 and y1 <= y2")


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A labeled time interval of a recording, in seconds from the start of the recording."""

    id: str  # unique within its corpus and split
    recording: Recording
    start: Seconds = 0.0
    stop: Seconds | None = None  # None: end of the recording
    targets: Mapping[str, Target] = field(default_factory=dict)  # by label set; empty without labels
    group: str = ""  # what related segments share: participant, fold or source recording
    center: Seconds | None = None  # center of its only clip; None: clips are spread from start to stop
    spans: tuple[Span, ...] = ()  # when each target holds; empty: throughout the segment
    boxes: tuple[Box, ...] = ()  # boxes to classify, in the frame at the center
    truth: tuple[Box, ...] = ()  # annotated boxes, when `boxes` come from a detector

    def __post_init__(self) -> None:
        if self.start < 0 or (self.stop is not None and self.stop <= self.start):
            raise ValueError(f"segment {self.id}: start {self.start} s, stop {self.stop} s: expected 0 <= start < stop")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A listed item that cannot be used."""

    id: str
    path: Path
    reason: str
    soundless: bool = False  # a valid video that only lacks audio


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """One split of a data set: the segments found on disk, the missing ones, and the class names."""

    name: str  # as in --dataset
    split: str
    segments: Sequence[Segment]  # with media on disk, in list order; a tuple, or a table that creates them on access
    classes: Mapping[str, tuple[str, ...]]  # class names by label set; targets index into them
    missing: Sequence[Failure] = ()  # listed, but not usable
    subsets: Mapping[str, frozenset[str]] = field(default_factory=dict)  # ids of segments also scored separately
    tail: Mapping[str, frozenset[int]] = field(default_factory=dict)  # rare classes, also scored separately
    scored: Mapping[str, frozenset[int]] = field(default_factory=dict)  # classes that count, if not all (AVA: 60 of 80)
    class_mean: bool = False  # also scored by the mean of the classes' accuracies
    has_video: bool = False  # a video data set: recordings without audio are still usable
    note: str = ""  # remark of the reader, shown to the user

    def __post_init__(self) -> None:
        for labels, names in self.classes.items():
            if len(set(names)) != len(names):
                raise ValueError(f"{self.name}: label set {labels} contains a duplicate class name")
        ids: set[str] = set()
        for segment in self.segments if isinstance(self.segments, tuple | list) else ():  # tables check themselves
            if segment.id in ids:
                raise ValueError(f"{self.name}: segment {segment.id} is listed twice")
            ids.add(segment.id)
            for labels, target in segment.targets.items():
                for index in target if isinstance(target, tuple) else (target,):
                    if not 0 <= index < (size := len(self.classes[labels])):
                        raise ValueError(f"{self.name}: {segment.id}: {labels} {index} is not from 0 to {size - 1}")

    @property
    def listed(self) -> int:
        """Number of segments in the annotations."""
        return len(self.segments) + len(self.missing)

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """Unique recordings, in order of first use."""
        return tuple({segment.recording.id: segment.recording for segment in self.segments}.values())


Reader: TypeAlias = Callable[[Path, str], Corpus]  # read(root, split); raises DataError for missing or invalid lists


@dataclass(frozen=True, kw_only=True)
class Share:
    """Rank and world size: which part of the work this process does."""

    rank: int = 0
    world: int = 1


A = TypeVar("A")  # np.ndarray or Tensor
NETWORK_INPUTS = ("logmel", "samples", "frames", "has_audio", "features")


@dataclass(frozen=True, kw_only=True)
class Inputs(Generic[A]):
    """What a clip is recognized from: arrays without the batch axis for a clip, tensors for a batch.

    None: not read. On the device `slowfast_cli.build.transforms` turns `samples` into `logmel`, crops `frames` and
    appends `negative` to `logmel`; a network gets what `signals` returns.

    Shapes: B clips, T log-mel frames, F mel bands, N samples, D features; of video T frames, H height, W width.
    """

    logmel: A | None = None
    """(B, 1, T, F) log-mel; (2B, 1, T, F) once negatives are appended."""
    samples: A | None = None
    """(B, N) samples at the front end's rate, zero-padded."""
    valid_frames: A | None = None
    """(B,) log-mel frames of `samples` before the padding; the last one is repeated over it."""
    rows: A | None = None
    """(B, T) indices of the log-mel frames of `samples` that go with the video frames."""
    negative: A | None = None
    """(B, 1, T, F) log-mel of another time of the recording, for AV-sync."""
    negative_samples: A | None = None
    """(B, N) samples of that time."""
    negative_rows: A | None = None
    """(B, T) indices of its log-mel frames."""
    frames: A | None = None
    """(B, 3, T, H, W): uint8 as decoded, padded to the largest of the batch; float32 once cropped."""
    frame_sizes: A | None = None
    """(B, 2) height and width before padding, on the host; None once cropped."""
    has_audio: A | None = None
    """(B,) 1.0 where the clip has audio, else 0.0."""
    features: A | None = None
    """(B, D) stored features of a frozen trunk."""

    @property
    def present(self) -> dict[str, A]:
        """The fields that are not None, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @property
    def signals(self) -> dict[str, A]:
        """What a network reads."""
        return {name: value for name, value in self.present.items() if name in NETWORK_INPUTS}


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One training example or one test view, before batching."""

    inputs: Inputs[np.ndarray]
    targets: Mapping[str, int | np.ndarray]
    """Class index by label set, or a multi-hot row (classes,)."""
    id: str
    """Id of the segment."""
    view: int = 0
    """Number of the test view."""
    boxes: tuple[Box, ...] = ()
    """Boxes of the segment, which then carry the targets."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Clips stacked, on one device."""

    inputs: Inputs[Tensor]
    targets: Mapping[str, Tensor]
    """By label set: class indices (B,); (B, classes) if mixed or multi-label; of boxes (N, classes)."""
    ids: tuple[str, ...]
    """Ids of the segments, one per clip."""
    boxes: Tensor | None = None
    """(N, 5): row of the batch, then x1, y1, x2, y2 in pixels of the frames."""
    places: tuple[Place, ...] = ()
    """The same boxes as shares of the recording's frame."""
    broken: tuple[Failure, ...] = ()
    """Recordings of the batch that could not be read and are left out."""
    without_audio: int = 0
    """Number of clips without audio, of a network that reads it."""
    workers: int = 0
    """Processes that read the batches; 0: the calling process."""
    data_wait: Seconds = 0.0
    """Time spent waiting for this batch."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def device(self) -> torch.device:
        """Device of the inputs."""
        return next(iter(self.inputs.present.values())).device

    def pin_memory(self) -> Batch:
        """Return a copy in page-locked memory; called by the data loader."""
        return self.map(lambda value: value.pin_memory())

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Apply a function to every tensor."""
        return replace(
            self,
            inputs=Inputs(**{name: change(value) for name, value in self.inputs.present.items()}),
            targets={name: change(value) for name, value in self.targets.items()},
            boxes=None if self.boxes is None else change(self.boxes),
        )


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Probabilities for one view, or for one segment once its views are merged."""

    id: str
    """Id of the segment."""
    scores: Mapping[str, np.ndarray]
    """By label set, (classes,) float32 on the CPU."""
    place: Place | None = None
    """The box that is classified, where the segment has boxes."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Values of the metrics, and the share of the list that they cover."""

    values: Mapping[str, float]
    """By metric; units as in `slowfast_cli.metrics.registry`."""
    found: int
    """Segments scored."""
    listed: int
    """Segments in the official list."""
