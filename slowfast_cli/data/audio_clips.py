"""Clips of sound: cuts in samples, out of shards or decoded, with the arithmetic of the reference (ASF Sec. 4.2).

Shapes: N samples, T frames, F mel bands.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np

from slowfast_cli.data.clips import Key, Piece
from slowfast_cli.data.views import Cut, clip_samples, covering, cut, spread
from slowfast_cli.features.logmel import FrontEnd
from slowfast_cli.media import audio
from slowfast_cli.shards.reader import Shards
from slowfast_cli.types import BrokenMediaError, DataError, Recording, Seconds, Segment


class Store(Protocol):
    """Where a clip's signal comes from."""

    @property
    def front_end(self) -> FrontEnd:
        """The log-mel's settings."""

    def samples(self, recording: Recording) -> int:
        """Length of a recording in samples at the front end's rate."""

    def signals(self, recording: Recording, where: Cut, clip: int, *, silence: bool) -> dict[str, np.ndarray]:
        """The signal of a cut; ``clip`` is the samples of a whole clip, filled up by silence or the last frame."""


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

    def signals(self, recording: Recording, where: Cut, clip: int, *, silence: bool) -> dict[str, np.ndarray]:
        """``logmel`` (1, T, F) as stored, the last row or that of silence repeated up to a whole clip."""
        first = round(where.first / self.front_end.hop)
        last = min(first + self.front_end.frames(where.count), self.shards.rows(recording.id))
        first = min(first, last - 1)
        rows_TF = self.shards.read(recording.id, first, last - first)
        missing = self.front_end.frames(clip - 1) - len(rows_TF)
        if not missing:
            return {"logmel": rows_TF[None]}
        if silence:
            quiet = np.full((missing, self.front_end.mels), self.front_end.silence, np.float32)
            return {"logmel": np.concatenate([rows_TF, quiet])[None]}
        return {"logmel": np.pad(rows_TF, ((0, missing), (0, 0)), mode="edge")[None]}


@dataclass(frozen=True)
class DecodedSamples:
    """Samples out of the media; the device computes the log-mel of exactly the clip."""

    front_end: FrontEnd

    def samples(self, recording: Recording) -> int:
        """Length of a recording in samples, from its header."""
        return round(_seconds(recording) * self.front_end.rate)

    def signals(self, recording: Recording, where: Cut, clip: int, *, silence: bool) -> dict[str, np.ndarray]:
        """``samples`` (N,), zeros up to a whole clip, and ``true_frames`` (), how many frames stay."""
        found_N = audio.read(recording, rate=self.front_end.rate, first=where.first, count=where.count)
        return {
            "samples": np.pad(found_N, (0, clip - 1 - len(found_N))),
            "true_frames": np.array(self.front_end.frames(clip - 1 if silence else len(found_N)), np.int64),
        }


@lru_cache(maxsize=1 << 16)  # a file is opened for its length once, not for every clip of it
def _seconds(recording: Recording) -> Seconds:
    return audio.probe(recording).seconds


@dataclass(frozen=True, kw_only=True)
class SoundReader:
    """Reads clips of sound.

    Attributes:
        store: Where the signals are.
        seconds: Length of a clip.
        views: Test clips of a segment; None: as many as cover it.
        seed: Of the random crops.
        silence: Whether a clip that is too short is filled up by silence, rather than by its last frame.
    """

    store: Store
    seconds: Seconds
    views: int | None
    seed: int = 0
    silence: bool = False

    def read(self, segment: Segment, key: Key) -> Piece:
        """The clip that a key names.

        Raises:
            BrokenMediaError: Its recording cannot be read; the others can.
            DataError: The shards cannot.
        """
        try:
            return self._read(segment, key)
        except DataError as error:
            if isinstance(self.store, StoredRows):
                raise
            raise BrokenMediaError(str(error)) from error

    def _read(self, segment: Segment, key: Key) -> Piece:
        rate = self.store.front_end.rate
        clip = clip_samples(self.seconds, rate)
        first, size = self._extent(segment)
        where = cut(first, size, clip, self._start(key, size, clip))
        signals = self.store.signals(segment.recording, where, clip, silence=self.silence)
        return Piece(signals=signals, start=where.first / rate, stop=(where.first + where.count) / rate)

    def count(self, segment: Segment) -> int:
        """Test clips of a segment; where it cannot be read one, whose reading will tell."""
        if self.views is not None:
            return self.views
        try:
            return len(covering(self._extent(segment)[1], clip_samples(self.seconds, self.store.front_end.rate)))
        except DataError:
            return 1

    def _extent(self, segment: Segment) -> tuple[int, int]:
        """The first sample of a segment, and how many it has."""
        rate = self.store.front_end.rate
        first = round(segment.start * rate)
        end = max(self.store.samples(segment.recording), first + 1)
        if segment.stop is not None:  # it may lie past the end of the recording
            end = min(end, round(segment.stop * rate))
        return first, end - first

    def _start(self, key: Key, size: int, clip: int) -> float:
        if key.view >= 0:
            return (covering(size, clip) if self.views is None else spread(size, clip, self.views))[key.view]
        draw = np.random.default_rng((self.seed, key.epoch, key.segment, *([-key.view] if key.view < -1 else [])))
        return float(draw.uniform(0, max(size - clip, 0)))
