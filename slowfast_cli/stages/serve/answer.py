"""What the server computes for one upload: the lines of `predict --json`, events, files of events, a picture."""

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from slowfast_cli.events.event import FileEvents
from slowfast_cli.events.formats import FORMATS, record
from slowfast_cli.events.merge import Merging
from slowfast_cli.media import audio, video
from slowfast_cli.plots.canvas import WIDE
from slowfast_cli.stages.predict import timeline_picture
from slowfast_cli.stages.predict.events import default_timeline, events_of, with_thresholds
from slowfast_cli.stages.predict.plain import plain
from slowfast_cli.stages.predict.predictor import Predictor
from slowfast_cli.stages.predict.results import Failed, FilePrediction, Timeline
from slowfast_cli.stages.serve.limits import TooLargeError
from slowfast_cli.stages.serve.request import Answer, Model, Request, hide_folder
from slowfast_cli.types import DataError, Recording, Seconds, SlowFastError, UsageError, finite

NAMES_PATH = ("kaleidoscope", "elan")  # formats that contain an absolute path
WIDTHS = {"wide": WIDE, "narrow": 4.2}  # inches, of the pictures


def describe(predictor: Predictor, name: str) -> Model:
    """Describe the weights of a predictor.

    Raises:
        UsageError: They classify boxes.
    """
    if predictor.detects:
        raise UsageError(f"--weights {name}: classify boxes, and the server whole files: use weights without boxes")
    card = predictor.card
    sets = (*card.classes, *(("action",) if set(card.classes) == {"verb", "noun"} else ()))
    return Model(
        name=name,
        classes={labels: len([one for one in names if one != card.unknown]) for labels, names in card.classes.items()},
        sets=sets,
        timeline=default_timeline(card),
        suffixes=predictor.suffixes,
        reads_frames=predictor.reads_frames,
        formats=tuple(name for name, kind in FORMATS.items() if not kind.module or find_spec(kind.module)),
    )


def answer(predictor: Predictor, request: Request, max_seconds: Seconds) -> Answer:
    """Compute the answer for a file. Paths in it, and in errors, are the name of the file.

    Raises:
        DataError: The file cannot be used.
        TooLargeError: It is longer than ``max_seconds``.
    """
    try:
        return _answer(predictor, request, max_seconds)
    except SlowFastError as error:
        raise type(error)(hide_folder(str(error), request.path)) from error


def _answer(predictor: Predictor, request: Request, max_seconds: Seconds) -> Answer:
    path = request.path
    _require_short(path, max_seconds, reads_frames=predictor.reads_frames)
    windows = request.timeline or (default_timeline(predictor.card) if request.events else None)
    predictions = _predict(predictor, path, windows)
    whole = _predict(predictor, path, None) if request.page and windows else predictions
    found = _find_events(predictor, predictions, windows) if request.events else None
    return Answer(
        lines=_lines(predictor, whole, request.top),
        events=[finite(record(found, event)) for event in found.events] if found else (),
        files={name: _encode(name, found) for name in request.formats} if found else {},
        pictures=_pictures(predictor, predictions) if request.page else {},
        remarks=_remarks(whole[0]),
    )


def _require_short(path: Path, most: Seconds, *, reads_frames: bool) -> None:
    recording = Recording(id=str(path), path=path)
    try:
        seconds = (video if reads_frames else audio).probe(recording).seconds
    except DataError:  # the prediction says what is wrong
        return
    if seconds > most:
        raise TooLargeError(
            f"{path.name}: {seconds:.0f} s long, expected at most {most:g} s: cut it, or raise --max-seconds on the "
            "server"
        )


def _predict(predictor: Predictor, path: Path, windows: Timeline | None) -> list[FilePrediction]:
    predictions = []
    for result in predictor.files([path], windows):
        if isinstance(result, Failed):
            raise DataError(result.reason)
        predictions.append(result)
    return predictions


def _lines(predictor: Predictor, predictions: Sequence[FilePrediction], top: int) -> list[dict[str, Any]]:
    return [
        plain(replace(prediction, path=Path(prediction.path.name)), labels, lines, predictor.unknown(prediction))
        for prediction in predictions
        for labels, lines in predictor.top(prediction, top).items()
    ]


def _find_events(
    predictor: Predictor, predictions: Sequence[FilePrediction], windows: Timeline | None
) -> FileEvents | None:
    merging = with_thresholds(Merging(), predictor.card, None)
    for found in events_of(predictions, predictor.card, merging, windows):
        if isinstance(found, FileEvents):
            return replace(found, path=Path(found.path.name))
    return None


def _encode(name: str, found: FileEvents) -> bytes:
    """A file of the events; in formats that contain an absolute path the file lies in the root folder."""
    if name in NAMES_PATH:
        found = replace(found, path=Path("/", found.path.name))
    return FORMATS[name].encode([found], {})


def _pictures(predictor: Predictor, predictions: Sequence[FilePrediction]) -> dict[str, bytes]:
    out = predictions[0].path.with_name("timeline.png")
    classes, pictures = predictor.card.classes, {}
    for name, inches in WIDTHS.items():
        timeline_picture.draw(predictions, classes, out, frames=predictor.reads_frames, width=inches)
        pictures[name] = out.read_bytes()
    return pictures


def _remarks(prediction: FilePrediction) -> list[str]:
    remarks = [hide_folder(prediction.note, prediction.path)] if prediction.note else []
    if not prediction.has_audio:
        remarks.append("The file has no audio: recognized by its frames alone, although this model reads audio too.")
    return remarks
