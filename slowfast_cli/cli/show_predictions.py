"""What people see of answers: tables, a line a window, a line a box; JSON lines and CSV; captions for a video."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from slowfast_cli.types import SlowFastError, finite

if TYPE_CHECKING:
    from slowfast_cli.stages.predict.overlay import Caption
    from slowfast_cli.stages.predict.predictor import Top
    from slowfast_cli.stages.predict.results import FilePrediction
    from slowfast_cli.weights.file import Card

Best = dict[str, "list[Top]"]  # by label set, the best class first
COLUMNS = ("path", "start", "end", "set", "rank", "label", "index", "score")
BOX_COLUMNS = ("path", "start", "end", "time", "x1", "y1", "x2", "y2", "box_score", *COLUMNS[3:])
FEW = 50  # classes of a small model
BESIDE = 3  # classes told in one line, or beside a box


def name(path: Path) -> str:
    """A path as text that can be printed: one that is not UTF-8 could not be."""
    return str(path).encode("utf-8", "replace").decode()


def as_json(answer: FilePrediction, best: Best) -> None:
    """A line of JSON for each label set."""
    for labels, lines in best.items():
        plain = finite(_plain(answer, labels, lines))
        typer.echo(json.dumps(plain, ensure_ascii=False, allow_nan=False))


def as_text(answer: FilePrediction, best: Best, *, many: bool, slides: bool) -> None:
    """A table, or a line for a window or a box.

    Args:
        answer: What the model says.
        best: The classes to tell.
        many: There are several files.
        slides: The answer is one of several windows: a long recording has thousands.
    """
    from slowfast_cli.cli import show

    head = f"{name(answer.path)}  " if many else ""
    if answer.box is not None:
        corners = " ".join(f"{side:.2f}" for side in answer.box.place)
        classes = [f"{line.label} {line.score:.1%}" for lines in best.values() for line in lines]
        _line(f"{head}{answer.time:.2f} s  [{corners}]", classes)
    elif slides:
        told = "; ".join(
            ", ".join(f"{line.label} {line.score:.0%}" for line in lines[:BESIDE]) for lines in best.values()
        )
        place = f"{answer.start:.2f}-{answer.end:.2f} s"
        show.out.print(f"{head}{place}  {told}", soft_wrap=True, markup=False)
    else:
        for labels, lines in best.items():
            title = name(answer.path) + (f" - {labels}" if len(best) > 1 else "")
            show.table(title, ["", "score"], [[line.label, f"{line.score:.1%}"] for line in lines])


def _line(head: str, classes: Sequence[str]) -> None:
    """All in one line; where a terminal is too narrow for that, a block of lines."""
    from slowfast_cli.cli import show

    line = f"{head}  {', '.join(classes)}"
    if show.out.is_terminal and len(line) > show.out.width:
        line = "\n  ".join([head, *classes])
    show.out.print(line, soft_wrap=True, markup=False)


def _plain(answer: FilePrediction, labels: str, lines: Sequence[Top]) -> dict[str, Any]:
    top = [{"label": line.label, "index": line.index, "score": round(line.score, 6)} for line in lines]
    plain: dict[str, Any] = {"path": name(answer.path), "start": round(answer.start, 3), "end": round(answer.end, 3)}
    if answer.box is not None and answer.time is not None:
        plain["time"] = round(answer.time, 3)
        plain["box"] = [round(side, 6) for side in answer.box.place]
        plain["box_score"] = answer.box.score
    return {**plain, "set": labels, "top": top}


def rows(answer: FilePrediction, best: Best) -> Iterator[list[Any]]:
    """A row of the CSV file for each class told."""
    for labels, lines in best.items():
        plain = _plain(answer, labels, lines)
        boxed = [plain["time"], *plain["box"], plain["box_score"]] if "box" in plain else []
        for rank, line in enumerate(plain["top"], 1):
            index = "-".join(map(str, line["index"])) if isinstance(line["index"], tuple) else line["index"]
            stretch = [plain["path"], plain["start"], plain["end"], *boxed]
            yield [*stretch, labels, rank, line["label"], index, line["score"]]


@contextmanager
def csv_file(path: Path | None, *, boxes: bool) -> Iterator[Any]:
    """A CSV file with its header, to write rows to; None without a path.

    Args:
        path: The file.
        boxes: Answers are about boxes.
    """
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


def caption(answer: FilePrediction, best: Best) -> Caption:
    """An answer as it is drawn: of verb and noun the action only, and the best few classes beside a box."""
    from slowfast_cli.stages.predict.overlay import Caption

    chosen: Mapping[str, list[Top]] = {"action": best["action"]} if "action" in best else best
    lines = [f"{line.label} {line.score:.0%}" for each in chosen.values() for line in each]
    place = answer.box.place if answer.box else None
    return Caption(
        start=answer.start, end=answer.end, lines=tuple(lines if place is None else lines[:BESIDE]), place=place
    )


def unsure(card: Card, *, looks: bool) -> None:
    """Say which classes there are, where none fits."""
    from slowfast_cli.cli import show

    for labels, names in card.classes.items():
        known = f"these {len(names)}: {', '.join(names)}" if len(names) <= FEW else f"{len(names)} classes"
        show.say(
            f"A top score is low: this model knows only {known} ({labels}). "
            f"Other {'videos' if looks else 'sounds'} need other weights: `slowfast weights ls`."
        )


def without_audio(paths: Sequence[Path], answered: int) -> None:
    """Say which videos were answered by their pictures alone.

    Args:
        paths: Those without sound.
        answered: How many there were in all.
    """
    from slowfast_cli.cli import show

    if len(paths) == 1:
        show.say(f"{name(paths[0])}: has no sound: answered by its pictures alone, though this model also listens")
    elif paths:
        show.say(
            f"{len(paths)} of {answered} videos have no sound, as {name(paths[0])}: answered by their pictures alone, "
            "though this model also listens"
        )
