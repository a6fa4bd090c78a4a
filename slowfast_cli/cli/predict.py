"""``slowfast predict``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slowfast_cli.cli import options
from slowfast_cli.types import DataError, UsageError

if TYPE_CHECKING:
    from slowfast_cli.cli.show_predictions import Best
    from slowfast_cli.stages.predict.overlay import Caption
    from slowfast_cli.stages.predict.predictor import Predictor
    from slowfast_cli.stages.predict.results import Failed, FilePrediction, Timeline

EPILOG = (
    "Examples:  slowfast predict clip.wav  |  slowfast predict sounds/ 'more/*.mp4' --json  |  "
    "slowfast predict day.flac --timeline 2.0/0.5 --csv day.csv  |  find . -name '*.ogg' | slowfast predict -  |  "
    "slowfast predict clip.mp4 -w runs/kinetics/default --timeline 2/1 --overlay out.mp4  |  "
    "slowfast predict film.mp4 -w runs/ava/default --boxes persons.csv --json"
)
LOW = 0.5  # a top score below which a small model may not know the sound at all


def predict(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...", help="Files, folders, globs, a list.txt, or - for paths on stdin.", show_default=False
        ),
    ],
    weights: options.Weights = None,
    top: Annotated[int, typer.Option("--top", "-k", min=1, help="How many classes to print.")] = 5,
    timeline: Annotated[
        str | None,
        typer.Option(metavar="WINDOW/HOP", help="Sliding windows, in seconds, as 2.0/0.5.", show_default=False),
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Boxes to ask a detector about: a csv file with time,x1,y1,x2,y2 (shares of the frame, or pixels; "
            "path for several files), or a list of AVA's. Without it: the whole picture, every second.",
            show_default=False,
        ),
    ] = None,
    overlay: Annotated[
        Path | None,
        typer.Option(metavar="OUT.mp4", help="Write the video with the predictions drawn in.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines on stdout.")] = False,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write the answers to a CSV file as well.", show_default=False)
    ] = None,
    device: options.Device = "auto",
    precision: Annotated[
        str,
        typer.Option(help="fp32, or bf16: up to twice as fast on processors that have it, scores within 0.02."),
    ] = "fp32",
    offline: options.Offline = False,
) -> None:
    """Say what is heard in sounds, and what is seen in videos by weights that look at frames: the top-5 classes."""
    slides = _timeline(timeline)
    if boxes is not None and slides is not None:
        raise UsageError("--boxes and --timeline: boxes come with their own times: give one of the two")
    from slowfast_cli.cli import show_predictions as told
    from slowfast_cli.stages.predict.predictor import PRECISIONS, Predictor
    from slowfast_cli.stages.predict.predictor import sources as find
    from slowfast_cli.stages.predict.results import Failed
    from slowfast_cli.weights.resolve import weight_file

    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision}: {' or '.join(PRECISIONS)}")
    predictor = Predictor(weight_file(weights, offline=offline), device, precision=precision, boxes=boxes)
    paths = find(sources, sys.stdin, predictor.suffixes)
    predictor.check(paths)
    _check_drawn(overlay, paths)
    seen = _Seen(predictor=predictor, top=top, drawn=overlay is not None)
    with told.csv_file(csv_file, boxes=predictor.detects) as rows:
        for answer in predictor.files(paths, slides):
            if isinstance(answer, Failed):
                seen.fail(answer)
                continue
            best = seen.best(answer)
            if as_json:
                told.as_json(answer, best)
            else:
                told.as_text(answer, best, many=len(paths) > 1, slides=slides is not None)
            for line in told.rows(answer, best) if rows else ():
                rows.writerow(line)
    told.without_audio([path for path, heard in seen.heard.items() if not heard], len(seen.heard))
    if seen.low and not as_json:
        told.unsure(predictor.card, looks=predictor.looks)
    if seen.failed:
        raise DataError(
            f"{seen.failed} of {len(paths)} files could not be used" if len(paths) > 1 else "no answer for that file"
        )
    if overlay is not None:
        _draw(paths, overlay, seen)


@dataclass
class _Seen:
    """What has come by so far."""

    predictor: Predictor
    top: int
    drawn: bool
    failed: int = 0
    low: bool = False
    heard: dict[Path, bool] = field(default_factory=dict)
    captions: list[Caption] = field(default_factory=list)

    def fail(self, failed: Failed) -> None:
        """Tell a failure."""
        self.failed += 1
        typer.echo(f"error: {failed.reason}", err=True)

    def best(self, answer: FilePrediction) -> Best:
        """The best classes of an answer."""
        from slowfast_cli.cli import show_predictions as told
        from slowfast_cli.stages.predict.predictor import tops

        card = self.predictor.card
        best = tops(answer, card, self.top)
        # Where each class stands for itself, that none does is an answer too.
        self.low = self.low or (not card.sigmoid and any(best[labels][0].score < LOW for labels in answer.scores))
        self.heard[answer.path] = answer.heard
        if self.drawn:
            self.captions.append(told.caption(answer, best))
        return best


def _timeline(text: str | None) -> Timeline | None:
    if text is None:
        return None
    from slowfast_cli.stages.predict.results import Timeline

    try:
        window, _, hop = text.partition("/")
        return Timeline(window=float(window), hop=float(hop or window))
    except ValueError as error:
        raise UsageError(f"--timeline {text}: two numbers of seconds, WINDOW/HOP, as 2.0/0.5") from error


def _check_drawn(out: Path | None, paths: Sequence[Path | Failed]) -> None:
    if out is None:
        return
    from slowfast_cli.stages.predict.overlay import check

    if len(paths) != 1:
        raise UsageError(f"--overlay {out}: draws over one video, and {len(paths)} files are named: name one")
    if isinstance(paths[0], Path):
        check(paths[0], out)


def _draw(paths: Sequence[Path | Failed], out: Path, seen: _Seen) -> None:
    from slowfast_cli.cli import show
    from slowfast_cli.cli.show_predictions import name
    from slowfast_cli.stages.predict.overlay import draw

    for path in paths:
        if isinstance(path, Path):
            draw(path, out, seen.captions, heard=not seen.predictor.looks)
            show.say(f"drawn: {name(out.absolute())}")
