"""Measures of recordings that decode but are poor examples: clipped, opposite channels, frames without change."""

from typing import Any

import numpy as np

FULL_SCALE = 0.98  # share of full scale from which a repeated value is clipped
CLIPPED = 1e-3  # share of the samples
OPPOSITE = 0.1  # largest magnitude of the mono mix, as a share of that of the channels
SIDE = 32  # pixels of the thumbnails that are compared
STILL = 1.5  # largest mean change of a pixel between two frames, of 255


class Loudness:
    """Counts clipped samples, and the largest magnitude, of a stream of mono blocks."""

    def __init__(self) -> None:
        self.samples = self.clipped = 0
        self.peak = 0.0

    def add(self, block: np.ndarray) -> None:
        """Add a block. Samples are clipped that are one of at least three equal ones at full scale in sequence."""
        self.samples += len(block)
        magnitude = np.abs(block)
        self.peak = max(self.peak, float(magnitude.max(initial=0.0)))
        if self.peak >= FULL_SCALE:
            equal = (block[1:] == block[:-1]) & (magnitude[1:] >= FULL_SCALE)
            self.clipped += int(np.count_nonzero(equal[1:] & equal[:-1]))

    def flags(self, channel_peak: float) -> list[str]:
        """Describe what is wrong; ``channel_peak`` is the largest magnitude before the mono mix."""
        share = self.clipped / max(self.samples, 1)
        clipped = [f"clipped: {share:.1%} of the samples stay at full scale"] * (share > CLIPPED)
        opposite = ["opposite phase: the channels cancel out when they are mixed to mono"]
        return clipped + opposite * (self.peak < OPPOSITE * channel_peak)


class Change:
    """The largest change between consecutive frames."""

    def __init__(self) -> None:
        self.frames, self.largest = 0, 0.0
        self._last: np.ndarray | None = None

    def add(self, frame: Any) -> None:
        """Add a decoded PyAV frame."""
        small = frame.reformat(width=SIDE, height=SIDE, format="gray").to_ndarray().astype(np.float32)
        if self._last is not None:
            self.largest = max(self.largest, float(np.abs(small - self._last).mean()))
        self._last, self.frames = small, self.frames + 1

    def flags(self) -> list[str]:
        """Describe a video whose frames do not change."""
        return ["constant frames: the picture does not change"] * (self.frames > 1 and self.largest < STILL)
