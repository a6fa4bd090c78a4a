"""``slowfast predict`` on sources that arrive while they are predicted."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slowfast_cli.cli import options
from slowfast_cli.types import UsageError, finite

if TYPE_CHECKING:
    from slowfast_cli.stages.predict.live import LivePrediction, LiveSource
    from slowfast_cli.stages.predict.predictor import Predictor
    from slowfast_cli.stages.predict.results import Timeline

LONGEST_SMOOTHING = 3600  # seconds: the scores of its windows are in memory
# Options of predict that a live source refuses, by parameter.
FILES_ONLY = (
    "boxes", "overlay", "plot", "explain", "explain_class", "csv_file", "events", "threshold", "max_gap", "min_length",
    "out", "clock", "low", "event_score", "gpus",
)  # fmt: skip
UNSET = {"gpus": 1}  # defaults that are not empty
FLAGS = {"csv_file": "--csv"}


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """Options of live sources."""

    pcm: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT@RATE",
            help="Predict raw samples from stdin (-) or a named pipe as they arrive: s16le@16000, f32le@48000x2.",
            show_default=False,
            rich_help_panel="Live",
        ),
    ] = None
    live: Annotated[
        bool,
        typer.Option(
            "--live",
            help="Predict a URL or a named pipe as it arrives; mic:, mic:DEVICE, cam:0, rtsp:// and endless HTTP "
            "streams need no option.",
            rich_help_panel="Live",
        ),
    ] = False


def is_live(sources: Sequence[str], given: Mapping[str, Any]) -> bool:
    """Whether a command line names a live source."""
    live = options.pick(LiveOptions, given)
    if live.pcm is not None or live.live:
        return True
    if not any(":" in word for word in sources):  # files: nothing to import
        return False
    from slowfast_cli.stages.predict.live_sources import names_live

    return any(map(names_live, sources))


def predict_live(
    sources: Sequence[str],
    make: Callable[[], Predictor],
    windows: Timeline | None,
    *,
    top: int,
    as_json: bool,
    **given: Any,
) -> None:
    """Print the best classes of each window of a live source, until it ends or a signal stops it.

    Args:
        sources: The source.
        make: Loads the weights, once the options are checked.
        windows: Of the rolling prediction; None for clips, a tenth apart.
        top: Number of classes.
        as_json: Print JSON lines.
        given: The other options of the command.

    Raises:
        UsageError: The options do not go together, or the weights do not fit the source.
        DataError: The source cannot be read.
        KeyboardInterrupt: A signal stopped it; the window in progress was printed.
    """
    _check(sources, given)
    from slowfast_cli.cli import show
    from slowfast_cli.stages.predict.live_sources import open_live

    live = options.pick(LiveOptions, given)
    predictor = make()
    source = open_live(predictor, sources[0], live.pcm, getattr(sys.stdin, "buffer", None), show.say)
    try:
        _print_windows(source, predictor, windows, top=top, as_json=as_json, smooth=given["smooth"] or 0.0)
    finally:
        source.close()


def _check(sources: Sequence[str], given: Mapping[str, Any]) -> None:
    if len(sources) != 1:
        raise UsageError(f"{len(sources)} sources: a live source is predicted alone: name one")
    for name in FILES_ONLY:
        if given[name] not in (None, False, 0, UNSET.get(name)):
            flag = FLAGS.get(name, f"--{name.replace('_', '-')}")
            raise UsageError(f"{flag}: is about files, and {sources[0]} is a live source: leave it out")
    if given["formats"] not in ("table", "json"):
        raise UsageError(f"--format {given['formats']}: is about files; a live source prints lines, or --json")
    if (given["smooth"] or 0.0) > LONGEST_SMOOTHING:
        raise UsageError(f"--smooth {given['smooth']:g}: expected at most {LONGEST_SMOOTHING} seconds")


def _print_windows(
    source: LiveSource, predictor: Predictor, windows: Timeline | None, *, top: int, as_json: bool, smooth: float
) -> None:
    from slowfast_cli.cli import show
    from slowfast_cli.stages.predict.events import default_timeline
    from slowfast_cli.stages.predict.live_sources import follow

    timeline = windows or default_timeline(predictor.card)
    show.say(f"{source.name}: windows of {timeline.window:g} s every {timeline.hop:g} s; Ctrl-C stops")
    printed = skipped = 0
    with _signals() as stop:
        for live in follow(predictor, source, timeline, smooth=smooth, stop=stop):
            if live.skipped and not skipped:
                show.say(
                    f"note: {source.name}: prediction is slower than the source: windows are skipped; lengthen the hop "
                    f"(--timeline {timeline.window:g}/{2 * timeline.hop:g}), or use smaller weights"
                )
            skipped += live.skipped
            printed += 1
            _print(source.name, live, predictor, top=top, as_json=as_json)
        if skipped or stop.is_set():
            show.say(f"{'stopped' if stop.is_set() else 'ended'}: {printed} windows predicted, {skipped} skipped")
        if stop.is_set():
            raise KeyboardInterrupt


def _print(name: str, live: LivePrediction, predictor: Predictor, *, top: int, as_json: bool) -> None:
    from slowfast_cli.cli import show_predictions

    best, unknown = predictor.top(live.prediction, top), predictor.unknown(live.prediction)
    if not as_json:
        none = show_predictions.none_of(predictor.card, best, unknown)
        show_predictions.as_text(live.prediction, best, none, many=False, slides=True)
        return
    for plain in show_predictions.records(live.prediction, best, unknown):
        latency = live.latency
        ended = datetime.now().astimezone() - timedelta(seconds=latency)
        more = {
            "path": name,
            "clock_end": ended.isoformat(timespec="milliseconds"),
            "latency_ms": round(1000 * latency, 1),
        }
        typer.echo(json.dumps(finite({**plain, **more}), ensure_ascii=False, allow_nan=False))


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """The event that SIGINT and SIGTERM set; a second signal acts at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def request(*_: object) -> None:
        stop.set()
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        restore()
