"""A video drawn over: every frame at its own time, with its sound."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from fractions import Fraction
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from slowfast_cli.media.audio_source import shown
from slowfast_cli.media.video_rgb import Converter, shown_size
from slowfast_cli.media.video_stream import VideoStream
from slowfast_cli.types import DataError, Place, Seconds, UsageError

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox", "mpeg4")  # the first that this FFmpeg has
QUALITY = {"libx264": {"crf": "20", "preset": "veryfast"}, "mpeg4": {"qscale": "3"}}
BT709 = 1  # in ITU-T H.273, as in swscale: the colours that players expect
LIMITED = 1
SHORT = Fraction(1, 10000)  # seconds a tick at most: sound may begin between two ticks of a frame each
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz
AAC_SAMPLES = 1024  # in a packet
COLOUR = (255, 210, 0)
INK = (20, 20, 20)

Draw = Callable[[np.ndarray, Seconds], np.ndarray]


def annotate(source: Path, out: Path, draw: Draw) -> None:
    """Draw over a video, as H.264 with its sound: copied where the new file can hold it, else AAC.

    Args:
        source: The video.
        out: The new file, .mp4, .mov or .mkv; it appears when it is complete.
        draw: Gets each frame upright as (H, W, 3) RGB, which it may change, and when it begins to be shown, in seconds
            from the first one; gives the frame to write, of the same size.

    Raises:
        BrokenMediaError: The source cannot be read.
        UsageError: The new name is of no such kind.
        DataError: The new file cannot be written.
    """
    form = FORMATS.get(out.suffix.lower())
    if form is None:
        raise UsageError(f"{shown(out)}: a video is written as one of {', '.join(FORMATS)}: name it so")
    part = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with ExitStack() as stack:
            video = stack.enter_context(closing(VideoStream(source)))
            heard = stack.enter_context(closing(VideoStream(source)))
            file = stack.enter_context(part.open("wb"))  # FFmpeg takes names in UTF-8 only, but any open file
            _write(video, heard, stack.enter_context(av.open(file, "w", format=form)), draw)
        part.replace(out)
    except (av.FFmpegError, OSError) as error:
        raise DataError(f"{shown(out)}: cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def _write(video: VideoStream, heard: VideoStream, out: Any, draw: Draw) -> None:
    encoder: Any = None
    sound: Iterator[tuple[Seconds, Any]] = iter(())
    ahead: tuple[Seconds, Any] | None = None
    origin = 0
    for ticks, frame in video.frames():
        if encoder is None:
            origin = ticks
            zero = _zero(heard, origin * video.stream.time_base)
            converter = Converter(*shown_size(frame))
            encoder = _encoder(out, video, converter)
            sound = _sound(heard, out, zero)
            ahead = next(sound, None)
        time = (ticks - origin) * video.tick
        pixels = draw(converter.rgb(frame).copy(), time)
        if pixels.shape != (converter.height, converter.width, 3):
            raise ValueError(f"draw: gave {pixels.shape}, the frame is {(converter.height, converter.width, 3)}")
        shown_at = ticks * video.stream.time_base - zero
        out.mux(encoder.encode(_picture(pixels, shown_at, encoder)))
        while ahead is not None and ahead[0] <= shown_at:  # players want sound beside its pictures
            out.mux(ahead[1])
            ahead = next(sound, None)
    if encoder is None:
        raise video.broken("no frame decodes: the file is truncated or holds no video: fetch it again")
    out.mux(encoder.encode(None))
    for _, packet in () if ahead is None else (ahead, *sound):
        out.mux(packet)


def _zero(heard: VideoStream, origin: Fraction) -> Fraction:
    """What time it is in the source when the new file begins: at the first frame, or the first sound before it."""
    sound_start = heard.sound_start()
    heard.close()
    heard.open()
    return origin if sound_start is None else min(origin, Fraction(sound_start).limit_denominator(1 << 20))


def _encoder(out: Any, video: VideoStream, converter: Converter) -> Any:
    name = next(name for name in ENCODERS if name in av.codecs_available)
    rate = video.stream.average_rate or video.stream.guessed_rate or Fraction(25)
    stream = out.add_stream(name, rate=rate, options=QUALITY.get(name, {}))
    context = stream.codec_context
    context.width, context.height = converter.width + converter.width % 2, converter.height + converter.height % 2
    context.pix_fmt = "yuv420p"
    context.colorspace, context.color_range, context.color_primaries, context.color_trc = BT709, LIMITED, BT709, BT709
    tick = video.stream.time_base  # frames keep their times
    while tick > SHORT:
        tick /= 10
    context.time_base = Fraction(1, 60000) if name == "mpeg4" else tick  # MPEG-4 counts to 65535 only
    return stream


def _picture(pixels: np.ndarray, time: Fraction, encoder: Any) -> Any:
    height, width = pixels.shape[:2]
    even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")  # colours are stored at half the size
    frame: Any = av.VideoFrame.from_ndarray(np.ascontiguousarray(even, np.uint8), format="rgb24")
    frame = frame.reformat(format="yuv420p", dst_colorspace=BT709, dst_color_range=LIMITED, threads=1)
    frame.time_base = encoder.codec_context.time_base
    frame.pts = round(time / frame.time_base)
    return frame


def _sound(heard: VideoStream, out: Any, zero: Fraction) -> Iterator[tuple[Seconds, Any]]:
    """Packets of the new file's sound, made when the first is asked for, and when they are heard."""
    audio = heard.container.streams.best("audio")
    if audio is None or audio.codec_context is None:
        return
    heard.only(audio)
    kind = audio.codec_context.codec.canonical_name
    if kind not in out.supported_codecs or (kind.startswith("pcm") and out.format.name == "mp4"):
        yield from _encoded(heard, audio, out, zero)
        return
    stream = out.add_stream_from_template(audio)
    for packet in heard.demuxed(audio):
        if packet.pts is not None and packet.dts is not None:
            for name in ("pts", "dts"):
                setattr(packet, name, getattr(packet, name) - round(zero / audio.time_base))
            time = float(packet.dts * audio.time_base)
            packet.stream = stream
            yield time, packet


def _encoded(heard: VideoStream, audio: Any, out: Any, zero: Fraction) -> Iterator[tuple[Seconds, Any]]:
    context = audio.codec_context
    rate = context.sample_rate if context.sample_rate in AAC_RATES else AAC_RATES[-1]
    layout = "mono" if context.channels == 1 else "stereo"
    stream = out.add_stream("aac", rate=rate, layout=layout)
    resampler = av.AudioResampler("fltp", layout, rate, frame_size=AAC_SAMPLES)
    for packet in chain(heard.demuxed(audio), [None]):
        for frame in _decoded(context, packet):
            frame.time_base = audio.time_base
            if frame.pts is not None:
                frame.pts -= round(zero / audio.time_base)
            for piece in resampler.resample(frame):
                yield from ((float(piece.time or 0), coded) for coded in stream.encode(piece))
    for piece in resampler.resample(None):
        yield from ((float(piece.time or 0), coded) for coded in stream.encode(piece))
    yield from ((0.0, coded) for coded in stream.encode(None))


def _decoded(context: Any, packet: Any) -> list[Any]:
    try:
        frames: list[Any] = context.decode(packet)
    except av.FFmpegError:
        return []
    return frames


def label_box(
    pixels: np.ndarray,
    place: Place,
    lines: Sequence[str] = (),
    *,
    colour: tuple[int, int, int] = COLOUR,
    height: int | None = None,
) -> np.ndarray:
    """Draw a rectangle and write beside its top.

    Args:
        pixels: The frame.
        place: Of the rectangle.
        lines: What to write, one under the other: above it, or inside where there is no room; what is too long for the
            frame is cut.
        colour: Of both, RGB.
        height: Of the letters in pixels; None is what is readable in a frame of this size.

    Shape:
        pixels: (H, W, 3) uint8, and so is the result.
    """
    tall, wide = pixels.shape[:2]
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = (
        min(max(round(share * (side - 1)), 0), side - 1)
        for share, side in zip(place, (wide, tall, wide, tall), strict=True)
    )
    draw.rectangle((left, top, right, bottom), outline=colour, width=max(1, min(tall, wide) // 120))
    size = height or max(10, tall // 24)
    font = _font(size)
    step = size + max(2, size // 4)
    texts = [_cut(line, wide - 4, font) for line in lines]
    across = round(max((font.getlength(text) for text in texts), default=0)) + 4
    x = max(0, min(left, wide - across))
    y = top - step * len(texts) if top >= step * len(texts) else top + 1
    for index, text in enumerate(texts):
        draw.rectangle((x, y + index * step, x + across, y + (index + 1) * step - 1), fill=INK)
        draw.text((x + 2, y + index * step), text, fill=colour, font=font)
    return np.asarray(image)


@lru_cache(maxsize=16)
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _cut(line: str, width: int, font: Any) -> str:
    """As much of a line as fits."""
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "...") > width:
        line = line[:-1]
    return line + "..."
