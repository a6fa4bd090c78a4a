"""Audio of streams over the network (HTTP, RTSP), or of a pipe with a container, decoded with PyAV as it arrives.

HTTP bodies are read by Python: it knows whether the server ended a body or the connection dropped, which FFmpeg does
not say. FFmpeg reads HLS playlists and RTSP itself.
"""

from __future__ import annotations

import http.client
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import av
import numpy as np

from slowfast_cli.media import audio
from slowfast_cli.media.audio_pyav import audio_stream
from slowfast_cli.media.audio_source import NoAudioError, printable, to_float32
from slowfast_cli.media.reconnect import reconnecting
from slowfast_cli.types import BrokenMediaError, Seconds, StreamError, text_of

TIMEOUT: Seconds = 15.0  # for a connection, and without data
PLAYLIST = ".m3u8"
OPTIONS = {"analyzeduration": "1000000"}  # microseconds of the stream that FFmpeg looks at before it decodes
NETWORK = ("http", "https", "rtsp", "rtsps")


def scheme(word: str) -> str:
    """The scheme of a URL, lower-case; empty for a path.

    >>> scheme("RTSP://camera/1"), scheme("a/b.wav")
    ('rtsp', '')
    """
    head, mark, _ = word.partition("://")
    return head.lower() if mark else ""


class HttpBody:
    """The body of an HTTP response, as a file; `end` says how it ended.

    Raises:
        StreamError: The server cannot be reached, or refuses.
    """

    def __init__(self, url: str, name: str) -> None:
        self._name = name
        request = urllib.request.Request(url, headers={"User-Agent": "slowfast", "Accept": "*/*"})
        try:
            self._response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            raise StreamError(f"{name}: the server answers {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise StreamError(f"{name}: cannot be reached ({text_of(reason) if reason else error})") from error
        self.endless = self._response.length is None
        """Whether the server does not state a length."""
        self.dropped = ""
        """Why the body is incomplete; empty if the server ended it."""

    def read(self, size: int) -> bytes:
        """Read what has arrived, at most ``size`` bytes; empty at the end."""
        try:
            data = self._response.read1(size)
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            self.dropped = text_of(error)
            return b""
        if not data and not self._complete():
            self.dropped = "the server closed the connection"
        return data

    def _complete(self) -> bool:
        """Whether the server ended the body: its last chunk, or all of the bytes that it stated."""
        chunked = bool(getattr(self._response, "chunked", False))
        return chunked or self._response.length == 0

    def close(self) -> None:
        """Close the connection; not while another thread reads."""
        with suppress(OSError):
            self._response.close()

    def interrupt(self) -> None:
        """End a read in another thread."""
        raw = getattr(getattr(self._response, "fp", None), "raw", None)
        connection = getattr(raw, "_sock", None)
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def states_length(url: str) -> bool:
    """Whether an HTTP server states the length of what a URL names, as of a file.

    Raises:
        StreamError: The server cannot be reached, or refuses.
    """
    body = HttpBody(url, url)
    body.close()
    return not body.endless


class Connection:
    """One connection to a stream, a pipe or a device.

    Args:
        word: A URL (http, https, rtsp, rtsps), a path, or FFmpeg's name of a device.
        name: For messages.
        format: FFmpeg's input format of a device; empty for all others.
    """

    def __init__(self, word: str, name: str, format: str = "") -> None:
        self._word, self._name, self._format = word, name, format
        self._scheme = scheme(word)
        self._endless = self._scheme in NETWORK or bool(format)
        self._body: HttpBody | None = None

    def open(self) -> Any:
        """Open the container.

        Raises:
            StreamError: It cannot be reached.
            BrokenMediaError: FFmpeg does not recognize it.
        """
        target: Any = self._word
        options = dict(OPTIONS)
        if self._scheme.startswith("http") and not urlsplit(self._word).path.lower().endswith(PLAYLIST):
            target = self._body = HttpBody(self._word, self._name)
        elif self._scheme.startswith("rtsp"):
            options["rtsp_transport"] = "tcp"
        try:
            return av.open(
                target,
                format=self._format or None,
                options=options,
                timeout=(TIMEOUT, TIMEOUT),
                metadata_errors="replace",
            )
        except (av.FFmpegError, OSError) as error:
            if self._body is not None and self._body.dropped:
                raise StreamError(f"{self._name}: connection lost ({self._body.dropped})") from error
            if self._endless and not isinstance(error, av.InvalidDataError):
                raise StreamError(f"{self._name}: cannot be reached ({_reason(error)})") from error
            raise BrokenMediaError(f"{self._name}: not a stream that FFmpeg supports ({_reason(error)})") from error

    def decode(self, container: Any, stream: Any, closed: Event) -> Iterator[Any]:
        """Yield frames until the end, or a drop; packets that a drop has cut are left out."""
        packets = container.demux(stream)
        while not closed.is_set():
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                if self._body is not None and not self._body.dropped:
                    self._body.dropped = _reason(error)
                return
            if packet is None:
                return
            yield from _decode(packet)

    def require_end(self) -> None:
        """Check, after the last frame, that the sender ended the stream.

        Raises:
            StreamError: The connection dropped, or its protocol does not say.
        """
        if self._body is not None and self._body.dropped:
            raise StreamError(f"{self._name}: connection lost ({self._body.dropped})")
        if self._body is None and self._endless:
            raise StreamError(f"{self._name}: connection lost (the stream ended)")

    def interrupt(self) -> None:
        """End a read in another thread."""
        if self._body is not None:
            self._body.interrupt()


class NetworkStream:
    """The audio of a stream; see `slowfast_cli.stages.predict.live.LiveSource`.

    Args:
        word: A URL (http, https, rtsp, rtsps), or the path of a pipe.
        say: Prints a remark.
    """

    def __init__(self, word: str, say: Callable[[str], None]) -> None:
        self.name, self._word, self._say = hide_password(word), word, say
        self.live: bool | None = True if scheme(word).startswith("rtsp") else None
        self._closed = Event()
        self._connection: Connection | None = None

    def blocks(self, rate: int) -> Iterator[np.ndarray]:
        """See `slowfast_cli.stages.predict.live.LiveSource`."""
        return reconnecting(lambda: self._connect(rate), self.name, self._say, self._closed)

    def _connect(self, rate: int) -> Iterator[np.ndarray]:
        connection = self._connection = Connection(self._word, self.name)
        with connection.open() as container:
            stream = audio_stream(container)
            if stream is None or stream.codec_context is None:
                raise NoAudioError(f"{self.name}: no audio that FFmpeg decodes in this {container.format.name} stream")
            native = int(stream.codec_context.sample_rate or 0)
            frames = connection.decode(container, stream, self._closed)
            yield from audio.resample(self._mono(frames, native), native, rate)
        connection.require_end()

    def _mono(self, frames: Iterator[Any], rate: int) -> Iterator[np.ndarray]:
        for frame in frames:
            if frame.sample_rate != rate:
                raise StreamError(f"{self.name}: the sampling rate changes from {rate} to {frame.sample_rate} Hz")
            values = to_float32(frame.to_ndarray())
            per_channel = values if frame.format.is_planar else values.reshape(frame.samples, -1).T
            yield per_channel.mean(axis=0, dtype=np.float32)

    def close(self) -> None:
        """See `slowfast_cli.stages.predict.live.LiveSource`."""
        self._closed.set()
        if self._connection is not None:
            self._connection.interrupt()


def _decode(packet: Any) -> list[Any]:
    """Frames of a packet; none of one that a drop has cut."""
    try:
        return list(packet.decode())
    except av.FFmpegError:
        return []


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", "") or text_of(error))


def hide_password(word: str) -> str:
    """A URL without its user and password, for messages.

    >>> hide_password("rtsp://me:secret@camera:554/1")
    'rtsp://camera:554/1'
    """
    if not scheme(word):
        return printable(word)
    parts = urlsplit(word)
    return printable(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())
