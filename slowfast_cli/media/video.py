"""Read the frames displayed at given times of a recording: a video file, or a folder of images.

Times are presentation times on the player's clock (`slowfast_cli.media.clock`): relative to the first frame, or to the
first audio sample if the audio starts clearly before it. Callers need not handle variable frame rates and edit lists.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from math import floor, inf
from typing import Any, TypeAlias

import numpy as np

from slowfast_cli.media.audio_source import printable
from slowfast_cli.media.clock import HEADER_TOLERANCE
from slowfast_cli.media.decoder_errors import decoder_errors
from slowfast_cli.media.frame_selection import SNAP, TOLERANCE, displayed, select_frames
from slowfast_cli.media.image_folder import ImageFolder, decode_image, list_images
from slowfast_cli.media.video_packets import UnplannedError, groups, read_packets, read_planned
from slowfast_cli.media.video_probe import VideoInfo, is_short, video_info
from slowfast_cli.media.video_rgb import Converter, display_size, fit_short_side
from slowfast_cli.media.video_stream import VideoStream
from slowfast_cli.types import BrokenMediaError, Recording, Seconds

MAX_CLIP = 1 << 31  # bytes of the frames of a clip
MAX_TOLERANCE = 1e-3  # for files with long ticks, to which their timestamps are rounded

Select: TypeAlias = Callable[..., Iterator[Any]]  # of `slowfast_cli.media.frame_selection`, without its tolerance
TimedFrame: TypeAlias = "tuple[Seconds, Callable[[], Any]]"  # presentation time, and a function that decodes it


@dataclass(frozen=True, kw_only=True)
class VideoProbe:
    """Properties of a recording's video."""

    seconds: Seconds  # from time 0 to the end of the last frame
    fps: float  # average frame rate
    frames: int
    width: int  # as displayed
    height: int  # as displayed
    has_audio: bool  # an audio stream, or a separate audio file
    audio_start: Seconds  # time of the first sample that `audio` reads, near 0, or minus `Recording.sound_start`
    codec: str  # FFmpeg's name of the decoder; "images" for a folder
    truncated: str = ""  # description of what is missing; `seconds` is what the file contains


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Frames of a clip."""

    pixels: np.ndarray  # (T, H, W, 3) RGB, uint8
    times: tuple[Seconds, ...]  # presentation times
    start: Seconds  # time at which the clip begins


@lru_cache(maxsize=1 << 16)
def probe(recording: Recording) -> VideoProbe:
    """Return the properties of the video, cached; raise `BrokenMediaError` if its first frame does not decode."""
    separate_audio = recording.sound is not None
    if recording.fps is not None and recording.path.is_dir():
        images = list_images(recording.path)
        width, height = display_size(decode_image(images.path(0)))
        return VideoProbe(
            seconds=images.count / recording.fps, fps=recording.fps, frames=images.count, width=width, height=height,
            has_audio=separate_audio, audio_start=0.0 - recording.sound_start if separate_audio else 0.0,
            codec="images",
        )  # fmt: skip
    with decoder_errors(recording.path):
        info = _info(recording)
    return VideoProbe(
        seconds=info.seconds, fps=info.fps, frames=info.frames, width=info.width, height=info.height,
        has_audio=info.has_audio or separate_audio,
        audio_start=0.0 - recording.sound_start if separate_audio else info.audio_start, codec=info.codec,
        truncated=_truncation(recording, info),
    )  # fmt: skip


def _truncation(recording: Recording, info: VideoInfo) -> str:
    if info.header_seconds is None or not is_short(info.seconds, info.header_seconds):
        return ""
    found = f"{info.seconds:.2f} s of {info.header_seconds:.2f} s"
    return f"{printable(recording.path)}: truncated: it contains {found} of video: fetch it again"


def read(recording: Recording, *, start: Seconds, span: Seconds, count: int, short_side: int | None = None) -> Frames:
    """Read the frames displayed at ``count`` times evenly spaced over ``span``, both ends included.

    Args:
        recording: Recording with video.
        start: The clip begins with the first frame presented at or after this time, or if there is none within `SNAP`,
            at exactly this time, with the frame displayed then. It begins at exactly this time if it is 0 or less: the
            first frame is displayed before its time.
        span: Seconds from the first time to the last; the last frame stays displayed past its end.
        count: Number of frames.
        short_side: Scale larger frames down to this shorter side, in pixels.

    Raises:
        BrokenMediaError: The recording cannot be opened, has no video, or none of the frames decodes.
    """
    (frames,) = read_clips(recording, starts=[start], span=span, count=count, short_side=short_side)
    return frames


def read_clips(
    recording: Recording, *, starts: Sequence[Seconds], span: Seconds, count: int, short_side: int | None = None
) -> Iterator[Frames]:
    """Read several clips in order; the file is opened once, and frames that clips share are decoded once.

    Args:
        recording: Recording with video.
        starts: Rising; each as for `read`.
        span: As for `read`.
        count: As for `read`.
        short_side: As for `read`.

    Raises:
        BrokenMediaError: As for `read`.
    """
    if count < 1 or span < 0:
        raise ValueError(f"read: count={count}, span={span}, expected count >= 1 and span >= 0")
    rules: list[Select] = [partial(select_frames, start=start, span=span, count=count, snap=SNAP) for start in starts]
    for start, clip in zip(starts, _read(recording, starts, span, count, rules, short_side), strict=True):
        snapped = start > 0 and abs(clip.times[0] - start) <= SNAP
        yield replace(clip, start=clip.times[0]) if snapped else clip


def read_times(
    recording: Recording, times: Sequence[Sequence[Seconds]], *, short_side: int | None = None
) -> Iterator[Frames]:
    """Read several clips of the frames displayed at given times, in order, as efficiently as `read_clips`.

    Args:
        recording: Recording with video.
        times: Of each clip, rising; as many for all. The first times of the clips rise too.
        short_side: As for `read`.

    Raises:
        BrokenMediaError: As for `read`.
    """
    rules: list[Select] = [partial(displayed, times=clip) for clip in times]
    span = max(clip[-1] - clip[0] for clip in times)
    yield from _read(recording, [clip[0] for clip in times], span, len(times[0]), rules, short_side)


def _read(
    recording: Recording,
    starts: Sequence[Seconds],
    span: Seconds,
    count: int,
    rules: Sequence[Select],
    short_side: int | None,
) -> Iterator[Frames]:
    """Read clips of ``span`` seconds, or less, each with the frames that its rule selects from those of its time."""
    size = probe(recording)
    width, height = fit_short_side(size.width, size.height, short_side)
    if count * width * height * 3 > MAX_CLIP:
        raise BrokenMediaError(
            f"{printable(recording.path)}: {count} frames of {width} x {height} pixels exceed {MAX_CLIP >> 30} GiB: "
            "read fewer or smaller frames"
        )
    shape, converter, done = (count, height, width, 3), Converter(width, height), 0
    tolerance = _tolerance(recording)
    with decoder_errors(recording.path):
        if not recording.path.is_dir():
            info = _info(recording)
            with closing(VideoStream(recording.path)) as video, suppress(UnplannedError):
                for group in groups(starts, span):
                    since, stop = _tick(info, group[0]), _tick(info, group[-1] + SNAP + span + 2 * tolerance)
                    packets = read_packets(video, since if since > info.origin else None, stop)
                    if packets.at_end and group[-1] > info.seconds:
                        raise UnplannedError  # the file may be truncated
                    timed = [((tick - info.origin) * info.tick, tick) for tick in packets.ticks]
                    clips = [list(select(timed, tolerance=tolerance)) for select in rules[done : done + len(group)]]
                    for clip, pixels in zip(clips, read_planned(video, packets, clips, converter), strict=True):
                        yield Frames(pixels=pixels, times=tuple(time for time, _ in clip), start=starts[done])
                        done += 1
        for start, select in zip(starts[done:], rules[done:], strict=True):
            with closing(_frames(recording, start)) as frames:
                pixels, times = _to_rgb(select(frames, tolerance=tolerance), converter, np.empty(shape, np.uint8))
            yield Frames(pixels=pixels, times=times, start=start)


def stream(
    recording: Recording, *, start: Seconds = 0.0, short_side: int | None = None, square: int | None = None
) -> Iterator[tuple[Seconds, Callable[[], np.ndarray]]]:
    """Decode all frames in order, in constant memory.

    Args:
        recording: Recording with video.
        start: Begin with the frame displayed at this time.
        short_side: Scale larger frames down to this shorter side, in pixels.
        square: Scale frames to a square of this side instead.

    Yields:
        Presentation time, and a function that converts the frame to RGB: (H, W, 3) uint8.

    Raises:
        BrokenMediaError: The recording cannot be opened, has no video, or does not decode.
    """
    size = probe(recording)
    width, height = (square, square) if square else fit_short_side(size.width, size.height, short_side)
    converter = Converter(width, height)
    with decoder_errors(recording.path), closing(_frames(recording, start)) as frames:
        for time, decode in frames:
            yield time, partial(_convert, converter, decode)


def _convert(converter: Converter, decode: Callable[[], Any]) -> np.ndarray:
    return converter.rgb(decode())


def _to_rgb(
    frames: Iterator[TimedFrame], converter: Converter, pixels: np.ndarray
) -> tuple[np.ndarray, tuple[Seconds, ...]]:
    times: list[Seconds] = []
    for index, (time, decode) in enumerate(frames):
        repeated = times and time == times[-1]
        pixels[index] = pixels[index - 1] if repeated else converter.rgb(decode())
        times.append(time)
    return pixels, tuple(times)


def _frames(recording: Recording, start: Seconds) -> Generator[TimedFrame, None, None]:
    """Yield frames, beginning with the one displayed at ``start`` or before it."""
    if recording.fps is not None and recording.path.is_dir():
        return _image_frames(list_images(recording.path), recording.fps, start)
    return _video_frames(recording, _info(recording), start)


def _tick(info: VideoInfo, time: Seconds) -> int:
    return info.origin + floor(time / info.tick)


def _image_frames(images: ImageFolder, fps: float, start: Seconds) -> Generator[TimedFrame, None, None]:
    for index in range(min(max(0, floor(start * fps) - 1), images.count - 1), images.count):
        yield index / fps, partial(decode_image, images.path(index))


def _video_frames(recording: Recording, info: VideoInfo, start: Seconds) -> Generator[TimedFrame, None, None]:
    with closing(VideoStream(recording.path)) as video:
        since = _tick(info, start)
        last = -inf
        for ticks, frame in video.frames(since if since > info.origin else None):
            last = (ticks - info.origin) * info.tick
            yield last, partial(_identity, frame)
        expected = info.header_seconds or 0.0
        if last == -inf or info.seconds + HEADER_TOLERANCE < start < expected - HEADER_TOLERANCE:
            raise video.error(
                f"truncated: nothing decodes at {start:.2f} s; the header states {expected:.2f} s, the file contains "
                f"{info.seconds:.2f} s: fetch it again"
            )


def _identity(frame: Any) -> Any:
    return frame


def _tolerance(recording: Recording) -> Seconds:
    if recording.fps is not None and recording.path.is_dir():
        return TOLERANCE
    # Rounded timestamps are off by half a tick at most. Longer ticks are whole frames, and not rounded.
    return min(max(TOLERANCE, 0.51 * _info(recording).tick), MAX_TOLERANCE)


@lru_cache(maxsize=1 << 16)
def _info(recording: Recording) -> VideoInfo:
    return video_info(recording.path)
