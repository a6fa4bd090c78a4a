"""Check that every frame of a recording decodes: a video file, or a folder of images."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

from slowfast_cli.media import video
from slowfast_cli.media.decoder_errors import decoder_errors
from slowfast_cli.media.image_folder import decode_image, list_images
from slowfast_cli.media.video_probe import is_short, stated_seconds
from slowfast_cli.media.video_stream import VideoStream
from slowfast_cli.types import BrokenMediaError, Recording, Seconds


def has_frames(recording: Recording) -> bool:
    """Whether a recording has frames: an image folder, or a file with a video stream that is not cover art."""
    if recording.path.is_dir():
        return True
    try:
        with decoder_errors(recording.path), closing(VideoStream(recording.path)):
            return True
    except BrokenMediaError:
        return False


def decode_all(recording: Recording, each: Callable[[Any], None] = lambda frame: None) -> Seconds:
    """Decode every frame in constant memory.

    Truncated MP4, MOV, AVI, Matroska, WebM and FLV files are detected by the length in their headers. MPEG and ASF
    headers have none: a truncated file passes as a shorter one.

    Args:
        recording: Recording with video.
        each: Called with each decoded PyAV frame.

    Returns:
        Seconds from the first frame to the end of the last.

    Raises:
        BrokenMediaError: The recording cannot be opened, has no video, is truncated, or too many frames do not decode.
    """
    video.read(recording, start=0, span=0, count=1)  # checks the conversion to RGB
    if recording.fps is not None and recording.path.is_dir():
        images = list_images(recording.path)
        for index in range(images.count):
            each(decode_image(images.path(index)))
        return images.count / recording.fps
    with decoder_errors(recording.path), closing(VideoStream(recording.path)) as stream:
        first = end = None
        for ticks, frame in stream.frames():
            each(frame)
            first, end = ticks if first is None else first, ticks + (frame.duration or stream.frame_ticks)
        if first is None or end is None:
            raise stream.error("no frame decodes: the file is truncated or contains no video: fetch it again")
        seconds = (end - first) * stream.tick
        expected = stated_seconds(stream)
        if expected is not None and is_short(seconds, expected):
            raise stream.error(
                f"truncated: {seconds:.2f} s of video decode, the header states {expected:.2f} s: fetch it again"
            )
    return seconds
