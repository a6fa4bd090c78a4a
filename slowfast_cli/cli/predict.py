"""``slowfast predict``."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slowfast_cli.cli import options
from slowfast_cli.types import DataError, SlowFastError, UsageError

if TYPE_CHECKING:
    from slowfast_cli.stages.predict import Answer, Predictor, Timeline, Top

EPILOG = (
    "Examples:  slowfast predict clip.wav  |  slowfast predict sounds/ 'more/*.mp4' --json  |  "
    "slowfast predict day.flac --timeline 2.0/0.5 --csv day.csv  |  find . -name '*.ogg' | slowfast predict -"
)
LOW = 0.5  # a top score below which a small model may not know the sound at all
FEW = 50  # classes of a small model
COLUMNS = ("path", "start", "end", "set", "rank", "label", "index", "score")


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
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines on stdout.")] = False,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write the answers to a CSV file as well.", show_default=False)
    ] = None,
    device: options.Device = "auto",
    offline: options.Offline = False,
) -> None:
    """Say what is heard in sound files and in the sound of videos: the top-5 classes."""
    slides = _timeline(timeline)
    from slowfast_cli.stages.obtain import weight_file
    from slowfast_cli.stages.predict import Failed, Predictor, tops
    from slowfast_cli.stages.predict import sources as find

    predictor = Predictor(weight_file(weights, offline=offline), device)
    failed = done = 0
    low = False
    paths = find(sources, sys.stdin)
    with _csv(csv_file) as rows:
        for answer in predictor.files(paths, slides):
            if isinstance(answer, Failed):
                failed += 1
                typer.echo(f"error: {answer.reason}", err=True)
                continue
            done += 1
            best = tops(answer, predictor.card, top)
            low = low or any(best[labels][0].score < LOW for labels in answer.scores)
            _print(answer, best, as_json=as_json, many=len(paths) > 1, slides=slides is not None)
            for line in _lines(answer, best) if rows else ():
                rows.writerow(line)
    if low and not as_json:
        _unsure(predictor)
    if failed:
        raise DataError(
            f"{failed} of {len(paths)} files could not be used" if len(paths) > 1 else "no answer for that file"
        )


def _timeline(text: str | None) -> Timeline | None:
    if text is None:
        return None
    from slowfast_cli.stages.predict import Timeline

    try:
        window, _, hop = text.partition("/")
        return Timeline(window=float(window), hop=float(hop or window))
    except ValueError as error:
        raise UsageError(f"--timeline {text}: two numbers of seconds, WINDOW/HOP, as 2.0/0.5") from error


def _print(answer: Answer, best: dict[str, list[Top]], *, as_json: bool, many: bool, slides: bool) -> None:
    if as_json:
        for labels, lines in best.items():
            typer.echo(json.dumps(_plain(answer, labels, lines), ensure_ascii=False))
        return
    from slowfast_cli.cli import show

    place = f"{answer.start:.2f}-{answer.end:.2f} s" if slides else ""
    if slides:  # a line a window: a long recording has thousands
        told = "; ".join(", ".join(f"{line.label} {line.score:.0%}" for line in lines[:3]) for lines in best.values())
        show.out.print(f"{_name(answer) + '  ' if many else ''}{place}  {told}", soft_wrap=True, markup=False)
        return
    for labels, lines in best.items():
        title = _name(answer) + (f" - {labels}" if len(best) > 1 else "")
        show.table(title, ["", "score"], [[line.label, f"{line.score:.1%}"] for line in lines])


def _name(answer: Answer) -> str:
    return str(answer.path).encode("utf-8", "replace").decode()  # one that is not UTF-8 could not be printed


def _plain(answer: Answer, labels: str, lines: list[Top]) -> dict[str, Any]:
    top = [{"label": line.label, "index": line.index, "score": round(line.score, 6)} for line in lines]
    start, end = round(answer.start, 3), round(answer.end, 3)
    return {"path": _name(answer), "start": start, "end": end, "set": labels, "top": top}


def _lines(answer: Answer, best: dict[str, list[Top]]) -> Iterator[list[Any]]:
    for labels, lines in best.items():
        plain = _plain(answer, labels, lines)
        for rank, line in enumerate(plain["top"], 1):
            index = "-".join(map(str, line["index"])) if isinstance(line["index"], tuple) else line["index"]
            yield [plain["path"], plain["start"], plain["end"], labels, rank, line["label"], index, line["score"]]


@contextmanager
def _csv(path: Path | None) -> Iterator[Any]:
    if path is None:
        yield None
        return
    try:
        file = path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise SlowFastError(f"--csv {path}: cannot be written ({error.strerror or error})") from error
    with file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        yield rows


def _unsure(predictor: Predictor) -> None:
    from slowfast_cli.cli import show

    for labels, names in predictor.card.classes.items():
        known = f"these {len(names)}: {', '.join(names)}" if len(names) <= FEW else f"{len(names)} classes"
        show.say(
            f"A top score is low: this model knows only {known} ({labels}). "
            "Other sounds need other weights: `slowfast weights ls`."
        )
