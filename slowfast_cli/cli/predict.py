"""``slowfast predict``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slowfast_cli.cli import options
from slowfast_cli.cli.launch import Launch
from slowfast_cli.cli.predict_events import MergeOptions, OutputOptions, pick_checked
from slowfast_cli.cli.predict_live import LiveOptions, is_live, predict_live
from slowfast_cli.cli.predict_pictures import check_explain, check_overlay, check_plot
from slowfast_cli.cli.predict_weights import load_predictor
from slowfast_cli.types import VIDEO_SUFFIXES, DataError, UsageError

if TYPE_CHECKING:
    from slowfast_cli.cli.show_predictions import Best
    from slowfast_cli.stages.predict.overlay import Caption
    from slowfast_cli.stages.predict.predictor import Predictor
    from slowfast_cli.stages.predict.results import Failed, FilePrediction, Timeline

EPILOG = options.examples(
    "slowfast predict clip.wav",
    "slowfast predict sounds/ 'more/*.mp4' --json",
    "slowfast predict day.flac --timeline 2.0/0.5 --csv day.csv --plot day.png",
    "slowfast predict field/ --events --format csv,raven,elan --out found --clock",
    "find . -name '*.ogg' | slowfast predict -",
    "arecord -t raw -f S16_LE -r 16000 | slowfast predict - --pcm s16le@16000 --json",
    "slowfast predict clip.wav --explain why.png",
    "slowfast predict clip.mp4 -w runs/kinetics/default --timeline 2/1 --overlay out.mp4",
    "slowfast predict film.mp4 -w runs/ava/default --boxes persons.csv --json",
)
LOW = 0.5  # below this top score the model may not know the class at all


@options.takes(MergeOptions, OutputOptions, LiveOptions)
def predict(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...", help="Files, folders, globs, a list.txt, or - for paths on stdin.", show_default=False
        ),
    ],
    weights: options.Weights = None,
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="Number of classes to print.")] = 5,
    timeline: Annotated[
        str | None,
        typer.Option(metavar="WINDOW/HOP", help="Predict sliding windows, in seconds, as 2.0/0.5.", show_default=False),
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Boxes to classify, for weights such as AVA's: a CSV file with the columns time,x1,y1,x2,y2, in "
            "fractions of the frame or in pixels, and path for several files; or a list in AVA's format. Without it "
            "these weights classify the whole frame, every second.",
            show_default=False,
        ),
    ] = None,
    overlay: Annotated[
        Path | None,
        typer.Option(metavar="OUT.mp4", help="Write the video with the predictions drawn in.", show_default=False),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.png",
            help="With --timeline: draw the scores of one recording below its spectrogram.",
            show_default=False,
        ),
    ] = None,
    explain: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.png", help="Draw which parts of one file speak for its class (Grad-CAM).", show_default=False
        ),
    ] = None,
    explain_class: Annotated[
        str | None, typer.Option(metavar="NAME", help="Class that --explain is about.", show_default="the best one")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines on stdout.")] = False,
    csv_file: Annotated[Path | None, options.optional("Also write the predictions to a CSV file.", "--csv")] = None,
    device: options.Device = "auto",
    precision: Annotated[
        str, typer.Option(help="fp32, or bf16: up to twice as fast on processors that have it, scores within 0.02.")
    ] = "fp32",
    engine: options.Engine = "auto",
    offline: options.Offline = False,
    **given: Any,
) -> None:
    """Print the top classes of audio files, or of videos for weights that read frames."""
    from slowfast_cli.stages.predict.results import read_timeline

    windows = read_timeline(timeline)
    load = partial(
        load_predictor, weights or "", device, precision, boxes, engine=engine, sources=sources, offline=offline
    )
    if is_live(sources, given):
        files_only = {"boxes": boxes, "overlay": overlay, "plot": plot, "explain": explain, "csv_file": csv_file}
        files_only["explain_class"] = explain_class  # type: ignore[assignment]
        predict_live(sources, load, windows, top=top, as_json=as_json, **files_only, **given)
        return
    rules, output = pick_checked(given)
    if boxes is not None and windows is not None:
        raise UsageError("--boxes and --timeline: boxes have their own times: give one of the two")
    from slowfast_cli.cli import show_predictions
    from slowfast_cli.cli.predict_events import predict_events
    from slowfast_cli.stages.predict.sources import sources as expand

    Launch(gpus=output.gpus).start()
    predictor = load()
    paths = expand(sources, sys.stdin, predictor.suffixes)
    predictor.check(paths)
    show_predictions.require_csv(csv_file, boxes=predictor.detects)
    check_overlay(overlay, paths)
    check_plot(plot, paths, windows)
    check_explain(explain, explain_class, paths, predictor.card.classes)
    if explain is not None:
        _refuse_exported(predictor)
    state = _State(predictor=predictor, top=top, overlay=overlay is not None, plot=plot is not None)
    if rules.events or output.wanted:
        _refuse_beside_events(
            predictor, {"--csv": csv_file, "--overlay": overlay, "--plot": plot, "--explain": explain}
        )
        predict_events(predictor, predictor.weights, paths, windows, rules, output, as_json=as_json, fail=state.fail)
    else:
        with show_predictions.csv_file(csv_file, boxes=predictor.detects) as writer:
            _predict_classes(state, paths, windows, writer, as_json=as_json)
    state.finish(len(paths), advises=not as_json, chosen=weights is not None)
    _draw(paths, overlay, plot, state)
    _explain(predictor, paths, explain, explain_class)


def _refuse_exported(predictor: Predictor) -> None:
    """Refuse to explain an exported file, which has no gradients."""
    if predictor.is_exported:
        raise UsageError("--explain: an exported file has no gradients: name the weights that it was made of")


def _refuse_beside_events(predictor: Predictor, others: dict[str, Path | None]) -> None:
    """Refuse options that events do not have, instead of ignoring them."""
    if given := [name for name, value in others.items() if value is not None]:
        raise UsageError(f"{given[0]}: not together with --events, --format, --out or --clock: run the command twice")
    if predictor.detects:
        raise UsageError("--events: these weights classify boxes, which are no events: leave it out")


def _predict_classes(
    state: _State, paths: Sequence[Path | Failed], windows: Timeline | None, writer: Any, *, as_json: bool
) -> None:
    """Print the best classes of each file or window, and write them to a CSV file if there is a writer."""
    from slowfast_cli.cli import show, show_predictions
    from slowfast_cli.stages.predict.results import Failed

    predictor = state.predictor
    for result in show.progress(predictor.files(paths, windows), len(paths), "predict"):
        if isinstance(result, Failed):
            show.say(f"error: {result.reason}")
            state.fail(result)
            continue
        best, unknown = state.best(result), predictor.unknown(result)
        if as_json:
            show_predictions.as_json(result, best, unknown)
        else:
            none = show_predictions.none_of(predictor.card, best, unknown)
            show_predictions.as_text(result, best, none, many=len(paths) > 1, slides=windows is not None)
        if writer:
            writer.writerows(show_predictions.rows(result, best))


@dataclass
class _State:
    """Results of the files predicted so far."""

    predictor: Predictor
    top: int
    overlay: bool  # whether to collect captions
    plot: bool  # whether to collect windows
    failed: int = 0
    mute: Path | None = None  # a video without audio, which an audio-only model cannot use
    low: bool = False  # a top score was low, or an answer none of the classes
    has_audio: dict[Path, bool] = field(default_factory=dict)
    captions: list[Caption] = field(default_factory=list)
    windows: list[FilePrediction] = field(default_factory=list)

    def fail(self, failed: Failed) -> None:
        """Count a file that could not be used."""
        self.failed += 1
        if failed.no_audio and failed.path.suffix.lower() in VIDEO_SUFFIXES:
            self.mute = failed.path

    def best(self, prediction: FilePrediction) -> Best:
        """Record a prediction and return its best classes."""
        from slowfast_cli.cli import show
        from slowfast_cli.cli.show_predictions import caption

        best = self.predictor.top(prediction, self.top)
        # With sigmoid outputs a low score for every class is a valid prediction.
        low = not self.predictor.card.sigmoid and any(best[labels][0].score < LOW for labels in prediction.scores)
        self.low = self.low or low or bool(self.predictor.unknown(prediction))
        if prediction.note and prediction.path not in self.has_audio:
            show.say(f"note: {prediction.note}")
        self.has_audio[prediction.path] = prediction.has_audio
        if self.plot:
            self.windows.append(prediction)
        if self.overlay:
            self.captions.append(caption(prediction, best, source=self._source(prediction)))
        return best

    def _source(self, prediction: FilePrediction) -> str:
        """What a prediction was made from, in words for the overlay."""
        predictor = self.predictor
        heard = bool(predictor.card.front_end) and prediction.has_audio
        return " and ".join(["heard"] * heard + ["seen"] * predictor.reads_frames)

    def finish(self, files: int, *, advises: bool, chosen: bool) -> None:
        """Print remarks on all files; ``chosen`` are weights that the command names.

        Raises:
            DataError: A file could not be used.
        """
        from slowfast_cli.cli import show_predictions

        without_audio = [path for path, has_audio in self.has_audio.items() if not has_audio]
        show_predictions.without_audio(without_audio, len(self.has_audio))
        video = next((path for path in self.has_audio if path.suffix.lower() in VIDEO_SUFFIXES), None)
        if video and advises and not chosen and not self.predictor.reads_frames:
            show_predictions.heard_only(video)
        if self.mute and advises:
            show_predictions.not_heard(self.mute)
        if self.low and advises:
            show_predictions.unsure(self.predictor.card, looks=self.predictor.reads_frames)
        if self.failed:
            many = f"{self.failed} of {files} files could not be used"
            raise DataError(many if files > 1 else "the file could not be used")


def _explain(predictor: Predictor, paths: Sequence[Path | Failed], out: Path | None, name: str | None) -> None:
    if out is None:
        return
    from slowfast_cli.cli import show
    from slowfast_cli.cli.show_predictions import name as path_name
    from slowfast_cli.stages.predict import explain as stage

    for path in paths:
        if isinstance(path, Path):
            seconds = predictor.card.clip_seconds
            stage.draw(stage.explain(predictor, path, name), path, out, seconds=seconds)
            show.say(f"drawn: {path_name(out.absolute())}")


def _draw(paths: Sequence[Path | Failed], overlay: Path | None, plot: Path | None, state: _State) -> None:
    from slowfast_cli.cli import show
    from slowfast_cli.cli.show_predictions import name

    for path in paths:
        if overlay is not None and isinstance(path, Path):
            from slowfast_cli.stages.predict.overlay import draw

            draw(path, overlay, state.captions, audio_time=not state.predictor.reads_frames)
            show.say(f"drawn: {name(overlay.absolute())}")
    if plot is not None and state.windows:
        from slowfast_cli.stages.predict import timeline_picture

        timeline_picture.draw(state.windows, state.predictor.card.classes, plot)
        show.say(f"drawn: {name(plot.absolute())}")
