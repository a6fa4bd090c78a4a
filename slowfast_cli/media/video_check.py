"""Whether every picture of a recording decodes: a video file, or a folder of pictures."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import av

from slowfast_cli.media import video
from slowfast_cli.media.image_folder import decoded, pictures
from slowfast_cli.media.video_probe import SLACK
from slowfast_cli.media.video_stream import VideoStream
from slowfast_cli.types import BrokenMediaError, Recording, Seconds

WHOLE_FILE = frozenset({"matroska", "webm", "flv"})  # their headers give the length of the longest stream only


def has_pictures(recording: Recording) -> bool:
    """Whether there is something to see: a folder, or a file with a video stream that is no cover."""
    if recording.path.is_dir():
        return True
    try:
        with closing(VideoStream(recording.path)):
            return True
    except BrokenMediaError:
        return False


def watched(recording: Recording) -> Seconds:
    """Decode every picture from the first to the last, one at a time: memory does not grow with the length.

    A header that says more than there is gives truncated files away: of MP4 and MOV, AVI, Matroska and WebM, and FLV.
    MPEG and ASF say nothing, and a file of theirs that was cut off is a shorter one.

    Returns:
        Seconds from the first picture to the end of the last.

    Raises:
        BrokenMediaError: It cannot be opened, has no video, is truncated, or more than a few pictures do not decode.
    """
    video.read(recording, start=0, span=0, count=1)  # the pixels convert to RGB
    if recording.fps is not None and recording.path.is_dir():
        found = pictures(recording.path)
        for index in range(found.count):
            decoded(found.path(index))
        return found.count / recording.fps
    with closing(VideoStream(recording.path)) as stream:
        first = end = None
        for ticks, frame in stream.frames():
            first, end = ticks if first is None else first, ticks + (frame.duration or stream.step)
        if first is None or end is None:
            raise stream.broken("no frame decodes: the file is truncated or holds no video: fetch it again")
        seconds = (end - first) * stream.tick
        promised = _promised(stream)
        if _short(seconds, promised) and not _goes_on(stream, recording.path, promised):
            raise stream.broken(
                f"truncated: its header says {promised:.2f} s, {seconds:.2f} s of pictures decode: fetch it again"
            )
    return seconds


def _promised(stream: VideoStream) -> Seconds:
    """How long the header says that the video is; 0 where headers of its kind do not tell."""
    kinds = set(stream.container.format.name.split(","))
    if "mov" in kinds:
        return float((stream.stream.duration or 0) * stream.tick)
    if "avi" in kinds:  # FFmpeg cuts the length to what is in the file, the number of frames it leaves
        return float(stream.stream.frames * stream.step * stream.tick)
    return float(stream.container.duration or 0) / av.time_base if kinds & WHOLE_FILE else 0.0


def _short(seconds: Seconds, promised: Seconds) -> bool:
    return promised - seconds > max(SLACK, 0.01 * promised)


def _goes_on(stream: VideoStream, path: Path, promised: Seconds) -> bool:
    """Whether another stream of the file, such as its sound, reaches the end that the header gives for all of them."""
    if not WHOLE_FILE & set(stream.container.format.name.split(",")):
        return False
    ends = [0.0]
    # A second look at the file, as the first one passed over the other streams.
    with path.open("rb") as raw, av.open(raw, metadata_errors="replace") as container:
        try:
            for packet in container.demux():
                if packet.size and packet.pts is not None:
                    ends.append(float((packet.pts + (packet.duration or 0)) * packet.time_base))
        except av.FFmpegError:  # a broken tail
            pass
    return not _short(max(ends), promised)
