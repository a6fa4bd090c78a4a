"""Windows of recordings as they are read, before the network."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from slowfast_cli.stages.embed.items import Item
from slowfast_cli.types import Inputs, Seconds, UsageError

MAX_WINDOW = 3600  # seconds: the samples of a window are in memory


@dataclass(frozen=True, kw_only=True)
class Sliding:
    """Windows of one length at equal distances."""

    window: Seconds
    hop: Seconds  # between the starts of successive windows

    def __post_init__(self) -> None:
        if not 0 < self.hop <= self.window <= MAX_WINDOW:
            raise UsageError(
                f"--window {self.window:g} --hop {self.hop:g}: expected 0 < hop <= window <= {MAX_WINDOW}, in seconds"
            )


@dataclass(frozen=True, kw_only=True)
class Window:
    """The input of one forward pass for a row of features; a row is the average of its views."""

    item: int
    row: int
    views: int  # of the row
    start: Seconds  # of the row, in the recording
    end: Seconds
    inputs: Inputs[np.ndarray]


class Reader(Protocol):
    """Reads the windows of items."""

    def read(self, number: int, item: Item) -> Iterator[Window]:
        """Read the windows of an item, in order, in constant memory; views of a row follow each other.

        Raises:
            DataError: The recording cannot be used.
        """

    def note(self, item: Item) -> str:
        """What a truncated recording lacks; empty for a whole one."""
