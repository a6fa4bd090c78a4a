"""Audio clips from shards or media, with the reference's arithmetic in samples (ASF Sec. 4.2).

Shapes: N samples, T frames, F mel bands.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol

import numpy as np

from slowfast_cli.data.clips import Key, Piece
from slowfast_cli.data.views import Cut, clip_samples, covering, cut, spread
from slowfast_cli.media import audio
from slowfast_cli.settings import FrontEnd
from slowfast_cli.shards.reader import Shards
from slowfast_cli.types import BrokenMediaError, DataError, Inputs, Recording, Seconds, Segment


class Store(Protocol):
    """Where the audio of a clip comes from."""

    @property
    def front_end(self) -> FrontEnd:
        """Settings of the log-mel."""

    def samples(self, recording: Recording) -> int:
        """Length of a recording in samples at the front end's rate."""

    def read(self, recording: Recording, where: Cut, clip: int, *, silence: bool) -> Inputs[np.ndarray]:
        """Read a cut and pad it to a clip of ``clip`` samples, with silence or by repeating the last frame."""


@dataclass(frozen=True)
class StoredRows:
    """Log-mel frames from shards, the nearest to the cut; the windows of its first and last frames extend beyond it."""

    shards: Shards
    front_end: FrontEnd

    @cached_property
    def failures(self) -> dict[str, str]:
        """Errors of the recordings that are not in the shards, by id."""
        return {failure.id: failure.reason for failure in self.shards.failures}

    def samples(self, recording: Recording) -> int:
        """Length of a recording in samples, from the shards' index."""
        return round(self.shards.seconds(recording.id) * self.front_end.rate)

    def read(self, recording: Recording, where: Cut, clip: int, *, silence: bool) -> Inputs[np.ndarray]:
        """``logmel`` (1, T, F) as stored, padded."""
        first = round(where.first / self.front_end.hop)
        last = min(first + self.front_end.frames(where.count), self.shards.rows(recording.id))
        first = min(first, last - 1)
        rows_TF = self.shards.read(recording.id, first, last - first)
        missing = self.front_end.frames(clip - 1) - len(rows_TF)
        if missing and silence:
            padding = np.full((missing, self.front_end.mels), self.front_end.silence, np.float32)
            rows_TF = np.concatenate([rows_TF, padding])
        elif missing:
            rows_TF = np.pad(rows_TF, ((0, missing), (0, 0)), mode="edge")
        return Inputs(logmel=rows_TF[None])


@dataclass(frozen=True)
class DecodedSamples:
    """Samples decoded from the media; the device computes the log-mel of exactly the clip."""

    front_end: FrontEnd
    partial: bool = False  # read what a truncated file contains, instead of refusing it

    def samples(self, recording: Recording) -> int:
        """Length of a recording in samples, from its header; raise `BrokenMediaError` if it is truncated."""
        return round(_seconds(recording, self.partial) * self.front_end.rate)

    def read(self, recording: Recording, where: Cut, clip: int, *, silence: bool) -> Inputs[np.ndarray]:
        """``samples`` (N,), zero-padded, and ``valid_frames`` (), the number of log-mel frames to keep."""
        samples_N = audio.read(recording, rate=self.front_end.rate, first=where.first, count=where.count)
        frames = self.front_end.frames(clip - 1 if silence else len(samples_N))
        return Inputs(
            samples=np.pad(samples_N, (0, clip - 1 - len(samples_N))), valid_frames=np.array(frames, np.int64)
        )


@lru_cache(maxsize=1 << 16)  # open a file once for its length, not once per clip
def _seconds(recording: Recording, partial: bool) -> Seconds:
    probe = audio.probe(recording)
    if probe.truncated and not partial:
        raise BrokenMediaError(probe.truncated)
    return probe.seconds


@dataclass(frozen=True, kw_only=True)
class SoundReader:
    """Reads audio clips."""

    store: Store
    seconds: Seconds  # length of a clip
    views: int | None  # test clips of a segment; None: as many as cover it
    seed: int = 0  # of the random crops
    silence: bool = False  # pad short clips with silence instead of their last frame

    def read(self, segment: Segment, key: Key) -> Piece:
        """Read the clip that a key names.

        Raises:
            BrokenMediaError: The recording cannot be read.
            DataError: The shards cannot be read.
        """
        rate = self.store.front_end.rate
        clip = clip_samples(self.seconds, rate)
        first, size = self._extent(segment)
        where = cut(first, size, clip, self._start(key, size, clip))
        inputs = self.store.read(segment.recording, where, clip, silence=self.silence)
        return Piece(inputs=inputs, start=where.first / rate, stop=(where.first + where.count) / rate)

    def read_each(self, keys: Iterable[tuple[Segment, Key]]) -> Iterator[Piece]:
        """Read several clips."""
        return (self.read(segment, key) for segment, key in keys)

    def count(self, segment: Segment) -> int:
        """Number of test clips of a segment; one if it cannot be read, so that reading it reports the error."""
        if self.views is not None:
            return self.views
        try:
            return len(covering(self._extent(segment)[1], clip_samples(self.seconds, self.store.front_end.rate)))
        except DataError:
            return 1

    def _extent(self, segment: Segment) -> tuple[int, int]:
        """First sample and number of samples of a segment."""
        rate = self.store.front_end.rate
        first = round(segment.start * rate)
        end = max(self.store.samples(segment.recording), first + 1)
        if segment.stop is not None:  # may lie beyond the end of the recording
            end = min(end, round(segment.stop * rate))
        return first, end - first

    def _start(self, key: Key, size: int, clip: int) -> float:
        if key.view >= 0:
            return (covering(size, clip) if self.views is None else spread(size, clip, self.views))[key.view]
        rng = np.random.default_rng((self.seed, key.epoch, key.segment, *([-key.view] if key.view < -1 else [])))
        return float(rng.uniform(0, max(size - clip, 0)))
