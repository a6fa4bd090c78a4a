"""Windows of video: clips as prediction reads them, or the frames that a preset names."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from slowfast_cli.data.clips import Key
from slowfast_cli.data.video_clips import VideoReader
from slowfast_cli.data.views import frame_seconds, stretch_clips, uniform_frames, windows
from slowfast_cli.media import audio, video
from slowfast_cli.media.audio_source import printable
from slowfast_cli.settings import Frames
from slowfast_cli.stages.embed.items import Item
from slowfast_cli.stages.embed.window import Sliding, Window
from slowfast_cli.stages.embed.windows import FPS, Preset, Row, VideoLength, resample
from slowfast_cli.types import DataError, Inputs, Seconds, Segment

MOST_VIEWS = 10
MOST_WINDOWS = 1_000_000  # of a recording
TICKS = 1_000_000  # per second: windows are computed in integers
TOLERANCE = 1e-4  # seconds between times that count as equal
REPEATED = 1.0  # seconds that a later row may go back: `slowfast_cli.stages.embed.windows.hero` repeats the last second

Decode = Callable[[], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class ClipWindows:
    """Reads clips of frames, with or without audio, as prediction does."""

    reader: VideoReader
    settings: Frames
    views: int  # of a whole video in evaluation
    sliding: Sliding | None

    def read(self, number: int, item: Item) -> Iterator[Window]:
        """See `slowfast_cli.stages.embed.window.Reader`."""
        probe = video.probe(item.recording)
        stop = probe.seconds if item.stop is None else min(item.stop, probe.seconds)
        for row, (start, end) in enumerate(self._stretches(item.start, stop, probe.fps)):
            clips = stretch_clips((start, end), probe.seconds, self.settings, min(self.views, MOST_VIEWS))
            for begin, stop in clips:
                segment = Segment(id=item.name, recording=item.recording, start=begin, stop=stop)
                inputs = self.reader.read(segment, Key(0, 0, 0)).inputs
                yield Window(item=number, row=row, views=len(clips), start=start, end=end, inputs=inputs)

    def frames(self, number: int, frames_3THW: np.ndarray) -> Iterator[Window]:
        """The views of frames that are as far apart as those of a clip, as one row."""
        count, length, seconds = self.settings.frames, frames_3THW.shape[1], self.settings.step / self.settings.fps
        clips = stretch_clips((0.0, length * seconds), length * seconds, self.settings, min(self.views, MOST_VIEWS))
        for start, _ in clips:
            indices = np.minimum(round(start / seconds) + np.arange(count), length - 1)
            if self.settings.sampling == "uniform":
                indices = uniform_frames(length, count)
            yield Window(
                item=number, row=0, views=len(clips), start=0.0, end=length * seconds,
                inputs=Inputs(frames=np.ascontiguousarray(frames_3THW[:, indices])),
            )  # fmt: skip

    def note(self, item: Item) -> str:
        """See `slowfast_cli.stages.embed.window.Reader`."""
        probe = video.probe(item.recording)
        reads_audio = self.reader.sounds is not None and probe.has_audio
        return probe.truncated or (audio.truncation(item.recording) if reads_audio else "")

    def _stretches(self, start: Seconds, stop: Seconds, fps: float) -> list[tuple[Seconds, Seconds]]:
        if self.sliding is None:
            return [(start, max(stop, start))]
        hop, length = max(self.sliding.hop, frame_seconds(fps)), stop - start
        if length > MOST_WINDOWS * hop:
            raise DataError(f"{length:.0f} s of video in windows every {hop:g} s: expected at most {MOST_WINDOWS}")
        size, window, step = (round(value * TICKS) for value in (length, max(self.sliding.window, hop), hop))
        firsts = windows(size, window, step)
        return [(start + first / TICKS, start + min(first + window, size) / TICKS) for first in firsts]


@dataclass(frozen=True, kw_only=True)
class PresetWindows:
    """Decodes a video once, and gathers the frames that the rows of a preset name."""

    preset: Preset
    window: Seconds | None = None  # instead of that of the preset

    def read(self, number: int, item: Item) -> Iterator[Window]:
        """See `slowfast_cli.stages.embed.window.Reader`."""
        probe = video.probe(item.recording)
        seconds = (probe.seconds if item.stop is None else min(item.stop, probe.seconds)) - item.start
        if seconds <= 0:
            raise DataError(
                f"{printable(item.recording.path)}: {item.name} starts at {item.start:g} s, but the video ends at "
                f"{probe.seconds:.2f} s: download it again, or correct the annotations"
            )
        length = VideoLength(frames=max(round(seconds * FPS), 1), fps=probe.fps, seconds=seconds)
        side = self.preset.side
        decoded = video.stream(
            item.recording,
            start=item.start,
            short_side=None if self.preset.squeezed else side,
            square=side if self.preset.squeezed else None,
        )
        frames = Gathered((time - item.start, decode) for time, decode in decoded)
        if self.preset.rows is None:
            raise ValueError("the preset is for sound")
        for place, row in enumerate(self.preset.rows(length, self.window)):
            pixels_THW3 = np.stack(frames.of(row))
            yield Window(
                item=number, row=place, views=1, start=item.start + row.start, end=item.start + row.end,
                inputs=Inputs(frames=pixels_THW3.transpose(3, 0, 1, 2)),
            )  # fmt: skip

    def note(self, item: Item) -> str:
        """See `slowfast_cli.stages.embed.window.Reader`."""
        return video.probe(item.recording).truncated


class _Frame:
    """A decoded frame that is converted to RGB when it is used first."""

    def __init__(self, time: Seconds, decode: Decode) -> None:
        self.time = time
        self._decode: Decode | None = decode
        self._pixels: np.ndarray | None = None

    def pixels(self) -> np.ndarray:
        if self._pixels is None and self._decode is not None:
            self._pixels, self._decode = self._decode(), None
        if self._pixels is None:
            raise ValueError("a frame without pixels")
        return self._pixels


class Gathered:
    """The frames of rows whose first frames do not go back in time; earlier frames are dropped.

    Positions count the frames of the stream resampled to `FPS` as FFmpeg's filter ``fps`` does: position n shows the
    last frame whose time rounds to n / FPS or less.
    """

    def __init__(self, stream: Iterator[tuple[Seconds, Decode]]) -> None:
        self._stream = stream
        self._frames: deque[_Frame] = deque()
        self._ended = False

    def of(self, row: Row) -> list[np.ndarray]:
        """RGB frames (H, W, 3) of a row.

        Raises:
            DataError: No frame decodes.
        """
        if row.positions is None:
            return self._between(row.start, row.end)
        limits = [(position + 0.5) / FPS - TOLERANCE for position in row.positions]
        self._decode_to(max(limits))
        chosen = [self._last_before(limit) for limit in limits]
        self._drop_before(self._last_before(min(limits) - REPEATED).time)
        return [frame.pixels() for frame in chosen]

    def _between(self, start: Seconds, end: Seconds) -> list[np.ndarray]:
        """Frames from ``start`` to ``end``, resampled to a clip; the last one before, if the video has none there."""
        self._decode_to(end)
        inside = [frame for frame in self._frames if start - TOLERANCE <= frame.time < end - TOLERANCE]
        inside = inside or [self._last_before(start)]
        self._drop_before(inside[0].time)
        return [inside[index].pixels() for index in resample(len(inside))]

    def _decode_to(self, limit: Seconds) -> None:
        """Decode until a frame is later than a time."""
        while not self._ended and (not self._frames or self._frames[-1].time < limit):
            following = next(self._stream, None)
            if following is None:
                self._ended = True
            else:
                self._frames.append(_Frame(*following))
        if not self._frames:
            raise DataError("no frame decodes")

    def _last_before(self, limit: Seconds) -> _Frame:
        frames: Sequence[_Frame] = self._frames
        return next((frame for frame in reversed(frames) if frame.time < limit), frames[0])

    def _drop_before(self, time: Seconds) -> None:
        while self._frames[0].time < time:
            self._frames.popleft()
