"""Decoded frames as RGB pictures: their own colour space and range, turned as they are shown, scaled on the way.

The decoder gives pictures as the camera's sensor lay; a display matrix beside them says how they are shown.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

# ITU-T H.273 matrix coefficients, as frames carry them, and what swscale calls them: BT.709, FCC, SMPTE 240M, BT.2020.
SPACES = {1: 1, 4: 4, 7: 7, 9: 9, 10: 9}
BT601 = 5  # swscale's name; for all others (unspecified, reserved), as FFmpeg does
RANGES = {1: ColorRange.MPEG, 2: ColorRange.JPEG}


@dataclass(frozen=True, kw_only=True)
class Turn:
    """How a stored picture becomes the one shown: its axes swapped, then mirrored.

    Attributes:
        swapped: Rows are shown as columns.
        across: Then mirrored left to right.
        down: Then mirrored top to bottom.
    """

    swapped: bool = False
    across: bool = False
    down: bool = False

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height before the turn of a picture that has these after it, and the other way round."""
        return (height, width) if self.swapped else (width, height)


UPRIGHT = Turn()


def turn(frame: Any) -> Turn:
    """What the display matrix of a decoded frame says; angles between are taken to the nearest right angle."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            # Row by row 3 x 3, x' = a x + c y, y' = b x + d y, with y downwards (ISO/IEC 14496-12).
            a, b, _, c, d = struct.unpack("=5i", bytes(data)[:20])
            if abs(b) + abs(c) > abs(a) + abs(d):
                return Turn(swapped=True, across=c < 0, down=b < 0)
            return Turn(across=a < 0, down=d < 0)
    return UPRIGHT


def shown_size(frame: Any) -> tuple[int, int]:
    """Width and height of a decoded frame as it is shown."""
    return turn(frame).size(frame.width, frame.height)


def fitted(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """A size scaled down so that its short side is as asked; smaller sizes, and None, leave it.

    For example 340 x 256 fitted to 128 is 170 x 128.
    """
    short = min(width, height)
    if short_side is None or short <= short_side:
        return width, height
    return round(width * short_side / short), round(height * short_side / short)


class Converter:
    """Turns decoded frames into RGB arrays of one size; it keeps its scaling tables from frame to frame."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.scaler = VideoReformatter()

    def rgb(self, frame: Any) -> np.ndarray:
        """One frame as it is shown.

        Shape:
            (height, width, 3), uint8 from 0 to 255.
        """
        turned = turn(frame)
        width, height = turned.size(self.width, self.height)
        space = SPACES.get(int(frame.colorspace), BT601)
        scaled = self.scaler.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            src_colorspace=space,
            dst_colorspace=space,
            src_color_range=RANGES.get(int(frame.color_range)),
            dst_color_range=ColorRange.JPEG,
            interpolation=Interpolation.AREA,  # means of what a pixel covers: no aliasing at any ratio, and fast
            threads=1,  # workers are processes: threads inside them only contend
        )
        pixels: np.ndarray = scaled.to_ndarray()
        if turned.swapped:
            pixels = pixels.transpose(1, 0, 2)
        return pixels[:: -1 if turned.down else 1, :: -1 if turned.across else 1]
