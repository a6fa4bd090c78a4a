"""The report of an evaluation, as one HTML file; and its predictions for each file, as csv."""

import csv
import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from slowfast_cli.metrics.registry import format_metric, informative, metric_title
from slowfast_cli.recipe.load import to_yaml
from slowfast_cli.recipe.schema import Recipe
from slowfast_cli.report.page import Download, Sample, Section, Table, data_url
from slowfast_cli.report.parts import picture_sections, write_page
from slowfast_cli.report.samples import sample
from slowfast_cli.stages.evaluate.run import Evaluated
from slowfast_cli.storage.atomic import write_text

PREDICTIONS = "predictions.csv"
MISTAKES = 12  # shown with their spectrogram or frames
EMBEDDED = 5_000_000  # bytes of predictions that are embedded in the page
COLUMNS = ("id", "path", "start", "stop", "set", "true", "answer", "score", "true_score", "right")


def write_report(evaluated: Evaluated, recipe: Recipe, folder: Path, title: str) -> list[Path]:
    """Write ``report.html`` and ``predictions.csv`` from an evaluation and the pictures that it has written.

    Args:
        evaluated: The evaluation.
        recipe: Its recipe.
        folder: Of the evaluation.
        title: What was scored.

    Returns:
        The paths written.
    """
    table = predictions_csv(evaluated)
    write_text(folder / PREDICTIONS, table)
    sections = [
        *scores_section(evaluated),
        *_mistakes(evaluated),
        *picture_sections(folder),
        _predictions(table),
        Section(title="Recipe", code=to_yaml(recipe)),
    ]
    return [folder / PREDICTIONS, write_page(folder, f"Evaluation: {title}", facts(evaluated), sections)]


def facts(evaluated: Evaluated) -> list[tuple[str, str]]:
    """The data and its coverage."""
    corpus = evaluated.corpus
    count, listed = len(corpus.segments), corpus.listed
    named = [
        ("Data", f"{corpus.name} {corpus.split}"),
        ("Coverage", f"{count:,} of {listed:,} listed segments ({count / max(listed, 1):.1%})"),
    ]
    if evaluated.trained_on:
        named.append(("Note", "the weights were trained on these very segments: the scores are no measure of new data"))
    return named


def scores_section(evaluated: Evaluated) -> Iterator[Section]:
    """Scores beside the paper's, with intervals; nothing without labels."""
    if evaluated.scores is None:
        return
    published, intervals, rows = evaluated.published, evaluated.intervals, list[list[str]]()
    for name in informative(evaluated.scores.values, {} if published else evaluated.corpus.classes):
        value = evaluated.scores.values[name]
        low, high = intervals.get(name, (float("nan"), float("nan")))
        paper = published.get(name)
        rows.append(
            [
                metric_title(name),
                format_metric(name, value),
                f"{low:.1f} to {high:.1f}" if name in intervals else "",
                format_metric(name, paper),
                "" if paper is None else f"{value - paper:+.2f}",
            ]
        )
    columns = ["", "ours", "95 % interval", "paper", "difference"]
    used = [0, 1, *(c for c in range(2, 5) if any(row[c] for row in rows))]
    table = Table(columns=[columns[c] for c in used], rows=[[row[c] for c in used] for row in rows])
    yield Section(title="Scores", tables=[table])


def predictions_csv(evaluated: Evaluated) -> str:
    """A row for each segment and label set: truth, answer and their scores."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    rows, corpus = evaluated.rows, evaluated.corpus
    by_id = {segment.id: segment for segment in corpus.segments}
    for labels, scores in rows.scores.items():
        names, targets = corpus.classes.get(labels, ()), rows.targets.get(labels)
        if not names:
            continue
        for number, id_ in enumerate(rows.ids):
            segment, answer = by_id[id_], int(scores[number].argmax())
            true = _true(targets, number)
            path = os.fsencode(segment.recording.path).decode("utf-8", "replace")
            best = max((float(scores[number, index]) for index in true), default=None)
            stop = "" if segment.stop is None else segment.stop
            answered = names[answer], f"{scores[number, answer]:.6f}", "" if best is None else f"{best:.6f}"
            right = "" if targets is None else int(answer in true)
            label = "|".join(names[index] for index in true)
            writer.writerow([id_, path, segment.start, stop, labels, label, *answered, right])
    return out.getvalue().encode("utf-8", "replace").decode()


def _true(targets: np.ndarray | None, number: int) -> list[int]:
    if targets is None:
        return []
    return [int(targets[number])] if targets.ndim == 1 else np.flatnonzero(targets[number]).tolist()


def _mistakes(evaluated: Evaluated) -> Iterator[Section]:
    """The wrong answers with the highest scores, of label sets with one class per segment."""
    rows, corpus = evaluated.rows, evaluated.corpus
    by_id = {segment.id: segment for segment in corpus.segments}
    for labels, targets in rows.targets.items():
        if targets.ndim != 1:
            continue
        scores, names = rows.scores[labels], corpus.classes[labels]
        answers = scores.argmax(1)
        wrong = np.flatnonzero(answers != targets)
        worst = wrong[np.argsort(-scores[wrong, answers[wrong]], kind="stable")][:MISTAKES]
        samples = list[Sample]()
        for row in worst:
            answer, true = int(answers[row]), int(targets[row])
            line = f"answer {names[answer]} {scores[row, answer]:.0%}, truth {names[true]} {scores[row, true]:.0%}"
            samples.append(sample(by_id[rows.ids[row]], rows.ids[row], [line]))
        text = [f"{len(wrong):,} of {len(targets):,} answers are wrong; those with the highest scores:"]
        title = "Worst mistakes" + (f": {labels}" if len(rows.targets) > 1 else "")
        yield Section(title=title, text=text if len(wrong) else ["no answer is wrong"], samples=samples)


def _predictions(table: str) -> Section:
    content = table.encode("utf-8", "surrogateescape")
    if len(content) > EMBEDDED:
        return Section(title="Predictions", text=[f"{PREDICTIONS}, beside this page"])
    return Section(
        title="Predictions",
        text=["Truth, answer and scores of each segment:"],
        downloads=[Download(name=PREDICTIONS, url=data_url(content, "text/csv"))],
    )
