"""Batches of windows across items: one forward pass serves several short recordings."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from torch import Tensor

from slowfast_cli.stages.embed.items import Item
from slowfast_cli.stages.embed.window import Reader, Window
from slowfast_cli.types import DataError, Seconds


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Some rows of an item, in order."""

    item: int
    features: np.ndarray  # (n, D) float32
    start: list[Seconds]
    end: list[Seconds]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """All rows of an item were returned; ``note`` says what a truncated recording lacks."""

    item: int
    note: str


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """An item cannot be read to its end; rows that were returned before do not count."""

    item: int
    reason: str


Event: TypeAlias = Rows | Finished | Unreadable


Network: TypeAlias = Callable[[Sequence[Window]], Tensor]


class NotFiniteError(Exception):
    """Features are NaN or infinite."""


def embed_items(items: Sequence[Item], reader: Reader, network: Network, batch: int) -> Iterator[Event]:
    """Embed items; results are in their order, in constant memory.

    The windows of a batch depend on the items alone, so that the same items give the same bytes.

    Args:
        items: Recordings or stretches.
        reader: Reads their windows.
        network: Returns the features (B, D) of windows.
        batch: Windows in one forward pass.

    Raises:
        NotFiniteError: The features are not finite.
    """
    queue, waiting = list[Window | Finished | Unreadable](), 0
    pending = _PendingRow()
    for number, item in enumerate(items):
        try:
            for window in reader.read(number, item):
                queue.append(window)
                waiting += 1
                if waiting == batch:
                    yield from _flush(queue, network, pending)
                    queue, waiting = [], 0
            queue.append(Finished(item=number, note=reader.note(item)))
        except DataError as error:
            queue.append(Unreadable(item=number, reason=str(error)))
    yield from _flush(queue, network, pending)


def _flush(
    queue: Sequence[Window | Finished | Unreadable], network: Network, pending: "_PendingRow"
) -> Iterator[Event]:
    windows = [entry for entry in queue if isinstance(entry, Window)]
    features = iter(network(windows).numpy() if windows else ())
    ready = list[tuple[Window, np.ndarray]]()
    for entry in queue:
        if isinstance(entry, Window):
            vector = next(features)
            if not np.isfinite(vector).all():
                raise NotFiniteError("features are NaN or infinite")
            row = pending.add(entry, vector)
            if row is not None:
                ready.append((entry, row))
            continue
        yield from _rows(ready)
        ready = []
        pending.clear()
        yield entry
    yield from _rows(ready)


class _PendingRow:
    """Averages the views of a row, which may arrive in several batches."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget the views of an unfinished row."""
        self._views = list[np.ndarray]()

    def add(self, window: Window, vector: np.ndarray) -> np.ndarray | None:
        """Add a view; return the average once all views of the row are there."""
        self._views.append(vector)
        if len(self._views) < window.views:
            return None
        row: np.ndarray = self._views[0] if window.views == 1 else np.mean(self._views, axis=0)
        self.clear()
        return row


def _rows(ready: Sequence[tuple[Window, np.ndarray]]) -> Iterator[Rows]:
    if ready:
        yield Rows(
            item=ready[0][0].item,
            features=np.stack([vector for _, vector in ready]),
            start=[window.start for window, _ in ready],
            end=[window.end for window, _ in ready],
        )
