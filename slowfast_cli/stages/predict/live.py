"""Rolling prediction of a live source: a thread reads it into a bounded buffer, the caller predicts window by window.

A source that arrives in real time cannot wait: where prediction is slower, windows are skipped, so that the latency
stays bounded. A recording that is piped in waits, and nothing is skipped.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from slowfast_cli.data.views import clip_samples
from slowfast_cli.data.views import windows as window_starts
from slowfast_cli.stages.predict.predictor import Predictor
from slowfast_cli.stages.predict.results import FilePrediction, Timeline
from slowfast_cli.types import DataError, Seconds

POLL = 0.2  # seconds between looks at the request to stop
PIECE = 4096  # samples added to the buffer at a time
REAL_TIME = 0.5  # of a window's length: a first window that arrives sooner is from a recording


class LiveSource(Protocol):
    """Audio that arrives while it is predicted."""

    name: str
    live: bool | None
    """Whether samples arrive in real time and cannot wait; None if only their pace shows it."""

    def blocks(self, rate: int) -> Iterator[np.ndarray]:
        """Yield mono float32 samples at ``rate`` Hz as they arrive, until the end.

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
    """Samples of one window."""

    samples: np.ndarray  # (N,)
    first: int  # position of the first sample
    arrived: float
    skipped: int


class RollingBuffer:
    """The newest samples of a stream, and when they arrived; appending is amortized O(samples)."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._samples = np.zeros(2 * capacity, np.float32)
        self._start = 0  # position of _samples[0]
        self._arrivals = deque[tuple[int, float]]()  # position after a block, and its time
        self.end = 0
        """Position after the newest sample."""

    @property
    def first(self) -> int:
        """Position of the oldest sample."""
        return max(self._start, self.end - self._capacity)

    def append(self, block: np.ndarray, arrived: float) -> None:
        """Add a block of at most ``capacity`` samples; the oldest samples are overwritten."""
        used = self.end - self._start
        if used + len(block) > len(self._samples):
            kept = min(used, self._capacity)
            self._samples[:kept] = self._samples[used - kept : used].copy()
            self._start, used = self.end - kept, kept
        self._samples[used : used + len(block)] = block
        self.end += len(block)
        self._arrivals.append((self.end, arrived))
        while self._arrivals[0][0] < self.first:
            self._arrivals.popleft()

    def read(self, first: int, count: int) -> np.ndarray:
        """Copy samples that the buffer has."""
        samples_N: np.ndarray = self._samples[first - self._start : first - self._start + count].copy()
        return samples_N

    def arrival(self, position: int) -> float:
        """When the sample before a position arrived; of an overwritten one, the earliest time that is known."""
        return next(arrived for end, arrived in self._arrivals if end >= position)


class Feed:
    """Reads a source in a thread; `windows` yields the windows of a timeline.

    Args:
        source: Read by the thread.
        rate: Sampling rate of the windows, Hz.
        window: Samples per window.
        hop: Samples between the starts of windows.
        stop: Ends the windows once it is set.
    """

    def __init__(self, source: LiveSource, rate: int, window: int, hop: int, stop: threading.Event) -> None:
        self._source, self._rate, self._window, self._hop, self._stop = source, rate, window, hop, stop
        self._closed = False
        self._capacity = window + hop + max(rate, PIECE)
        self._buffer = RollingBuffer(self._capacity)
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
                for first in range(0, len(block), PIECE):
                    self._append(block[first : first + PIECE])
                if self._closed:
                    break
        except Exception as error:  # raised by `windows`
            self._error = error
        with self._changed:
            self._done = True
            self._changed.notify_all()

    def _append(self, piece: np.ndarray) -> None:
        with self._changed:
            while not (self._live or self._closed or self._room(len(piece))):
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
            samples_N = self._buffer.read(first, end - first)
            yield Window(samples=samples_N, first=first, arrived=self._buffer.arrival(end), skipped=0)
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
                samples=self._buffer.read(first, self._window), first=first,
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
    feed, mean = Feed(source, rate, window, hop, stop), RunningMean(smooth)
    try:
        feed.start()
        predictor.predict_samples(np.zeros(window, np.float32))  # the first pass is slow; the window fills meanwhile
        for part in feed.windows():
            start, end = part.first / rate, (part.first + len(part.samples)) / rate
            scores = mean.add(end, predictor.predict_samples(part.samples))
            prediction = FilePrediction(path=Path(source.name), start=start, end=end, scores=scores)
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
