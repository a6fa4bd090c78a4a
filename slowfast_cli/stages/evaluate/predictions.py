"""Store predictions on disk, for later comparisons and for the challenge server."""

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from slowfast_cli.metrics import epic_submission, per_class
from slowfast_cli.metrics.predictions import Rows
from slowfast_cli.stages.evaluate.run import Evaluated
from slowfast_cli.storage.atomic import write_atomic, write_text
from slowfast_cli.types import Corpus, DataError


def save_predictions(evaluated: Evaluated, path: Path) -> Path:
    """Write ids, probabilities and targets as a compressed ``.npz``."""
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
    """Path of the predictions that `slowfast evaluate` has written for a split.

    Args:
        run: A run folder, or the folder of its predictions.
        part: ``train``, ``val`` or ``test``.

    Raises:
        DataError: The run has not been evaluated on the split.
    """
    paths = [run / "predictions.npz", run / "evaluation" / part / "predictions.npz"]
    for path in paths:
        if path.is_file():
            return path
    raise DataError(f"{paths[-1]}: no predictions there: run `slowfast evaluate` on that run first")


def load_tables(path: Path, corpus: Corpus) -> dict[str, tuple[per_class.ClassRow, ...]]:
    """Per-class tables of predictions written by `save_predictions`.

    Raises:
        DataError: The file is not a predictions file, or its classes differ from those of the corpus.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            for labels, names in corpus.classes.items():
                if tuple(file[f"classes_{labels}"].tolist()) != names:
                    raise DataError(
                        f"{path}: its classes differ from those of {corpus.name}: compare runs on the same corpus"
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
            f"{path}: not a predictions file that can be compared ({error}); run `slowfast evaluate` on that run first"
        ) from error


def write_submission(evaluated: Evaluated, path: Path) -> Path:
    """Write the JSON of the EPIC-KITCHENS-100 challenge.

    Raises:
        DataError: The label sets are not verb and noun, or segments of the list are missing.
    """
    rows, corpus = evaluated.rows, evaluated.corpus
    if set(rows.scores) != {"verb", "noun"}:
        raise DataError(
            f"--submission: the challenge is EPIC-KITCHENS-100's; {corpus.name} has {', '.join(corpus.classes)}"
        )
    listed: Sequence[str] = [*(segment.id for segment in corpus.segments), *(failure.id for failure in corpus.missing)]
    plain = epic_submission.submission(rows.ids, rows.scores["verb"], rows.scores["noun"], listed)
    write_text(path, json.dumps(plain))
    return path
