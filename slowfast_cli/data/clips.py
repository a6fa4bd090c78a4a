"""Clips of a corpus: targets from the segment, inputs from a `Reader`."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from torch.utils.data import Dataset

from slowfast_cli.corpora.segments import Segments
from slowfast_cli.types import Clip, Inputs, Seconds, Segment


class Key(NamedTuple):
    """Name of one clip: the same key gives the same clip in every process."""

    epoch: int  # seeds a random crop
    segment: int  # index into the segments
    view: int  # number of a test view; -1 is a random crop, -2 a second random crop of the same epoch


@dataclass(frozen=True, kw_only=True)
class Piece:
    """The inputs read from a recording, and their time span."""

    inputs: Inputs[np.ndarray]
    start: Seconds
    stop: Seconds


class Reader(Protocol):
    """Reads the inputs of a clip."""

    def read(self, segment: Segment, key: Key) -> Piece:
        """Read the clip that a key names."""

    def read_each(self, keys: Iterable[tuple[Segment, Key]]) -> Iterator[Piece]:
        """Read several clips, in order; a reader may share work between consecutive ones."""

    def count(self, segment: Segment) -> int:
        """Number of test clips of a segment."""


class Clips(Dataset[Clip]):
    """The clips of a corpus, by `Key`; ``sizes`` are the numbers of classes by label set, for multi-hot targets."""

    def __init__(self, segments: Sequence[Segment], reader: Reader, *, sizes: Mapping[str, int] | None = None) -> None:
        self.segments = Segments.of(segments).shared()
        self.reader = reader
        self.sizes = dict(sizes or {})

    def __len__(self) -> int:
        return len(self.segments)

    def counts(self) -> list[int]:
        """Number of test clips of each segment."""
        return [self.reader.count(segment) for segment in self.segments]

    def __getitem__(self, key: Key) -> Clip:
        segment = self.segments[key.segment]
        return self._clip(segment, key, self.reader.read(segment, key))

    def read(self, keys: Sequence[Key]) -> list[Clip]:
        """Read several clips; videos in one pass over the frames of consecutive clips."""
        segments = [self.segments[key.segment] for key in keys]
        pairs = list(zip(segments, keys, strict=True))
        pieces = zip(pairs, self.reader.read_each(pairs), strict=True)
        return [self._clip(segment, key, piece) for (segment, key), piece in pieces]

    def _clip(self, segment: Segment, key: Key, piece: Piece) -> Clip:
        return Clip(
            inputs=piece.inputs,
            targets={} if segment.boxes else self._targets(segment, piece, training=key.view < 0),
            id=segment.id,
            view=max(key.view, 0),
            boxes=segment.boxes,
        )

    def _targets(self, segment: Segment, piece: Piece, *, training: bool) -> dict[str, int | np.ndarray]:
        """Class indices, or multi-hot rows; in training only of the classes that occur during the clip."""
        targets: dict[str, int | np.ndarray] = {}
        for labels, target in segment.targets.items():
            if not isinstance(target, tuple):
                targets[labels] = target
                continue
            classes = set(target)
            if training and segment.spans:
                classes = {
                    span.index
                    for span in segment.spans
                    if span.labels == labels and span.start < piece.stop and span.stop > piece.start
                }
            targets[labels] = multi_hot(classes, self.sizes[labels])
        return targets


def multi_hot(indices: Collection[int], size: int) -> np.ndarray:
    """Return a row with one at the given indices, zero elsewhere.

    >>> multi_hot((0, 2), 3).tolist()
    [1.0, 0.0, 1.0]
    """
    row = np.zeros(size, np.float32)
    row[list(indices)] = 1
    return row
