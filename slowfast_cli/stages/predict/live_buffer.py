"""The newest part of a live source, in bounded memory."""

from collections import deque
from typing import Any, Protocol

import numpy as np

PIECE = 4096  # samples added to the buffer at a time


class RollingBuffer:
    """The newest samples of a stream, and when they arrived; appending is amortized O(samples).

    Positions are numbers of samples since the start.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = self.capacity = capacity
        self._samples = np.zeros(2 * capacity, np.float32)
        self._start = 0  # position of _samples[0]
        self._arrivals = deque[tuple[int, float]]()  # position after a block, and its time
        self.end = 0
        """Position after the newest sample."""

    @property
    def first(self) -> int:
        """Position of the oldest sample."""
        return max(self._start, self.end - self._capacity)

    def split(self, block: np.ndarray) -> list[np.ndarray]:
        """Cut a block into pieces for `append`."""
        return [block[first : first + PIECE] for first in range(0, len(block), PIECE)]

    def length(self, piece: np.ndarray) -> int:
        """How far a piece moves `end`."""
        return len(piece)

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


class Buffer(Protocol):
    """The newest part of a stream."""

    end: int
    capacity: int

    @property
    def first(self) -> int:
        """Oldest position."""

    def split(self, block: Any) -> list[Any]:
        """Cut a block of the source into pieces for `append`."""

    def length(self, piece: Any) -> int:
        """How far a piece moves `end`."""

    def append(self, piece: Any, arrived: float) -> None:
        """Add a piece."""

    def read(self, first: int, count: int) -> Any:
        """The content from a position on."""

    def arrival(self, position: int) -> float:
        """When what is before a position arrived."""
