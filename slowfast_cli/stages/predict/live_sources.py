"""Open the live source that a word of the command line names."""

from collections.abc import Callable
from typing import BinaryIO

from slowfast_cli.media.live_source import LiveSource, open_pcm, read_format


def open_live(word: str, pcm: str | None, stdin: BinaryIO | None, say: Callable[[str], None]) -> LiveSource:
    """Open a live source.

    Args:
        word: ``-``, or the path of a named pipe, a device or a file, of raw samples.
        pcm: Format of raw samples, as ``s16le@16000``.
        stdin: Stream that ``-`` reads; None if it is closed.
        say: Prints a remark.

    Raises:
        UsageError: The format is malformed, or standard input is closed.
        DataError: The source cannot be opened.
    """
    return open_pcm(word, stdin, read_format(pcm or ""), say)
