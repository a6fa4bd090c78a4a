"""Write a copy of a video with an overlay drawn on every frame, keeping timestamps and audio."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageDraw

from slowfast_cli.media.audio_pyav import audio_stream
from slowfast_cli.media.audio_source import printable
from slowfast_cli.media.decoder_errors import decoder_errors
from slowfast_cli.media.score_panel import cut, font_of
from slowfast_cli.media.video_rgb import Converter, display_size
from slowfast_cli.media.video_stream import VideoStream
from slowfast_cli.storage.atomic import replace_file
from slowfast_cli.types import DataError, Place, Seconds, UsageError

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
ENCODERS = ("libx264", "libopenh264", "h264_videotoolbox", "mpeg4")  # in order of preference
QUALITY = {"libx264": {"crf": "20", "preset": "veryfast"}, "mpeg4": {"qscale": "3"}}
BT709 = 1  # ITU-T H.273 and swscale: the colors that players expect
LIMITED = 1
MAX_TICK = Fraction(1, 10000)  # seconds; audio may begin between two ticks of one frame each
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz
AAC_SAMPLES = 1024  # per packet
COLOR = (255, 210, 0)
BACKGROUND = (20, 20, 20)
COMMENT = "annotated by slowfast"  # metadata of the files that `annotate` writes

Draw = Callable[[np.ndarray, Seconds], np.ndarray]


def annotate(source: Path, out: Path, draw: Draw) -> None:
    """Draw on every frame of a video and write it as H.264; audio is copied if the container supports it, else AAC.

    Args:
        source: Source video.
        out: Output file, .mp4, .mov or .mkv; it is written under a temporary name and renamed.
        draw: Called with each frame, (H, W, 3) RGB in display orientation and writable, and its presentation time
            on the player's clock; returns the frame to write, of identical size.

    Raises:
        BrokenMediaError: The source cannot be read.
        UsageError: The suffix of ``out`` is not supported.
        DataError: The output cannot be written.
    """
    form = FORMATS.get(out.suffix.lower())
    if form is None:
        raise UsageError(f"{printable(out)}: unsupported video format, expected one of {', '.join(FORMATS)}")

    def write(part: Path) -> None:
        with ExitStack() as stack:
            with decoder_errors(source):
                video = stack.enter_context(closing(VideoStream(source)))
                audio = stack.enter_context(closing(VideoStream(source)))
            file = stack.enter_context(part.open("wb"))  # FFmpeg accepts only UTF-8 file names, but any open file
            annotated = stack.enter_context(av.open(file, "w", format=form))
            annotated.metadata["comment"] = COMMENT
            _write(video, audio, annotated, draw)

    try:
        replace_file(out, write)
    except (av.FFmpegError, OSError) as error:
        raise DataError(f"{printable(out)}: cannot be written: {error.strerror or error}") from error


def is_annotated(path: Path) -> bool:
    """Whether `annotate` has written a file."""
    try:
        with path.open("rb") as raw, av.open(raw, metadata_errors="replace") as container:
            return COMMENT in (container.metadata.get("comment"), container.metadata.get("COMMENT"))
    except (av.FFmpegError, OSError, ValueError):
        return False


def _write(video: VideoStream, audio: VideoStream, out: Any, draw: Draw) -> None:
    encoder: Any = None
    audio_packets: Iterator[tuple[Seconds, Any]] = iter(())
    next_audio: tuple[Seconds, Any] | None = None
    origin = 0
    for ticks, frame in video.frames():
        if encoder is None:
            origin = video.origin(ticks)
            zero = _time_zero(audio, ticks * video.stream.time_base)
            converter = Converter(*display_size(frame))
            encoder = _encoder(out, video, converter)
            audio_packets = _audio_packets(audio, out, zero)
            next_audio = next(audio_packets, None)
        time = (ticks - origin) * video.tick
        pixels = draw(converter.rgb(frame).copy(), time)
        if pixels.shape != (converter.height, converter.width, 3):
            raise ValueError(f"draw() returned shape {pixels.shape}, expected {(converter.height, converter.width, 3)}")
        display_time = ticks * video.stream.time_base - zero
        out.mux(encoder.encode(_video_frame(pixels, display_time, encoder)))
        while next_audio is not None and next_audio[0] <= display_time:  # players need audio and video interleaved
            out.mux(next_audio[1])
            next_audio = next(audio_packets, None)
    if encoder is None:
        raise video.error("no frame decodes: the file is truncated or contains no video: fetch it again")
    out.mux(encoder.encode(None))
    for _, packet in () if next_audio is None else (next_audio, *audio_packets):
        out.mux(packet)


def _time_zero(audio: VideoStream, origin: Fraction) -> Fraction:
    """Return the source time at which the output begins: the first frame, or the first audio sample before it."""
    audio_start = audio.audio_start()
    audio.close()
    audio.open()
    return origin if audio_start is None else min(origin, Fraction(audio_start).limit_denominator(1 << 20))


def _encoder(out: Any, video: VideoStream, converter: Converter) -> Any:
    name = next(name for name in ENCODERS if name in av.codecs_available)
    rate = video.stream.average_rate or video.stream.guessed_rate or Fraction(25)
    stream = out.add_stream(name, rate=rate, options=QUALITY.get(name, {}))
    context = stream.codec_context
    context.width, context.height = converter.width + converter.width % 2, converter.height + converter.height % 2
    context.pix_fmt = "yuv420p"
    context.colorspace, context.color_range, context.color_primaries, context.color_trc = BT709, LIMITED, BT709, BT709
    tick = video.stream.time_base  # keeps the timestamps of the frames
    while tick > MAX_TICK:
        tick /= 10
    context.time_base = Fraction(1, 60000) if name == "mpeg4" else tick  # MPEG-4 time bases are limited to 65535
    return stream


def _video_frame(pixels: np.ndarray, time: Fraction, encoder: Any) -> Any:
    height, width = pixels.shape[:2]
    even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")  # chroma is stored at half resolution
    frame: Any = av.VideoFrame.from_ndarray(np.ascontiguousarray(even, np.uint8), format="rgb24")
    frame = frame.reformat(format="yuv420p", dst_colorspace=BT709, dst_color_range=LIMITED, threads=1)
    frame.time_base = encoder.codec_context.time_base
    frame.pts = round(time / frame.time_base)
    return frame


def _audio_packets(audio: VideoStream, out: Any, zero: Fraction) -> Iterator[tuple[Seconds, Any]]:
    """Yield the times and packets of the output's audio; adds its stream to ``out`` on first use."""
    source = audio_stream(audio.container)
    if source is None or source.codec_context is None:
        return
    audio.select_stream(source)
    codec = source.codec_context.codec.canonical_name
    if codec not in out.supported_codecs or (codec.startswith("pcm") and out.format.name == "mp4"):
        yield from _aac_packets(audio, source, out, zero)
        return
    stream = out.add_stream_from_template(source)
    for packet in audio.demux(source):
        if packet.pts is not None and packet.dts is not None:
            for name in ("pts", "dts"):
                setattr(packet, name, getattr(packet, name) - round(zero / source.time_base))
            time = float(packet.dts * source.time_base)
            packet.stream = stream
            yield time, packet


def _aac_packets(audio: VideoStream, source: Any, out: Any, zero: Fraction) -> Iterator[tuple[Seconds, Any]]:
    context = source.codec_context
    rate = context.sample_rate if context.sample_rate in AAC_RATES else AAC_RATES[-1]
    layout = "mono" if context.channels == 1 else "stereo"
    stream = out.add_stream("aac", rate=rate, layout=layout)
    resampler = av.AudioResampler("fltp", layout, rate, frame_size=AAC_SAMPLES)
    for packet in chain(audio.demux(source), [None]):
        for frame in _decode(context, packet):
            frame.time_base = source.time_base
            if frame.pts is not None:
                frame.pts -= round(zero / source.time_base)
            for piece in resampler.resample(frame):
                yield from ((float(piece.time or 0), encoded) for encoded in stream.encode(piece))
    for piece in resampler.resample(None):
        yield from ((float(piece.time or 0), encoded) for encoded in stream.encode(piece))
    yield from ((0.0, encoded) for encoded in stream.encode(None))


def _decode(context: Any, packet: Any) -> list[Any]:
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
    color: tuple[int, int, int] = COLOR,
    height: int | None = None,
) -> np.ndarray:
    """Draw a rectangle with lines of text at its top.

    Args:
        pixels: Frame.
        place: Rectangle.
        lines: Text lines, above the rectangle or inside if there is no room above; lines wider than the frame are cut.
        color: RGB color of rectangle and text.
        height: Font size in pixels; by default readable at the size of the frame.

    Shape: pixels: (H, W, 3) uint8; the result is a copy of the same shape
    """
    tall, wide = pixels.shape[:2]
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = (
        min(max(round(share * (side - 1)), 0), side - 1)
        for share, side in zip(place, (wide, tall, wide, tall), strict=True)
    )
    draw.rectangle((left, top, right, bottom), outline=color, width=max(1, min(tall, wide) // 120))
    size = height or max(10, tall // 24)
    font = font_of(size)
    step = size + max(2, size // 4)
    texts = [cut(line, wide - 4, font) for line in lines]
    across = round(max((font.getlength(text) for text in texts), default=0)) + 4
    x = max(0, min(left, wide - across))
    y = top - step * len(texts) if top >= step * len(texts) else top + 1
    for index, text in enumerate(texts):
        draw.rectangle((x, y + index * step, x + across, y + (index + 1) * step - 1), fill=BACKGROUND)
        draw.text((x + 2, y + index * step), text, fill=color, font=font)
    return np.asarray(image)
