"""Measures of recordings that decode but are poor examples: clipped, opposite channels, frames without change."""

from typing import Any

import numpy as np

from slowfast_cli.media.audio_source import to_mono

CLIPPED = 1e-3  # share of the samples of a channel
PLATEAU = 3  # equal samples at the peak
JUMP = 5  # least rise into a plateau, in steps of the values at the peak: the peaks of tones rise by up to 4
LARGEST_STEP = 1 / 32  # of 8 bits: that of mu-law near full scale
EXPONENT = 200  # exponents of differences of float32 are above its negative
OPPOSITE = 0.1  # RMS of the mono mix, as a share of that of the channels
SIDE = 64  # blocks of a frame that are compared, in each direction
STILL = 0.1  # largest change of a block, as a share of the contrast of the frames: coding noise stays below it
INVISIBLE = 1.0  # change of a block, of 255, that rounding explains


class Plateaus:
    """Runs of equal samples at the largest value of one channel, by the binary exponent of the rise into them.

    The difference between the two largest values is the quantization step there; mu-law has larger ones than elsewhere.
    The samples of a clipped recording rise by much more.
    """

    def __init__(self) -> None:
        self.largest = self.second = -np.inf
        self.lengths = np.zeros(256, int)  # samples, by exponent of the rise

    def add(self, samples: np.ndarray) -> None:
        """Add consecutive samples, (N,)."""
        top = float(samples.max())
        if top < self.second:
            return
        if top > self.largest:
            self.lengths[:] = 0
        below = float(samples.max(initial=-np.inf, where=samples < top))
        self.largest, self.second, *_ = *sorted({self.largest, self.second, top, below}, reverse=True), -np.inf
        if top < self.largest:
            return
        at_top = np.concatenate([[False], samples == top, [False]])
        starts, stops = np.flatnonzero(at_top[1:] & ~at_top[:-1]), np.flatnonzero(~at_top[1:] & at_top[:-1])
        runs = (stops - starts >= PLATEAU) & (starts > 0)
        rises = np.float64(top) - samples[starts[runs] - 1]
        np.add.at(self.lengths, np.frexp(rises)[1] + EXPONENT, (stops - starts)[runs])

    def clipped(self) -> int:
        """Number of samples in plateaus that begin with a jump."""
        rises = 2.0 ** (np.arange(len(self.lengths)) - EXPONENT - 1)  # the least of each exponent
        step = min(self.largest - self.second, LARGEST_STEP)  # a short period may have few values
        return int(self.lengths[rises >= JUMP * step].sum())


class Channels:
    """Clipping of each channel, and the power of the mono mix, of a stream of blocks."""

    def __init__(self) -> None:
        self.samples, self.mix, self.power = 0, 0.0, 0.0
        self.above: Any = 0  # samples of each channel above full scale, (C,)
        self.plateaus: list[tuple[Plateaus, Plateaus]] = []

    def add(self, block: np.ndarray) -> None:
        """Add a block, (N, C), full scale 1."""
        if not len(block) or not np.isfinite(block).all():
            return
        self.samples += len(block)
        self.mix += float(np.square(to_mono(block)).sum())
        self.power += float(np.square(block).sum()) / block.shape[1]
        self.above = self.above + np.count_nonzero(np.abs(block) > 1, axis=0)
        self.plateaus = self.plateaus or [(Plateaus(), Plateaus()) for _ in range(block.shape[1])]
        for channel, (high, low) in zip(block.T, self.plateaus, strict=True):
            high.add(channel)
            low.add(-channel)

    def flags(self) -> list[str]:
        """Describe what is wrong."""
        at_peak = max((high.clipped() + low.clipped() for high, low in self.plateaus), default=0)
        shares = {"stay at its peak": at_peak, "exceed full scale": int(np.max(self.above))}
        clipped = [
            f"clipped: {count / self.samples:.1%} of the samples of a channel {what}"
            for what, count in shares.items()
            if count > CLIPPED * self.samples
        ]
        opposite = ["opposite phase: the channels cancel out when they are mixed to mono"]
        return clipped[:1] + opposite * (self.mix < OPPOSITE**2 * self.power)


class Change:
    """The largest change of a block of the frames since the first one."""

    def __init__(self) -> None:
        self.frames, self.largest = 0, 0.0
        self._first: np.ndarray | None = None

    def add(self, frame: Any) -> None:
        """Add a decoded PyAV frame."""
        small = frame.reformat(width=SIDE, height=SIDE, format="gray").to_ndarray().astype(np.float32)
        self._first = small if self._first is None else self._first
        self.largest = max(self.largest, float(np.abs(small - self._first).max()))
        self.frames += 1

    def flags(self) -> list[str]:
        """Describe a video whose frames do not change."""
        contrast = 0.0 if self._first is None else float(np.ptp(self._first))
        constant = self.frames > 1 and self.largest <= max(INVISIBLE, STILL * contrast)
        return ["constant frames: the picture does not change"] * constant
