"""One clip of one segment: where labels meet what was read of the recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from torch.utils.data import Dataset

from slowfast_cli.corpora.segments import packed
from slowfast_cli.types import Clip, Seconds, Segment


class Key(NamedTuple):
    """Names one clip: the same key always gives the same clip, in whatever process.

    Attributes:
        epoch: Decides a random crop.
        segment: Its place in the list.
        view: Of the test views; -1 crops at random, -2 is another random crop of the same epoch.
    """

    epoch: int
    segment: int
    view: int


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What was read of a recording.

    Attributes:
        signals: As in `Clip`.
        start: Of the piece, from the start of the recording.
        stop: Of the piece.
    """

    signals: Mapping[str, np.ndarray]
    start: Seconds
    stop: Seconds


class Reader(Protocol):
    """Reads the signals of a clip."""

    def read(self, segment: Segment, key: Key) -> Piece:
        """The clip that a key names."""

    def count(self, segment: Segment) -> int:
        """Test clips of a segment."""


class Clips(Dataset[Clip]):
    """The clips of a corpus, by `Key`.

    Args:
        segments: In the order that keys count. Kept so that worker processes share them.
        reader: Of their signals.
        sizes: Number of classes by label set, for those of which several may hold at once.
    """

    def __init__(self, segments: Sequence[Segment], reader: Reader, *, sizes: Mapping[str, int] | None = None) -> None:
        self.segments = packed(segments)
        self.reader = reader
        self.sizes = dict(sizes or {})

    def __len__(self) -> int:
        return len(self.segments)

    def counts(self) -> list[int]:
        """Test clips of each segment."""
        return [self.reader.count(segment) for segment in self.segments]

    def __getitem__(self, key: Key) -> Clip:
        segment = self.segments[key.segment]
        piece = self.reader.read(segment, key)
        return Clip(
            signals=piece.signals,
            targets={} if segment.boxes else self._targets(segment, piece, trains=key.view < 0),
            id=segment.id,
            view=max(key.view, 0),
            boxes=segment.boxes,
        )

    def _targets(self, segment: Segment, piece: Piece, *, trains: bool) -> dict[str, int | np.ndarray]:
        """Class indices, or zeros and ones; while training, of what happens during the clip only."""
        found: dict[str, int | np.ndarray] = {}
        for labels, target in segment.targets.items():
            if not isinstance(target, tuple):
                found[labels] = target
                continue
            held = set(target)
            if trains and segment.spans:
                held = {
                    span.index
                    for span in segment.spans
                    if span.labels == labels and span.start < piece.stop and span.stop > piece.start
                }
            found[labels] = multi_hot(held, self.sizes[labels])
        return found


def multi_hot(indices: Sequence[int] | set[int], size: int) -> np.ndarray:
    """One at the given places, zero elsewhere.

    >>> hot((0, 2), 3).tolist()
    [1.0, 0.0, 1.0]
    """
    row = np.zeros(size, np.float32)
    row[list(indices)] = 1
    return row
