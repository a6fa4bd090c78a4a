"""Clips of video with the sound of exactly the same seconds (AV Sec. 4; SF Sec. 4).

Times are seconds since the first frame of a recording; its sound may start a little earlier or later.

Shapes: T frames, H height, W width, R rows of a log-mel, F mel bands, N samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from slowfast_cli.data.audio_clips import DecodedSamples, StoredRows
from slowfast_cli.data.clips import Key, Piece
from slowfast_cli.data.views import rows_span, span, spread_rows, video_starts
from slowfast_cli.features.frames import FrameSettings
from slowfast_cli.features.logmel import FrontEnd
from slowfast_cli.media import audio, video
from slowfast_cli.media.audio_source import NoSoundError, shown
from slowfast_cli.types import BrokenMediaError, Recording, Seconds, Segment


class Sounds(Protocol):
    """Where rows of log-mel at given times come from."""

    def seconds(self, recording: Recording) -> Seconds | None:
        """Length of its sound; None where it has none."""

    def at(self, recording: Recording, rows_R: np.ndarray, name: str) -> dict[str, np.ndarray]:
        """Rows of the whole recording's log-mel, by number; the first and last stand for those beyond.

        Returns:
            ``<name>`` (1, R, F); or ``<name>_samples`` (N,) and ``<name>_rows`` (R,), for the device to work them out.
        """


@dataclass(frozen=True)
class StoredSounds:
    """Out of shards.

    Attributes:
        rows: The shards.
    """

    rows: StoredRows

    def seconds(self, recording: Recording) -> Seconds | None:
        """See `Sounds`."""
        return self.rows.shards.seconds(recording.id) if recording.id in self.rows.shards else None

    def at(self, recording: Recording, rows_R: np.ndarray, name: str) -> dict[str, np.ndarray]:
        """See `Sounds`."""
        kept = np.clip(rows_R, 0, self.rows.shards.rows(recording.id) - 1)
        first = int(kept[0])
        found = self.rows.shards.read(recording.id, first, int(kept[-1]) - first + 1)
        return {name: found[kept - first][None]}


@dataclass(frozen=True)
class DecodedSounds:
    """Decoded from the recording itself; the log-mel is left to the device.

    Attributes:
        front_end: Its settings.
    """

    front_end: FrontEnd

    def seconds(self, recording: Recording) -> Seconds | None:
        """See `Sounds`."""
        try:
            return DecodedSamples(self.front_end).samples(recording) / self.front_end.rate
        except NoSoundError:
            return None

    def at(self, recording: Recording, rows_R: np.ndarray, name: str) -> dict[str, np.ndarray]:
        """See `Sounds`."""
        made = self.front_end
        end = made.frames(DecodedSamples(made).samples(recording)) - 1
        rows_R = rows_R.clip(0, end)
        most = (int(rows_R[-1]) - int(rows_R[0])) * made.hop + made.window
        found_N = audio.read(recording, rate=made.rate, first=int(rows_R[0]) * made.hop, count=most)
        last = made.frames(len(found_N)) - 1
        return {
            f"{name}_samples": found_N,
            f"{name}_rows": np.minimum(rows_R - rows_R[0], last),
        }


@dataclass(frozen=True, kw_only=True)
class VideoReader:
    """Reads clips of video.

    Attributes:
        settings: Which frames make a clip.
        views: Test clips of a segment.
        seed: Of the random places.
        pictures: Whether frames are read, or their sound alone.
        sounds: Where the sound comes from; None where none is heard.
        front_end: Of the sound.
        gap: Also read sound of another time, at least so many seconds away; None does not.
    """

    settings: FrameSettings
    views: int
    seed: int = 0
    pictures: bool = True
    sounds: Sounds | None = None
    front_end: FrontEnd = field(default_factory=FrontEnd)
    gap: Seconds | None = None

    def read(self, segment: Segment, key: Key) -> Piece:
        """The clip that a key names.

        Frames beyond the end repeat the last one; a clip without sound has a log-mel of zeros and is marked in
        ``has_audio``.
        """
        known = video.probe(segment.recording)
        first = segment.start if segment.center is None else segment.center - self.settings.seconds / 2
        if first > 0 and first >= known.seconds:
            raise BrokenMediaError(
                f"{shown(segment.recording.path)}: {segment.id} starts at {first:g} s, and the video ends at "
                f"{known.seconds:.2f} s: fetch it again, or mend the list"
            )
        draw = np.random.default_rng((self.seed, key.epoch, key.segment, key.view + 1))
        begin = self._begin(segment, known.seconds, key, draw)
        signals: dict[str, np.ndarray] = {}
        if self.pictures:
            centred = segment.center is not None
            length = span(self.settings.seconds, known.fps, self.settings.step / self.settings.fps if centred else None)
            largest = max(self.settings.jitter[1], self.settings.side)
            found = video.read(
                segment.recording,
                start=begin,
                span=length,
                count=self.settings.frames,
                short_side=largest if key.view < 0 else self.settings.side,
            )
            begin = found.times[0] if not centred else begin
            signals["frames"] = found.pixels.transpose(3, 0, 1, 2)
        if self.sounds is not None:
            signals |= self._heard(segment.recording, begin - known.sound_starts, known.fps, draw)
        return Piece(signals=signals, start=begin, stop=begin + self.settings.seconds)

    def count(self, segment: Segment) -> int:
        """Test clips of a segment: of all as many."""
        return self.views

    def _begin(self, segment: Segment, length: Seconds, key: Key, draw: np.random.Generator) -> Seconds:
        clip = self.settings.seconds
        if segment.center is not None:
            return segment.center - clip / 2
        stop = length if segment.stop is None else min(segment.stop, length)
        room = max(stop - segment.start - clip, 0.0)
        if key.view < 0:
            return segment.start + float(draw.uniform(0, room))
        return segment.start + video_starts(room, self.views)[key.view]

    def _heard(
        self, recording: Recording, start: Seconds, fps: float, draw: np.random.Generator
    ) -> dict[str, np.ndarray]:
        sounds, hop = self.sounds, self.front_end.hop / self.front_end.rate
        if sounds is None:
            return {}
        count, seconds = self.settings.rows, sounds.seconds(recording)
        names = ("logmel",) if self.gap is None else ("logmel", "shifted")
        if seconds is None and not self.pictures:
            raise BrokenMediaError(f"{shown(recording.path)}: no sound in it, and nothing else is recognised")
        if seconds is None:
            return self._silence(names)
        length = rows_span(self.settings.seconds, fps, hop)
        first = start / hop
        signals = sounds.at(recording, spread_rows(first, length, count), "logmel")
        if self.gap is not None:
            other = elsewhere(first, self.gap / hop, max(seconds / hop - length, 0), draw)
            signals |= sounds.at(recording, spread_rows(other, length, count), "shifted")
        return {**signals, "has_audio": np.array(1, np.float32)}

    def _silence(self, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        count, made = self.settings.rows, self.front_end
        signals: dict[str, np.ndarray] = {"has_audio": np.array(0, np.float32)}
        for name in names:
            if isinstance(self.sounds, DecodedSounds):
                signals |= {f"{name}_samples": np.zeros(0, np.float32), f"{name}_rows": np.zeros(count, np.int64)}
            else:
                signals[name] = np.zeros((1, count, made.mels), np.float32)
        return signals


def elsewhere(start: float, gap: float, last: float, draw: np.random.Generator) -> float:
    """Where a clip of other sound starts: evenly from all places that are far enough away; the same where none is.

    Args:
        start: Of the clip.
        gap: Least distance of the two starts.
        last: The latest start.
        draw: Random numbers.
    """
    before, after = max(start - gap, 0.0), max(last - (start + gap), 0.0)
    if before + after <= 0:
        return start
    at = float(draw.uniform(0, before + after))
    return at if at < before else start + gap + (at - before)
