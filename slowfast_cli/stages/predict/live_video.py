"""Rolling prediction of the frames of a live source."""

import threading
from collections import deque
from collections.abc import Iterator

import numpy as np

from slowfast_cli.media.live_frames import USUAL, FrameStream
from slowfast_cli.stages.predict.live import Feed, LivePrediction, roll
from slowfast_cli.stages.predict.results import Timeline
from slowfast_cli.stages.predict.video import TICKS, VideoPredictor
from slowfast_cli.types import Seconds, UsageError

Frame = tuple[int, np.ndarray]


class FrameBuffer:
    """The newest frames of a stream; positions are times in 1 / `TICKS` seconds.

    A frame lasts as long as the one before.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._frames = deque[tuple[int, np.ndarray, float]]()
        self.end = 0
        """Time at which the newest frame ends."""

    @property
    def first(self) -> int:
        """Oldest time that the frames cover."""
        return self._frames[0][0] if self._frames else 0

    def split(self, block: Frame) -> list[Frame]:
        """A frame is one piece."""
        return [block]

    def length(self, piece: Frame) -> int:
        """How far a frame moves `end`."""
        before = self._frames[-1][0] if self._frames else None
        lasts = round(USUAL * TICKS) if before is None else piece[0] - before
        return piece[0] + lasts - self.end

    def append(self, piece: Frame, arrived: float) -> None:
        """Add a frame; the oldest are dropped."""
        self.end += self.length(piece)
        self._frames.append((*piece, arrived))
        while len(self._frames) > 1 and self._frames[1][0] <= self.end - self.capacity:
            self._frames.popleft()

    def read(self, first: int, count: int) -> list[tuple[Seconds, np.ndarray]]:
        """Frames of a stretch, with their times in seconds from its start; the first is shown at its start."""
        shown = [(tick, pixels) for tick, pixels, _ in self._frames if tick < first + count]
        begin = max((row for row, (tick, _) in enumerate(shown) if tick <= first), default=0)
        return [((tick - first) / TICKS, pixels) for tick, pixels in shown[begin:]]

    def arrival(self, position: int) -> float:
        """When the frame that is shown until a time arrived."""
        return next((arrived for tick, _, arrived in reversed(self._frames) if tick < position), self._frames[0][2])


def watch(
    predictor: VideoPredictor, source: FrameStream, timeline: Timeline, *, smooth: Seconds, stop: threading.Event
) -> Iterator[LivePrediction]:
    """Predict the frames of a live source, window by window; see `slowfast_cli.stages.predict.live.listen`.

    Raises:
        UsageError: The windows are shorter than a clip.
        DataError: The source cannot be read; the windows before were yielded.
    """
    window, hop = (round(seconds * TICKS) for seconds in (timeline.window, timeline.hop))
    if timeline.window < predictor.clip_seconds - 1e-3:
        raise UsageError(
            f"--timeline {timeline.window:g}/{timeline.hop:g}: expected a window of at least "
            f"{predictor.clip_seconds:.3f} s, the clip of these weights"
        )
    feed = Feed(source, TICKS, window, hop, stop, FrameBuffer)
    return roll(
        feed, source.name, TICKS, smooth, lambda part: predictor.predict_frames(part.content, part.size / TICKS)
    )
