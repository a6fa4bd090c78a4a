"""Output of predictions: tables, a line per window or box, JSON lines, CSV, captions of a video."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from slowfast_cli.storage.atomic import require_output
from slowfast_cli.storage.remote import display
from slowfast_cli.types import SlowFastError

if TYPE_CHECKING:
    from slowfast_cli.stages.predict.overlay import Caption
    from slowfast_cli.stages.predict.results import FilePrediction
    from slowfast_cli.stages.predict.top import Top
    from slowfast_cli.weights.file import Card

Best = dict[str, "list[Top]"]  # by label set, the best class first
COLUMNS = ("path", "start", "end", "set", "rank", "label", "index", "score")
BOX_COLUMNS = ("path", "start", "end", "time", "x1", "y1", "x2", "y2", "box_score", *COLUMNS[3:])
SOUND_WEIGHTS, VIDEO_WEIGHTS = "asf-vggsound", "slowfast-8x8-r50-kinetics400-hub"  # proposed for larger vocabularies
FEW = 50  # a model with at most this number of classes lists them
BESIDE = 3  # classes shown in a line of a timeline, or beside a box


def name(path: Path) -> str:
    """A path as printable text, even if it is not UTF-8 or has control characters."""
    from slowfast_cli.cli.show import printable

    return printable(display(path).encode("utf-8", "replace").decode()).replace("\n", "\\n")


def as_json(answer: FilePrediction, best: Best, unknown: Collection[str]) -> None:
    """Print a JSON line for each label set."""
    for record in records(answer, best, unknown):
        typer.echo(json.dumps(record, ensure_ascii=False, allow_nan=False))


def records(answer: FilePrediction, best: Best, unknown: Collection[str]) -> Iterator[dict[str, Any]]:
    """A record for each label set, with ``"unknown": true`` if the answer is none of its classes."""
    from slowfast_cli.stages.predict.plain import plain

    for labels, lines in best.items():
        yield plain(answer, labels, lines, unknown)


def as_text(answer: FilePrediction, best: Best, none: Mapping[str, str], *, many: bool, slides: bool) -> None:
    """Print a table; a line for a box, or for one of many windows (``slides``); ``many`` files are named in it.

    ``none`` are the answers for label sets of which it is none of the classes.
    """
    from slowfast_cli.cli import show

    head = f"{name(answer.path)}  " if many else ""
    if answer.box is not None:
        corners = " ".join(f"{side:.2f}" for side in answer.box.place)
        classes = [f"{line.label} {line.score:.1%}" for lines in best.values() for line in lines]
        _line(f"{head}{answer.time:.2f} s  [{corners}]", classes)
    elif slides:
        classes_text = "; ".join(
            none.get(labels) or ", ".join(f"{line.label} {line.score:.0%}" for line in lines[:BESIDE])
            for labels, lines in best.items()
        )
        place = f"{answer.start:.2f}-{answer.end:.2f} s"
        show.out.print(show.printable(f"{head}{place}  {classes_text}"), soft_wrap=True, markup=False)
    else:
        for labels, lines in best.items():
            title = name(answer.path) + (f" - {labels}" if len(best) > 1 else "")
            title += f": {none[labels]}" if labels in none else ""
            show.table(title, ["", "score"], [[line.label, f"{line.score:.1%}"] for line in lines])


def none_of(card: Card, best: Best, unknown: Collection[str]) -> dict[str, str]:
    """The answer for each label set of which it is none of the classes, such as "none of the 12 (dog 31%)"."""
    return {
        labels: f"none of the {len(card.classes[labels]) - 1} ({best[labels][0].label} {best[labels][0].score:.0%})"
        for labels in unknown
        if best.get(labels)
    }


def _line(head: str, classes: Sequence[str]) -> None:
    """Print one line, or a block of lines if the terminal is too narrow."""
    from slowfast_cli.cli import show

    head, classes = show.printable(head), [show.printable(text) for text in classes]
    line = f"{head}  {', '.join(classes)}"
    if show.out.is_terminal and len(line) > show.out.width:
        line = "\n  ".join([head, *classes])
    show.out.print(line, soft_wrap=True, markup=False)


def rows(answer: FilePrediction, best: Best) -> Iterator[list[Any]]:
    """Rows of the CSV file, one per class."""
    from slowfast_cli.stages.predict.plain import plain

    for labels, lines in best.items():
        values = plain(answer, labels, lines)
        boxed = [values["time"], *values["box"], values["box_score"]] if "box" in values else []
        for rank, line in enumerate(values["top"], 1):
            index = "-".join(map(str, line["index"])) if isinstance(line["index"], list) else line["index"]
            stretch = [values["path"], values["start"], values["end"], *boxed]
            yield [*stretch, labels, rank, line["label"], index, line["score"]]


def require_csv(path: Path | None, *, boxes: bool) -> None:
    """Refuse a CSV file that would overwrite something else; raise `UsageError`."""
    if path is not None:
        require_output(path, "--csv", starts=",".join(BOX_COLUMNS if boxes else COLUMNS) + "\n")


@contextmanager
def csv_file(path: Path | None, *, boxes: bool) -> Iterator[Any]:
    """Open a CSV file and write its header, with columns for boxes if set; yields None without a path."""
    if path is None:
        yield None
        return
    try:
        file = path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise SlowFastError(f"--csv {path}: cannot be written ({error.strerror or error})") from error
    with file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(BOX_COLUMNS if boxes else COLUMNS)
        yield writer


def caption(answer: FilePrediction, best: Best, *, source: str) -> Caption:
    """The caption of a prediction: of verb and noun only the action; beside a box only the best few classes.

    Args:
        answer: The prediction.
        best: Its best classes by label set.
        source: What the model reads: ``heard``, ``seen``, or both.
    """
    from slowfast_cli.stages.predict.overlay import Caption

    chosen: Mapping[str, list[Top]] = {"action": best["action"]} if "action" in best else best
    scores = tuple((line.label, line.score) for top in chosen.values() for line in top)
    place = answer.box.place if answer.box else None
    shown = scores if place is None else scores[:BESIDE]
    return Caption(start=answer.start, end=answer.end, scores=shown, place=place, source=source)


def unsure(card: Card, *, looks: bool) -> None:
    """Print which classes the model knows, if a top score is low."""
    from slowfast_cli.cli import show

    for labels, classes in card.classes.items():
        names = [name for name in classes if name != card.unknown]
        known = f"these {len(names)}: {', '.join(names)}" if len(names) <= FEW else f"{len(names)} classes"
        show.say(
            f"A top score is low: this model knows only {known} ({labels}). "
            f"For others: {_proposal(VIDEO_WEIGHTS if looks else SOUND_WEIGHTS)}; `slowfast weights ls` lists more."
        )


def heard_only(path: Path) -> None:
    """Print that a video was judged by its sound."""
    from slowfast_cli.cli import show

    show.say(f"{name(path)}: the answer is what is heard; for what is seen: {_proposal(VIDEO_WEIGHTS)}")


def not_heard(path: Path) -> None:
    """Print how to recognize a video without audio."""
    from slowfast_cli.cli import show

    show.say(f"{name(path)}: has nothing to hear; for what is seen: {_proposal(VIDEO_WEIGHTS)}")


def _proposal(weights: str) -> str:
    """The command that makes official weights the default, with what they know, their size and their license."""
    from slowfast_cli.weights.catalog import find

    entry = find(weights)
    kind = " --for video" if entry.video else ""
    classes = ", ".join(f"{count} classes" for count in entry.heads.values())
    return f"`slowfast weights use {weights}{kind}` ({classes}; {4 * entry.params_m:.0f} MB, {entry.licence})"


def without_audio(paths: Sequence[Path], answered: int) -> None:
    """Print which of the ``answered`` videos were recognized by their frames alone."""
    from slowfast_cli.cli import show

    if len(paths) == 1:
        show.say(f"{name(paths[0])}: has no audio: recognized by its frames alone, although this model reads audio too")
    elif paths:
        show.say(
            f"{len(paths)} of {answered} videos have no audio, such as {name(paths[0])}: recognized by their frames "
            "alone, although this model reads audio too"
        )
