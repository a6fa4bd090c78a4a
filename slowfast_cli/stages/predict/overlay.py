"""Answers drawn over the video that they are about."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slowfast_cli.media import video
from slowfast_cli.media.audio_source import printable
from slowfast_cli.media.video_writer import FORMATS, annotate, label_box
from slowfast_cli.types import Place, Recording, Seconds, UsageError

CORNER: Place = (0.0, 0.0, 0.0, 0.0)  # where a caption stands that is about the whole picture
COLOURS = ((255, 210, 0), (90, 210, 255), (255, 140, 140), (140, 235, 140))  # of boxes beside each other


@dataclass(frozen=True, kw_only=True)
class Caption:
    """What to write, when and where.

    Attributes:
        start: In seconds from the first frame.
        end: In seconds.
        lines: One under the other.
        place: The box that they are about; None writes them in a corner, as long as no other window is nearer.
    """

    start: Seconds
    end: Seconds
    lines: tuple[str, ...]
    place: Place | None = None


def check(source: Path, out: Path) -> None:
    """Refuse a name for the drawn video, before any work.

    Raises:
        UsageError: It is that of the video itself, of no kind that can be written, or in a folder that is not there.
    """
    if out.suffix.lower() not in FORMATS:
        raise UsageError(f"--overlay {printable(out)}: a video is written as one of {', '.join(FORMATS)}: name it so")
    if not out.parent.is_dir():
        raise UsageError(f"--overlay {printable(out)}: there is no folder {printable(out.parent)}: make it first")
    if out.resolve() == source.resolve() or (out.exists() and source.exists() and out.samefile(source)):
        raise UsageError(f"--overlay {printable(out)}: is the video itself: choose another name")


def draw(source: Path, out: Path, captions: Sequence[Caption], *, heard: bool = False) -> None:
    """Write a video with its answers drawn in: at each frame those of the nearest moment.

    Args:
        source: The video.
        out: The new file.
        captions: In any order.
        heard: Their times count from the first sample, not from the first frame.

    Raises:
        BrokenMediaError: The video cannot be read.
        DataError: The new one cannot be written.
    """
    late = video.probe(Recording(id=str(source), path=source)).audio_start if heard else 0.0
    by_middle: dict[Seconds, list[Caption]] = {}
    for each in captions:
        by_middle.setdefault((each.start + each.end) / 2, []).append(each)
    middles = sorted(by_middle)

    def drawn(pixels: np.ndarray, shown_at: Seconds) -> np.ndarray:
        time = shown_at - late
        for number, each in enumerate(by_middle[_nearest(middles, time)] if middles else ()):
            if each.place is None:
                pixels = label_box(pixels, CORNER, each.lines)
            elif each.start <= time <= each.end:
                pixels = label_box(pixels, each.place, each.lines, color=COLOURS[number % len(COLOURS)])
        return pixels

    annotate(source, out, drawn)


def _nearest(middles: Sequence[Seconds], time: Seconds) -> Seconds:
    after = bisect_left(middles, time)
    return min(middles[max(after - 1, 0) : after + 1], key=lambda middle: abs(middle - time))
