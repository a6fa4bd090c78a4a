"""Open the live source that a word of the command line names."""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from slowfast_cli.media.microphone import Microphone
from slowfast_cli.media.network_stream import NetworkStream, scheme, states_length
from slowfast_cli.media.pcm import open_pcm, read_format
from slowfast_cli.stages.predict.live import LiveSource
from slowfast_cli.types import DataError, StreamError, UsageError

MICROPHONE = "mic:"


def names_live(word: str) -> bool:
    """Whether a word names a source that does not end: a microphone, RTSP, or HTTP without a stated length."""
    if word.startswith(MICROPHONE) or scheme(word).startswith("rtsp"):
        return True
    if scheme(word) not in ("http", "https"):
        return False
    try:
        return not states_length(word)
    except StreamError:  # reported where the file is fetched
        return False


def open_live(word: str, pcm: str | None, stdin: BinaryIO | None, say: Callable[[str], None]) -> LiveSource:
    """Open a live source.

    Args:
        word: ``mic:``, ``mic:DEVICE``, a URL (http, https, rtsp, rtsps), or the path of a named pipe, a device or a
            file; with ``pcm`` also ``-``.
        pcm: Format of raw samples, as ``s16le@16000``; None if the source has a format that FFmpeg recognizes.
        stdin: Stream that ``-`` reads; None if it is closed.
        say: Prints a remark.

    Raises:
        UsageError: The format is malformed or missing, standard input is closed, or there is no such device.
        DataError: The source cannot be opened.
    """
    if pcm is not None:
        format = read_format(pcm)
        if word.startswith(MICROPHONE) or scheme(word):
            raise UsageError(
                f"--pcm {pcm}: is about raw samples from - or a file, and {word} has a format: leave it out"
            )
        return open_pcm(word, stdin, format, say)
    if word.startswith(MICROPHONE):
        return Microphone(word.removeprefix(MICROPHONE), say)
    if word == "-":
        raise UsageError("-: name the format of the samples, as --pcm s16le@16000")
    if not scheme(word) and not Path(word).exists():
        raise DataError(f"{word}: no such file or pipe")
    return NetworkStream(word, say)
