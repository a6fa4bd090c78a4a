"""Draw predictions over a video."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slowfast_cli.media import video
from slowfast_cli.media.audio_source import printable
from slowfast_cli.media.score_panel import score_panel
from slowfast_cli.media.video_writer import FORMATS, annotate, is_annotated, label_box
from slowfast_cli.types import Place, Recording, Seconds, UsageError

COLORS = ((255, 210, 0), (90, 210, 255), (255, 140, 140), (140, 235, 140))  # of the boxes of a frame, in turn


@dataclass(frozen=True, kw_only=True)
class Caption:
    """Scores to draw over a stretch of a video."""

    start: Seconds  # from the first frame
    end: Seconds
    scores: tuple[tuple[str, float], ...]  # class names and probabilities, top to bottom
    place: Place | None = None  # box to draw; None draws a panel in the corner while no other window is nearer
    source: str = ""  # what is recognized: "heard" or "seen"

    @property
    def heading(self) -> str:
        """First line of a panel: time and source."""
        return f"{self.start:.1f}-{self.end:.1f} s  {self.source}".rstrip()

    @property
    def lines(self) -> tuple[str, ...]:
        """Text at a box."""
        return tuple(f"{name} {score:.0%}" for name, score in self.scores)


def check(source: Path, out: Path) -> None:
    """Refuse an output path before any work is done.

    Raises:
        UsageError: The file exists and is no annotated video, has an unknown suffix, or its folder does not exist.
        BrokenMediaError: The source is not a video.
    """
    if out.suffix.lower() not in FORMATS:
        raise UsageError(f"--overlay {printable(out)}: unknown video format: use one of {', '.join(FORMATS)}")
    if not out.parent.is_dir():
        raise UsageError(f"--overlay {printable(out)}: folder {printable(out.parent)} does not exist: create it first")
    if out.exists() and (out.samefile(source) or not is_annotated(out)):
        what = "is the input video itself" if out.samefile(source) else "already exists, and --overlay did not write it"
        raise UsageError(f"--overlay {printable(out)}: {what}: choose another name")
    video.probe(Recording(id=str(source), path=source))


def draw(source: Path, out: Path, captions: Sequence[Caption], *, audio_time: bool = False) -> None:
    """Write a copy of a video with the captions of the nearest moment drawn into each frame.

    Args:
        source: The video.
        out: The new file.
        captions: In any order.
        audio_time: Times of the captions count from the first sample instead of the first frame.

    Raises:
        BrokenMediaError: The video cannot be read.
        DataError: The new file cannot be written.
    """
    offset = video.probe(Recording(id=str(source), path=source)).audio_start if audio_time else 0.0
    by_middle: dict[Seconds, list[Caption]] = {}
    for caption in captions:
        by_middle.setdefault((caption.start + caption.end) / 2, []).append(caption)
    middles = sorted(by_middle)

    def draw_frame(pixels: np.ndarray, shown_at: Seconds) -> np.ndarray:
        time = shown_at - offset
        for number, caption in enumerate(by_middle[_nearest(middles, time)] if middles else ()):
            if caption.place is None:
                pixels = score_panel(pixels, caption.heading, caption.scores)
            elif caption.start <= time <= caption.end:
                pixels = label_box(pixels, caption.place, caption.lines, color=COLORS[number % len(COLORS)])
        return pixels

    annotate(source, out, draw_frame)


def _nearest(middles: Sequence[Seconds], time: Seconds) -> Seconds:
    after = bisect_left(middles, time)
    return min(middles[max(after - 1, 0) : after + 1], key=lambda middle: abs(middle - time))
