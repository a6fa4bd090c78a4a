"""Frames of a stream or a camera, decoded with PyAV as they arrive, and scaled to the size that a model reads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import av
import numpy as np

from slowfast_cli.media.network_stream import Connection, hide_password, scheme
from slowfast_cli.media.reconnect import reconnecting
from slowfast_cli.media.video_rgb import Converter, display_size, fit_short_side
from slowfast_cli.media.video_stream import NoVideoError
from slowfast_cli.types import Seconds, UsageError

CAMERA = "cam:"
USUAL: Seconds = 1 / 25  # between frames, where timestamps do not say
LONGEST: Seconds = 10.0  # between frames: more is a jump of the timestamps


def camera_input(word: str) -> tuple[str, str]:
    """FFmpeg's name and input format of a camera such as ``cam:0``.

    Raises:
        UsageError: It is no number, or the installed PyAV reads no cameras.
    """
    number = word.removeprefix(CAMERA)
    if not number.isdigit():
        raise UsageError(f"{word}: expected the number of a camera, as cam:0")
    file, format = {"darwin": (number, "avfoundation"), "win32": (f"video={number}", "dshow")}.get(
        sys.platform, (f"/dev/video{number}", "v4l2")
    )
    if not {format, f"video4linux2,{format}"} & set(av.formats_available):
        raise UsageError(
            f"{word}: the FFmpeg of the installed PyAV {av.__version__} has no {format}, which reads cameras: build "
            "PyAV against the system's FFmpeg (pip install --no-binary av av), or serve the camera as a stream (rtsp://)"
        )
    return file, format


class FrameStream:
    """The frames of a camera (``cam:0``), a stream (rtsp, http) or a pipe.

    Args:
        word: Names it.
        short_side: Larger frames are scaled down to this shorter side, in pixels.
        say: Prints a remark.

    Raises:
        UsageError: The camera cannot be read.
    """

    def __init__(self, word: str, short_side: int, say: Callable[[str], None]) -> None:
        self.name, self._side, self._say = hide_password(word), short_side, say
        self._where = camera_input(word) if word.startswith(CAMERA) else (word, "")
        self.live: bool | None = True if self._where[1] or scheme(word).startswith("rtsp") else None
        self._connection: Connection | None = None
        self._closed = Event()
        self._newest: Seconds = -USUAL

    def blocks(self, rate: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield frames (H, W, 3), uint8, with their time since the first one in units of 1 / ``rate`` seconds.

        A pause without connection is left out of the times.

        Raises:
            DataError: The stream has no video.
            StreamError: It cannot be reached, or not any more.
        """
        return reconnecting(lambda: self._connect(rate), self.name, self._say, self._closed)

    def _connect(self, rate: int) -> Iterator[tuple[int, np.ndarray]]:
        file, format = self._where
        connection = self._connection = Connection(file, self.name, format)
        with connection.open() as container:
            stream: Any = container.streams.best("video")
            if stream is None or stream.codec_context is None:
                raise NoVideoError(f"{self.name}: no video that FFmpeg decodes in this {container.format.name} stream")
            converter, before = Converter(0, 0), None
            for frame in connection.decode(container, stream, self._closed):
                size = fit_short_side(*display_size(frame), self._side)
                if (converter.width, converter.height) != size:
                    converter = Converter(*size)
                passed = USUAL if before is None or frame.time is None else frame.time - before
                before = frame.time
                self._newest += passed if 0 < passed <= LONGEST else USUAL
                yield round(self._newest * rate), converter.rgb(frame)
        connection.require_end()

    def close(self) -> None:
        """End `blocks`, from another thread."""
        self._closed.set()
        if self._connection is not None:
            self._connection.interrupt()
