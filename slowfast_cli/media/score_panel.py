"""A panel of scores in the corner of a frame: a heading, and a bar for each class."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

INK, QUIET, BAR, BACKGROUND = (255, 255, 255, 255), (200, 208, 216, 255), (47, 128, 214, 255), (15, 18, 22, 190)
SMALLEST = 12  # pixels: text that can still be read
SHARE = 20  # of the frame's height to that of the text


def score_panel(pixels: np.ndarray, heading: str, scores: Sequence[tuple[str, float]]) -> np.ndarray:
    """Draw a translucent panel with class names, bars and percentages into the upper left corner.

    Args:
        pixels: Frame, (H, W, 3) uint8.
        heading: First line, such as the time and what is recognized.
        scores: Names and probabilities, from top to bottom; what does not fit below the heading is left out.

    Returns:
        A copy of the frame.
    """
    tall, wide = pixels.shape[:2]
    size = max(SMALLEST, min(tall // SHARE, wide // 24))
    font, pad = font_of(size), max(3, size // 3)
    step = size + pad
    shown = scores[: max(0, (tall - 2 * pad) // step - 1)]
    percents = [f"{score:.0%}" for _, score in shown]
    number = round(max((font.getlength(text) for text in percents), default=0))
    gauge = min(5 * size, wide // 5)
    room = wide - 4 * pad - number - gauge
    names = [cut(name, room, font) for name, _ in shown]
    column = round(max((font.getlength(name) for name in names), default=0))
    title = cut(heading, wide - 2 * pad, font)
    across = max(round(font.getlength(title)) + 2 * pad, column + gauge + number + 4 * pad)
    image = Image.fromarray(pixels).convert("RGBA")
    layer = Image.new("RGBA", image.size)
    draw = ImageDraw.Draw(layer)
    draw.rectangle((0, 0, min(across, wide) - 1, min(tall, (1 + len(shown)) * step + 2 * pad) - 1), fill=BACKGROUND)
    draw.text((pad, pad), title, fill=QUIET, font=font)
    for index, ((_, score), name, percent) in enumerate(zip(shown, names, percents, strict=True), 1):
        y, x = pad + index * step, 2 * pad + column
        draw.text((pad, y), name, fill=INK, font=font)
        draw.rectangle((x, y + pad, x + gauge, y + size), fill=(255, 255, 255, 40))
        if score > 0:
            draw.rectangle((x, y + pad, x + max(1, round(gauge * min(1.0, score))), y + size), fill=BAR)
        draw.text((x + gauge + pad + number - font.getlength(percent), y), percent, fill=INK, font=font)
    return np.asarray(Image.alpha_composite(image, layer).convert("RGB"))


@lru_cache(maxsize=16)
def font_of(size: int) -> Any:
    """The font of texts on frames, by its size in pixels."""
    return ImageFont.load_default(size)


def cut(line: str, width: float, font: Any) -> str:
    """Truncate a line to a width in pixels."""
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "...") > width:
        line = line[:-1]
    return line + "..."
