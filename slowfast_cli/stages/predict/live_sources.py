"""Open the live source that a word of the command line names, and predict it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import BinaryIO

from slowfast_cli.media.live_frames import CAMERA, FrameStream
from slowfast_cli.media.microphone import Microphone
from slowfast_cli.media.network_stream import NetworkStream, scheme, states_length
from slowfast_cli.media.pcm import open_pcm, read_format
from slowfast_cli.stages.predict.live import LivePrediction, LiveSource, listen
from slowfast_cli.stages.predict.live_video import watch
from slowfast_cli.stages.predict.predictor import Predictor
from slowfast_cli.stages.predict.results import Timeline
from slowfast_cli.types import DataError, Seconds, StreamError, UsageError

MICROPHONE = "mic:"


def follow(
    predictor: Predictor, source: LiveSource, timeline: Timeline, *, smooth: Seconds, stop: Event
) -> Iterator[LivePrediction]:
    """Predict a source of `open_live`; see `slowfast_cli.stages.predict.live.listen`."""
    if isinstance(source, FrameStream):
        return watch(predictor.frames, source, timeline, smooth=smooth, stop=stop)
    return listen(predictor, source, timeline, smooth=smooth, stop=stop)


def names_live(word: str) -> bool:
    """Whether a word names a source that does not end: a microphone, a camera, RTSP, HTTP of no stated length."""
    if word.startswith((MICROPHONE, CAMERA)) or scheme(word).startswith("rtsp"):
        return True
    if scheme(word) not in ("http", "https"):
        return False
    try:
        return not states_length(word)
    except StreamError:  # reported where the file is fetched
        return False


def open_live(
    predictor: Predictor, word: str, pcm: str | None, stdin: BinaryIO | None, say: Callable[[str], None]
) -> LiveSource:
    """Open a live source.

    Args:
        predictor: Reads the audio of the source, or its frames.
        word: ``cam:0``, ``mic:``, ``mic:DEVICE``, a URL (http, https, rtsp, rtsps), or the path of a named pipe, a
            device or a file; with ``pcm`` also ``-``.
        pcm: Format of raw samples, as ``s16le@16000``; None if the source has a format that FFmpeg recognizes.
        stdin: Stream that ``-`` reads; None if it is closed.
        say: Prints a remark.

    Raises:
        UsageError: The format is malformed or missing, standard input is closed, or there is no such device.
        DataError: The source cannot be opened.
    """
    if predictor.reads_frames:
        if pcm is not None or word == "-" or word.startswith(MICROPHONE):
            raise UsageError(f"{word}: is sound, and these weights read frames: use weights that read audio only")
        _require(word)
        return FrameStream(word, predictor.frames.short_side, say)
    if word.startswith(CAMERA):
        raise UsageError(f"{word}: has frames only: name weights that read frames, with -w (`slowfast weights ls`)")
    if pcm is not None:
        format = read_format(pcm)
        if word.startswith((MICROPHONE, CAMERA)) or scheme(word):
            raise UsageError(
                f"--pcm {pcm}: is about raw samples from - or a file, and {word} has a format: leave it out"
            )
        return open_pcm(word, stdin, format, say)
    if word.startswith(MICROPHONE):
        return Microphone(word.removeprefix(MICROPHONE), say)
    if word == "-":
        raise UsageError("-: name the format of the samples, as --pcm s16le@16000")
    _require(word)
    return NetworkStream(word, say)


def _require(word: str) -> None:
    if not scheme(word) and not word.startswith(CAMERA) and not Path(word).exists():
        raise DataError(f"{word}: no such file or pipe")
