"""Convert decoded frames to RGB: color space and range of the frame, display orientation, and scaling."""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

# ITU-T H.273 matrix coefficients, as frames carry them, to swscale color spaces: BT.709, FCC, SMPTE 240M, BT.2020.
SPACES = {1: 1, 4: 4, 7: 7, 9: 9, 10: 9}
BT601 = 5  # swscale; for all others (unspecified, reserved), as in FFmpeg
RANGES = {1: ColorRange.MPEG, 2: ColorRange.JPEG}


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """Transform from the stored to the displayed picture: transpose, then flip."""

    transpose: bool = False
    flip_horizontal: bool = False
    flip_vertical: bool = False

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Convert a stored size to the displayed size, or the reverse."""
        return (height, width) if self.transpose else (width, height)


def orientation(frame: Any) -> Orientation:
    """Return the orientation in the display matrix of a frame, rounded to right angles."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            # 3 x 3 in row order, x' = a x + c y, y' = b x + d y, with y downwards (ISO/IEC 14496-12).
            a, b, _, c, d = struct.unpack("=5i", bytes(data)[:20])
            if abs(b) + abs(c) > abs(a) + abs(d):
                return Orientation(transpose=True, flip_horizontal=c < 0, flip_vertical=b < 0)
            return Orientation(flip_horizontal=a < 0, flip_vertical=d < 0)
    return Orientation()


def display_size(frame: Any) -> tuple[int, int]:
    """Return the displayed width and height of a decoded frame."""
    return orientation(frame).size(frame.width, frame.height)


def fit_short_side(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """Scale a size down to a given shorter side; smaller sizes are kept.

    >>> fit_short_side(340, 256, 128)
    (170, 128)
    """
    short = min(width, height)
    if short_side is None or short <= short_side:
        return width, height
    return round(width * short_side / short), round(height * short_side / short)


class Converter:
    """Converts decoded frames to RGB arrays of one size; reuses its scaling tables."""

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.scaler = VideoReformatter()

    def rgb(self, frame: Any) -> np.ndarray:
        """Convert one frame: (height, width, 3), uint8 from 0 to 255."""
        display = orientation(frame)
        width, height = display.size(self.width, self.height)
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
            interpolation=Interpolation.AREA,  # averages the covered area: no aliasing at any ratio, and fast
            threads=1,  # worker processes already use all cores
        )
        plane: Any = scaled.planes[0]  # a view: one copy less than `to_ndarray`
        rows = np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)
        pixels: np.ndarray = rows[:, : 3 * width].reshape(height, width, 3)
        if display.transpose:
            pixels = pixels.transpose(1, 0, 2)
        return pixels[:: -1 if display.flip_vertical else 1, :: -1 if display.flip_horizontal else 1]
