"""Rolling prediction of a live source: a thread reads it into a bounded buffer, the caller predicts window by window.

A source that arrives in real time cannot wait: where prediction is slower, windows are skipped, so that the latency
stays bounded. A recording that is piped in waits, and nothing is skipped.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from slowfast_cli.data.views import clip_samples
from slowfast_cli.data.views import windows as window_starts
from slowfast_cli.stages.predict.live_buffer import PIECE, Buffer, RollingBuffer
from slowfast_cli.stages.predict.predictor import Predictor
from slowfast_cli.stages.predict.results import FilePrediction, Timeline
from slowfast_cli.types import DataError, Seconds

POLL = 0.2  # seconds between looks at the request to stop
REAL_TIME = 0.5  # of a window's length: a first window that arrives sooner is from a recording


class LiveSource(Protocol):
    """Audio, or frames, that arrive while they are predicted."""

    name: str
    live: bool | None
    """Whether samples arrive in real time and cannot wait; None if only their pace shows it."""

    def blocks(self, rate: int) -> Iterator[Any]:
        """Yield mono float32 samples at ``rate`` Hz as they arrive, until the end; or frames with their times.

        Raises:
            DataError: The source cannot be read.
        """

    def close(self) -> None:
        """End `blocks`, from another thread; it may be blocked in a read of the system until then."""


@dataclass(frozen=True, kw_only=True)
class LivePrediction:
    """The prediction of one window of a live source."""

    prediction: FilePrediction
    arrived: float
    """`time.monotonic` when the last sample of the window arrived."""
    skipped: int
    """Windows left out before this one, because prediction is slower than the source."""

    @property
    def latency(self) -> Seconds:
        """Time from the arrival of the window's last sample until now."""
        return time.monotonic() - self.arrived


@dataclass(frozen=True, kw_only=True)
class Window:
    """Samples or frames of one window."""

    content: Any
    size: int  # in positions
    first: int  # position of the first sample
    arrived: float
    skipped: int


class Feed:
    """Reads a source in a thread; `windows` yields the windows of a timeline.

    Args:
        source: Read by the thread.
        rate: Sampling rate of the windows, Hz; positions per second.
        window: Positions per window.
        hop: Positions between the starts of windows.
        stop: Ends the windows once it is set.
        kind: Class of the buffer.
    """

    def __init__(
        self,
        source: LiveSource,
        rate: int,
        window: int,
        hop: int,
        stop: threading.Event,
        kind: Callable[[int], Buffer] = RollingBuffer,
    ) -> None:
        self._source, self._rate, self._window, self._hop, self._stop = source, rate, window, hop, stop
        self._closed = False
        self._capacity = window + hop + max(rate, PIECE)
        self._buffer = kind(self._capacity)
        self._live, self._begun = source.live, 0.0
        self._next = 0  # position of the next window
        self._done = False
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="live source", daemon=True)

    def start(self) -> None:
        """Start reading."""
        self._thread.start()

    def close(self) -> None:
        """Stop reading; the thread of a source that is blocked in a read is left behind."""
        self._closed = True
        with self._changed:
            self._changed.notify_all()
        self._source.close()
        self._thread.join(1.0)

    def _run(self) -> None:
        try:
            for block in self._source.blocks(self._rate):
                for piece in self._buffer.split(block):
                    self._append(piece)
                if self._closed:
                    break
        except Exception as error:  # raised by `windows`
            self._error = error
        with self._changed:
            self._done = True
            self._changed.notify_all()

    def _append(self, piece: Any) -> None:
        with self._changed:
            while not (self._live or self._closed or self._room(self._buffer.length(piece))):
                self._changed.wait(POLL)
            now = time.monotonic()
            self._begun = self._begun or now
            self._buffer.append(piece, now)
            if self._live is None and self._buffer.end >= self._window:
                self._live = now - self._begun >= REAL_TIME * self._window / self._rate
            self._changed.notify_all()

    def _room(self, samples: int) -> bool:
        return self._buffer.end + samples - self._next <= self._capacity

    def windows(self) -> Iterator[Window]:
        """Yield whole windows as they complete, then the shorter last one, as of a file.

        Raises:
            DataError: The source cannot be read any more, or had no samples.
        """
        while (window := self._whole()) is not None:
            yield window
            with self._changed:
                self._next = window.first + self._hop
                self._changed.notify_all()
        if self._stop.is_set():
            return
        first, end = self._next, self._buffer.end
        if end > first and len(window_starts(end, self._window, self._hop)) * self._hop > first:
            content, arrived = self._buffer.read(first, end - first), self._buffer.arrival(end)
            yield Window(content=content, size=end - first, first=first, arrived=arrived, skipped=0)
        if self._error is not None:
            raise self._error
        if not end:
            raise DataError(f"{self._source.name}: no sound in it: 0 samples arrived")

    def _whole(self) -> Window | None:
        """Wait for the next whole window; None at the end, or if a stop was requested."""
        with self._changed:
            while self._buffer.end < self._next + self._window and not self._done and not self._stop.is_set():
                self._changed.wait(POLL)
            if self._stop.is_set() or self._buffer.end < self._next + self._window:
                return None
            first = self._next + self._behind() * self._hop
            return Window(
                content=self._buffer.read(first, self._window), size=self._window, first=first,
                arrived=self._buffer.arrival(first + self._window), skipped=(first - self._next) // self._hop,
            )  # fmt: skip

    def _behind(self) -> int:
        """Windows to skip: all but the newest, if the next one is older than a hop or overwritten."""
        newer = (self._buffer.end - self._next - self._window) // self._hop
        if not newer or not self._live:
            return 0
        age = time.monotonic() - self._buffer.arrival(self._next + self._window)
        return newer if age > self._hop / self._rate or self._next < self._buffer.first else 0


def listen(
    predictor: Predictor, source: LiveSource, timeline: Timeline, *, smooth: Seconds, stop: threading.Event
) -> Iterator[LivePrediction]:
    """Predict a live source, window by window.

    Args:
        predictor: Of a model that reads audio only.
        source: Closed at the end.
        timeline: Length and distance of the windows.
        smooth: Scores are averaged over the windows that end less than this many seconds before the newest; 0 for none.
        stop: Ends the prediction after the window in progress once it is set.

    Raises:
        DataError: The source cannot be read; the windows before were yielded.
    """
    rate = predictor.rate
    window, hop = (max(clip_samples(seconds, rate), 1) for seconds in (timeline.window, timeline.hop))
    feed = Feed(source, rate, window, hop, stop)
    silence = Window(content=np.zeros(window, np.float32), size=window, first=0, arrived=0.0, skipped=0)
    return roll(feed, source.name, rate, smooth, lambda part: predictor.predict_samples(part.content), silence)


def roll(
    feed: Feed,
    name: str,
    rate: int,
    smooth: Seconds,
    predict: Callable[[Window], Mapping[str, np.ndarray]],
    first: Window | None = None,
) -> Iterator[LivePrediction]:
    """Predict the windows of a feed, and close it; ``first`` is predicted while the first window fills."""
    mean = RunningMean(smooth)
    try:
        feed.start()
        if first is not None:  # the first pass is slow
            predict(first)
        for part in feed.windows():
            start, end = part.first / rate, (part.first + part.size) / rate
            scores = mean.add(end, predict(part))
            prediction = FilePrediction(path=Path(name), start=start, end=end, scores=scores)
            yield LivePrediction(prediction=prediction, arrived=part.arrived, skipped=part.skipped)
    finally:
        feed.close()


class RunningMean:
    """Mean of the scores of the windows that end less than ``seconds`` before the newest."""

    def __init__(self, seconds: Seconds) -> None:
        self._seconds = seconds
        self._recent = deque[tuple[Seconds, Mapping[str, np.ndarray]]]()

    def add(self, end: Seconds, scores: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Add the scores of a window that ends at ``end``, and return the mean."""
        self._recent.append((end, scores))
        while len(self._recent) > 1 and self._recent[0][0] <= end - self._seconds:
            self._recent.popleft()
        rows = [scores for _, scores in self._recent]
        return {labels: np.stack([row[labels] for row in rows]).mean(0) for labels in scores}
