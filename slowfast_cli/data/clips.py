"""One clip of one segment: the only place where labels meet stored rows or decoded samples.

Shapes: N samples, T frames, F mel bands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple, Protocol

import numpy as np
from torch.utils.data import Dataset

from slowfast_cli.data.views import Cut, clip_samples, cut, spread
from slowfast_cli.features.logmel import FrontEnd
from slowfast_cli.media import audio
from slowfast_cli.media.shards import Shards
from slowfast_cli.types import Clip, Recording, Seconds, Segment


class Key(NamedTuple):
    """Names one clip: the same key always gives the same clip, in whatever process.

    Attributes:
        epoch: Decides a random crop.
        segment: Its place in the list.
        view: Of the test views; -1 crops at random.
    """

    epoch: int
    segment: int
    view: int


class Store(Protocol):
    """Where a clip's signal comes from."""

    @property
    def front_end(self) -> FrontEnd:
        """The log-mel's settings."""

    def samples(self, recording: Recording) -> int:
        """Length of a recording in samples at the front end's rate."""

    def signals(self, recording: Recording, where: Cut, clip: int) -> dict[str, np.ndarray]:
        """The signal of a cut; ``clip`` is the samples of a whole clip."""


@dataclass(frozen=True)
class StoredRows:
    """Log-mel rows out of shards: those nearest to the cut, with the true sound beyond its ends in their windows."""

    shards: Shards
    front_end: FrontEnd

    @cached_property
    def failures(self) -> dict[str, str]:
        """Why recordings are not in the shards, by id."""
        return {failure.id: failure.reason for failure in self.shards.failures}

    def samples(self, recording: Recording) -> int:
        """Length of a recording in samples, from the shard's index."""
        return round(self.shards.seconds(recording.id) * self.front_end.rate)

    def signals(self, recording: Recording, where: Cut, clip: int) -> dict[str, np.ndarray]:
        """``logmel`` (1, T, F), the last row repeated up to a whole clip."""
        first = round(where.first / self.front_end.hop)
        last = min(first + self.front_end.frames(where.count), self.shards.rows(recording.id))
        first = min(first, last - 1)
        rows_TF = self.shards.read(recording.id, first, last - first)
        missing = self.front_end.frames(clip - 1) - len(rows_TF)
        return {"logmel": np.pad(rows_TF, ((0, missing), (0, 0)), mode="edge")[None]}


@dataclass(frozen=True)
class DecodedSamples:
    """Samples out of the media; the device computes the log-mel of exactly the clip."""

    front_end: FrontEnd

    def samples(self, recording: Recording) -> int:
        """Length of a recording in samples, from its header."""
        return round(_seconds(recording) * self.front_end.rate)

    def signals(self, recording: Recording, where: Cut, clip: int) -> dict[str, np.ndarray]:
        """``samples`` (N,), zeros up to a whole clip, and ``frames`` (), how many frames are true."""
        found_N = audio.read(recording, rate=self.front_end.rate, first=where.first, count=where.count)
        return {
            "samples": np.pad(found_N, (0, clip - 1 - len(found_N))),
            "frames": np.array(self.front_end.frames(len(found_N)), np.int64),
        }


@lru_cache(maxsize=1 << 16)  # a file is opened for its length once, not for every clip of it
def _seconds(recording: Recording) -> Seconds:
    return audio.probe(recording).seconds


class Clips(Dataset[Clip]):
    """The clips of a corpus, by `Key`.

    Args:
        segments: In the order that keys count.
        store: Where the signals are.
        rate: Of the store, Hz.
        seconds: Length of a clip.
        views: Test clips of a segment.
        seed: Of the random crops.
    """

    def __init__(
        self, segments: Sequence[Segment], store: Store, *, rate: int, seconds: Seconds, views: int, seed: int = 0
    ) -> None:
        self.segments = segments
        self.views = views
        self._store = store
        self._rate = rate
        self._clip = clip_samples(seconds, rate)
        self._seed = seed

    def __len__(self) -> int:
        return len(self.segments)

    def __getitem__(self, key: Key) -> Clip:
        segment = self.segments[key.segment]
        first = round(segment.start * self._rate)
        end = max(self._store.samples(segment.recording), first + 1)
        if segment.stop is not None:  # it may lie past the end of the recording
            end = min(end, round(segment.stop * self._rate))
        where = cut(first, end - first, self._clip, self._start(key, end - first))
        signals = self._store.signals(segment.recording, where, self._clip)
        return Clip(signals=signals, targets=segment.targets, id=segment.id, view=max(key.view, 0))

    def _start(self, key: Key, size: int) -> float:
        if key.view >= 0:
            return spread(size, self._clip, self.views)[key.view]
        draw = np.random.default_rng((self._seed, key.epoch, key.segment))
        return float(draw.uniform(0, max(size - self._clip, 0)))
