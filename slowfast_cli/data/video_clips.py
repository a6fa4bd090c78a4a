"""Video clips with the audio of exactly the same seconds (AV Sec. 4; SF Sec. 4).

Times are seconds on the player's clock of a recording (`slowfast_cli.media.clock`); its audio may start a little
earlier or later.

Shapes: T frames, H height, W width, R log-mel frames, F mel bands, N samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, groupby, repeat
from typing import Protocol

import numpy as np

from slowfast_cli.data.audio_clips import DecodedSamples, StoredRows
from slowfast_cli.data.clips import Key, Piece
from slowfast_cli.data.views import rows_span, segment_frames, span, spread_rows, uniform_times, video_starts
from slowfast_cli.media import audio, video
from slowfast_cli.media.audio_source import NoAudioError, printable
from slowfast_cli.settings import Frames, FrontEnd
from slowfast_cli.types import BrokenMediaError, Inputs, Recording, Seconds, Segment


class Sounds(Protocol):
    """Where log-mel frames at given times come from."""

    def seconds(self, recording: Recording) -> Seconds | None:
        """Length of the audio; None without audio."""

    def at(self, recording: Recording, rows_R: np.ndarray) -> Inputs[np.ndarray]:
        """Read log-mel frames of the whole recording by index; indices beyond its ends are clamped.

        Returns:
            ``logmel`` (1, R, F); or ``samples`` (N,) and ``rows`` (R,), from which the device computes them.
        """

    def silence(self, rows: int) -> Inputs[np.ndarray]:
        """Return what `at` returns for a recording without audio: zeros."""


@dataclass(frozen=True)
class StoredSounds:
    """Log-mel frames from shards."""

    rows: StoredRows

    def seconds(self, recording: Recording) -> Seconds | None:
        """See `Sounds`."""
        return self.rows.shards.seconds(recording.id) if recording.id in self.rows.shards else None

    def at(self, recording: Recording, rows_R: np.ndarray) -> Inputs[np.ndarray]:
        """See `Sounds`."""
        rows_R = np.clip(rows_R, 0, self.rows.shards.rows(recording.id) - 1)
        first = int(rows_R[0])
        logmel_RF = self.rows.shards.read(recording.id, first, int(rows_R[-1]) - first + 1)
        return Inputs(logmel=logmel_RF[rows_R - first][None])

    def silence(self, rows: int) -> Inputs[np.ndarray]:
        """See `Sounds`."""
        return Inputs(logmel=np.zeros((1, rows, self.rows.front_end.mels), np.float32))


@dataclass(frozen=True)
class DecodedSounds:
    """Audio decoded from the recording; the device computes the log-mel."""

    front_end: FrontEnd
    partial: bool = False  # read what a truncated file contains, instead of refusing it

    def seconds(self, recording: Recording) -> Seconds | None:
        """See `Sounds`."""
        try:
            return DecodedSamples(self.front_end, self.partial).samples(recording) / self.front_end.rate
        except NoAudioError:
            return None

    def at(self, recording: Recording, rows_R: np.ndarray) -> Inputs[np.ndarray]:
        """See `Sounds`."""
        front_end = self.front_end
        end = front_end.frames(DecodedSamples(front_end, self.partial).samples(recording)) - 1
        rows_R = rows_R.clip(0, end)
        count = (int(rows_R[-1]) - int(rows_R[0])) * front_end.hop + front_end.window
        samples_N = audio.read(recording, rate=front_end.rate, first=int(rows_R[0]) * front_end.hop, count=count)
        return Inputs(samples=samples_N, rows=np.minimum(rows_R - rows_R[0], front_end.frames(len(samples_N)) - 1))

    def silence(self, rows: int) -> Inputs[np.ndarray]:
        """See `Sounds`."""
        return Inputs(samples=np.zeros(0, np.float32), rows=np.zeros(rows, np.int64))


@dataclass(frozen=True, kw_only=True)
class _Position:
    """Where a clip lies in its recording."""

    recording: Recording
    begin: Seconds
    centered: bool  # around a key frame
    times: tuple[Seconds, ...]  # of its frames; empty: evenly spaced over `span`
    span: Seconds  # from the first to the last frame
    short_side: int  # pixels
    rng: np.random.Generator  # of what else is drawn


@dataclass(frozen=True, kw_only=True)
class VideoReader:
    """Reads video clips, with or without audio."""

    settings: Frames
    views: int  # test clips of a segment
    seed: int = 0  # of the random crops in time
    pictures: bool = True  # read frames; otherwise only the audio of the clip
    sounds: Sounds | None = None  # source of the audio; None: do not read it
    front_end: FrontEnd = field(default_factory=FrontEnd)
    partial: bool = False  # read what a truncated file contains, instead of refusing it
    gap: Seconds | None = None  # also read audio of another time, at least this far away

    def read(self, segment: Segment, key: Key) -> Piece:
        """Read the clip that a key names.

        Frames beyond the end, of the recording or as ``settings.bounds`` says, repeat the last one; a clip without
        audio has a log-mel of zeros and ``has_audio`` 0.

        Raises:
            BrokenMediaError: The segment starts after the end of the video; the recording is truncated or unreadable.
        """
        (piece,) = self.read_each([(segment, key)])
        return piece

    def read_each(self, keys: Iterable[tuple[Segment, Key]]) -> Iterator[Piece]:
        """Read several clips; consecutive ones of a recording, with rising starts, in one pass over its frames.

        Raises:
            BrokenMediaError: As for `read`.
        """
        positions = (self._position(segment, key) for segment, key in keys)
        for recording, group in groupby(positions, key=lambda position: position.recording):
            clips = list(group)
            frames: Iterator[video.Frames | None] = repeat(None)
            if self.pictures:
                frames = chain.from_iterable(
                    self._frames(recording, list(same))
                    for _, same in groupby(clips, key=lambda clip: (clip.span, clip.short_side, len(clip.times)))
                )
            for clip, shown in zip(clips, frames, strict=False):
                yield self._piece(clip, shown)

    def _frames(self, recording: Recording, clips: list[_Position]) -> Iterator[video.Frames]:
        """Read the frames of clips of the same length and size."""
        side = clips[0].short_side
        if clips[0].times:
            return video.read_times(recording, [clip.times for clip in clips], short_side=side)
        starts, length = [clip.begin for clip in clips], clips[0].span
        return video.read_clips(recording, starts=starts, span=length, count=self.settings.frames, short_side=side)

    def _position(self, segment: Segment, key: Key) -> _Position:
        probe = video.probe(segment.recording)
        if probe.truncated and not self.partial:
            raise BrokenMediaError(probe.truncated)
        first = segment.start if segment.center is None else segment.center - self.settings.seconds / 2
        if first > 0 and first >= probe.seconds:
            raise BrokenMediaError(
                f"{printable(segment.recording.path)}: {segment.id} starts at {first:g} s, but the video ends at "
                f"{probe.seconds:.2f} s: download it again, or correct the annotations"
            )
        rng = np.random.default_rng((self.seed, key.epoch, key.segment, key.view + 1))
        centered = segment.center is not None
        step = self.settings.step / self.settings.fps if centered else None
        spaced = centered or (self.settings.bounds == "recording" and self.settings.sampling == "dense")
        times = () if spaced else self._times(segment, probe, key, rng)
        return _Position(
            recording=segment.recording, times=times, centered=centered,
            begin=times[0] if times else self._begin(segment, probe.seconds, key, rng),
            span=span(self.settings.seconds, probe.fps, step),
            short_side=max(self.settings.jitter[1], self.settings.side) if key.view < 0 else self.settings.side,
            rng=rng,
        )  # fmt: skip

    def _piece(self, clip: _Position, frames: video.Frames | None) -> Piece:
        probe, begin = video.probe(clip.recording), clip.begin
        inputs: Inputs[np.ndarray] = Inputs()
        if frames is not None:
            begin = begin if clip.centered else frames.start
            inputs = Inputs(frames=frames.pixels.transpose(3, 0, 1, 2))
        if self.sounds is not None:
            start = begin - probe.audio_start
            inputs = self._with_audio(inputs, self.sounds, clip.recording, start, probe.fps, clip.rng)
        whole = self.settings.sampling == "uniform" and clip.times
        return Piece(inputs=inputs, start=begin, stop=clip.times[-1] if whole else begin + self.settings.seconds)

    def count(self, segment: Segment) -> int:
        """Number of test clips of a segment, the same for all."""
        return self.views

    def _begin(self, segment: Segment, length: Seconds, key: Key, rng: np.random.Generator) -> Seconds:
        clip = self.settings.seconds
        if segment.center is not None:
            return segment.center - clip / 2
        stop = length if segment.stop is None else min(segment.stop, length)
        room = max(stop - segment.start - clip, 0.0)
        if key.view < 0:
            return segment.start + float(rng.uniform(0, room))
        return segment.start + video_starts(room, self.views)[key.view]

    def _times(
        self, segment: Segment, probe: video.VideoProbe, key: Key, rng: np.random.Generator
    ) -> tuple[Seconds, ...]:
        """Times of the frames of a clip that shows nothing beyond its segment."""
        stop = probe.seconds if segment.stop is None else min(segment.stop, probe.seconds)
        if self.settings.sampling == "uniform":
            times = uniform_times(segment.start, stop, self.settings, rng if key.view < 0 else None)
            return tuple(times.tolist())
        share = float(rng.random()) if key.view < 0 else video_starts(1.0, self.views)[key.view]
        frames = segment_frames(segment.start, stop, probe.fps, self.settings, share)
        return tuple((frames / probe.fps).tolist())

    def _with_audio(
        self,
        inputs: Inputs[np.ndarray],
        sounds: Sounds,
        recording: Recording,
        start: Seconds,
        fps: float,
        rng: np.random.Generator,
    ) -> Inputs[np.ndarray]:
        hop, count, seconds = self.front_end.hop / self.front_end.rate, self.settings.rows, sounds.seconds(recording)
        if seconds is None and not self.pictures:
            raise BrokenMediaError(f"{printable(recording.path)}: no audio stream, and the network reads no frames")
        if seconds is None:
            aligned = other = sounds.silence(count)
        else:
            length = rows_span(self.settings.seconds, fps, hop)
            first = start / hop
            aligned = sounds.at(recording, spread_rows(first, length, count))
            if self.gap is not None:
                second = elsewhere(first, self.gap / hop, max(seconds / hop - length, 0), rng)
                other = sounds.at(recording, spread_rows(second, length, count))
        has_audio = np.array(seconds is not None, np.float32)
        inputs = replace(aligned, frames=inputs.frames, has_audio=has_audio)
        if self.gap is None:
            return inputs
        return replace(inputs, negative=other.logmel, negative_samples=other.samples, negative_rows=other.rows)


def elsewhere(start: float, gap: float, last: float, rng: np.random.Generator) -> float:
    """Draw a clip's start up to ``last``, uniformly from those at least ``gap`` away; ``start`` if there is none."""
    before, after = max(start - gap, 0.0), max(last - (start + gap), 0.0)
    if before + after <= 0:
        return start
    at = float(rng.uniform(0, before + after))
    return at if at < before else start + gap + (at - before)
