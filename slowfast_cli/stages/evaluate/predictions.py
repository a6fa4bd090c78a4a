"""Predictions on disk: for comparisons later on, and for the challenge's server."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from slowfast_cli.metrics import epic_submission, per_class
from slowfast_cli.metrics.predictions import Rows
from slowfast_cli.stages.evaluate.run import Evaluated
from slowfast_cli.storage.atomic import write_atomic
from slowfast_cli.types import Corpus, DataError


def save_predictions(evaluated: Evaluated, path: Path) -> Path:
    """Write ids, probabilities and targets as a compressed ``.npz``, for comparisons later on."""
    arrays = {f"scores_{labels}": scores for labels, scores in evaluated.rows.scores.items()}
    arrays |= {f"targets_{labels}": targets for labels, targets in evaluated.rows.targets.items()}
    classes = {f"classes_{labels}": np.array(names) for labels, names in evaluated.corpus.classes.items()}
    if evaluated.rows.places is not None:
        arrays["places"] = evaluated.rows.places

    def write(part: Path) -> None:
        with part.open("wb") as file:
            np.savez_compressed(file, ids=np.array(evaluated.rows.ids), **arrays, **classes)  # type: ignore[arg-type]

    write_atomic(path, write)
    return path


def predictions_of(run: Path, part: str) -> Path:
    """The predictions of a run for a part of its corpus, where `slowfast evaluate` leaves them.

    Args:
        run: A run folder, or the folder of its predictions.
        part: ``train``, ``val`` or ``test``.

    Raises:
        DataError: There are none.
    """
    places = [run / "predictions.npz", run / "evaluation" / part / "predictions.npz"]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise DataError(f"{places[-1]}: no predictions there: run `slowfast evaluate` on that run first")
    return found


def load_tables(path: Path, corpus: Corpus) -> dict[str, tuple[per_class.ClassRow, ...]]:
    """The per-class tables of predictions that `save_predictions` wrote.

    Raises:
        DataError: Not such a file, or of other classes.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            for labels, names in corpus.classes.items():
                if tuple(file[f"classes_{labels}"].tolist()) != names:
                    raise DataError(
                        f"{path}: predictions of other classes than {corpus.name}'s: compare runs on the same corpus"
                    )
            rows = Rows(
                ids=tuple(file["ids"].tolist()),
                scores={labels: file[f"scores_{labels}"] for labels in corpus.classes},
                targets={labels: file[f"targets_{labels}"] for labels in corpus.classes if f"targets_{labels}" in file},
                places=file.get("places"),
            )
            return per_class.tables(rows, corpus)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path}: not predictions that can be compared ({error}); run `slowfast evaluate` on that run first"
        ) from error


def write_submission(evaluated: Evaluated, path: Path) -> Path:
    """Write the EPIC-KITCHENS-100 challenge's JSON.

    Raises:
        DataError: Not verb and noun, or segments of the list are missing.
    """
    rows, corpus = evaluated.rows, evaluated.corpus
    if set(rows.scores) != {"verb", "noun"}:
        raise DataError(
            f"--submission: the challenge is EPIC-KITCHENS-100's; {corpus.name} has {', '.join(corpus.classes)}"
        )
    listed: Sequence[str] = [*(segment.id for segment in corpus.segments), *(failure.id for failure in corpus.missing)]
    plain = epic_submission.submission(rows.ids, rows.scores["verb"], rows.scores["noun"], listed)
    write_atomic(path, lambda part: _dump(part, plain))
    return path


def _dump(path: Path, plain: object) -> None:
    path.write_text(json.dumps(plain), encoding="utf-8")
