"""Windows of sound for networks that read audio only."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from slowfast_cli.data.views import Cut, clip_samples, cut, spread
from slowfast_cli.media import audio
from slowfast_cli.media.audio_source import printable
from slowfast_cli.settings import FrontEnd
from slowfast_cli.stages.embed.items import Item
from slowfast_cli.stages.embed.window import Sliding, Window
from slowfast_cli.types import DataError, Inputs
from slowfast_cli.weights.file import Card

MOST_VIEWS = 10  # of a whole recording or one window, spread evenly over it
BLOCK = 60  # seconds decoded at once


@dataclass(frozen=True, kw_only=True)
class AudioWindows:
    """Reads the windows of a recording, or views of the whole, as prediction does.

    Windows start every hop until one reaches the end, or, with ``to_end``, as long as they start inside the recording.
    """

    card: Card
    front_end: FrontEnd
    sliding: Sliding | None
    """None: a single row, the average of as many views as in evaluation."""
    rows: Sequence[int] = ()
    """Indices of the log-mel frames that the network reads; empty for all."""
    repeat_last: bool = False
    """Pad short clips with their last log-mel frame, whatever the network was trained with."""
    to_end: bool = False

    def read(self, number: int, item: Item) -> Iterator[Window]:
        """Read the windows of an item, in order, in constant memory.

        Raises:
            DataError: The recording cannot be decoded, or has no samples.
        """
        if self.sliding is None:
            yield from self._whole(number, item)
        else:
            yield from self._slide(number, item, self.sliding)

    def samples(self, number: int, samples_N: np.ndarray) -> Iterator[Window]:
        """The views of samples at the rate of the front end, as one row."""
        yield from self._row(number, 0, 0, samples_N)

    def note(self, item: Item) -> str:
        """What a truncated recording lacks; empty for a whole one."""
        return audio.truncation(item.recording)

    @property
    def _clip(self) -> int:
        return clip_samples(self.card.clip_seconds, self.front_end.rate)

    def _whole(self, number: int, item: Item) -> Iterator[Window]:
        rate = self.front_end.rate
        first, size = self._span(item)
        views = self._views(first, size)
        end = (first + size) / rate
        pieces = [audio.read(item.recording, rate=rate, first=view.first, count=view.count) for view in views]
        pieces = [piece for piece in pieces if len(piece)]
        if not pieces:
            raise _no_samples(item)
        for piece in pieces:
            yield Window(item=number, row=0, views=len(pieces), start=first / rate, end=end, inputs=self._inputs(piece))

    def _slide(self, number: int, item: Item, sliding: Sliding) -> Iterator[Window]:
        rate = self.front_end.rate
        window, hop = (max(clip_samples(seconds, rate), 1) for seconds in (sliding.window, sliding.hop))
        start = round(item.start * rate)
        buffer, first, row = np.zeros(0, np.float32), 0, 0  # `first`: position of buffer[0]
        for block in self._blocks(item):
            buffer = np.concatenate([buffer, block])
            while len(buffer) >= window:
                yield from self._row(number, row, start + first, buffer[:window])
                buffer, first, row = buffer[hop:], first + hop, row + 1
        # What is left is shorter than a window; without `to_end` it is one more only if the last one ended before it.
        while len(buffer) and (self.to_end or row == 0 or len(buffer) > window - hop):
            yield from self._row(number, row, start + first, buffer)
            buffer, first, row = buffer[hop:], first + hop, row + 1
        if row == 0:
            raise _no_samples(item)

    def _row(self, number: int, row: int, first: int, samples: np.ndarray) -> Iterator[Window]:
        rate, views = self.front_end.rate, self._views(0, len(samples))
        for view in views:
            piece = samples[view.first : view.first + view.count]
            yield Window(
                item=number, row=row, views=len(views), start=first / rate, end=(first + len(samples)) / rate,
                inputs=self._inputs(piece),
            )  # fmt: skip

    def _blocks(self, item: Item) -> Iterator[np.ndarray]:
        rate = self.front_end.rate
        if item.is_whole:
            yield from audio.blocks(item.recording, rate=rate, seconds=BLOCK)
            return
        first, size = self._span(item)
        for offset in range(0, size, BLOCK * rate):
            yield audio.read(item.recording, rate=rate, first=first + offset, count=min(BLOCK * rate, size - offset))

    def _span(self, item: Item) -> tuple[int, int]:
        """First sample and number of samples of an item."""
        rate = self.front_end.rate
        first = round(item.start * rate)
        stop = audio.probe(item.recording).seconds
        stop = stop if item.stop is None else min(item.stop, stop)
        return first, max(round(stop * rate) - first, 1)

    def _views(self, first: int, size: int) -> list[Cut]:
        """As many views as in evaluation; more if the sound is much longer than that many clips."""
        views = max(self.card.views, min(round(size / self._clip), MOST_VIEWS))
        if self.sliding is not None and size <= self._clip + self.front_end.rate * 1e-2:
            views = 1  # a window about as long as a clip
        starts = spread(size, self._clip, views) if size > self._clip and views > 1 else [0.0]
        return [cut(first, size, self._clip, start) for start in starts]

    def _inputs(self, samples: np.ndarray) -> Inputs[np.ndarray]:
        """Samples padded to a clip; their log-mel frames before the padding, unless it is silence."""
        padded = np.pad(samples, (0, self._clip - 1 - len(samples)))
        if "samples" in self.card.net.signals:
            return Inputs(samples=padded)
        frames = self.front_end.frames(self._clip - 1)
        valid = frames if self.card.silence and not self.repeat_last else self.front_end.frames(len(samples))
        if self.rows:
            return Inputs(samples=padded, rows=np.minimum(np.array(self.rows, np.int64), valid - 1))
        return Inputs(samples=padded, valid_frames=np.array(valid))


def _no_samples(item: Item) -> DataError:
    return DataError(f"{printable(item.recording.path)}: no sound in it: 0 samples decoded")
