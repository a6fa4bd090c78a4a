"""Store predictions on disk, for later comparisons and for the challenge server."""

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from tokenize import TokenError
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

import numpy as np

from slowfast_cli.corpora import epic_sounds
from slowfast_cli.metrics import epic_submission, per_class
from slowfast_cli.metrics.ensemble import log_probabilities
from slowfast_cli.metrics.predictions import Rows
from slowfast_cli.stages.evaluate.run import Evaluated
from slowfast_cli.stages.evaluate.supervision import Provenance
from slowfast_cli.storage.atomic import write_atomic, write_text
from slowfast_cli.storage.bounded_zip import require_bounded
from slowfast_cli.storage.run_list import other_runs
from slowfast_cli.types import Corpus, DataError, text_of

NOT_PREDICTIONS = (  # the last five: NumPy, of an array's header, which may also state more than the archive contains
    OSError, KeyError, EOFError, BadZipFile, NotImplementedError, RuntimeError, zlib.error,
    ValueError, TypeError, SyntaxError, TokenError, MemoryError,
)  # fmt: skip


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
    others = "" if run.is_dir() else other_runs(str(run))
    raise DataError(f"{paths[-1]}: no predictions there: run `slowfast evaluate` on that run first{others}")


def load_tables(path: Path, corpus: Corpus) -> dict[str, tuple[per_class.ClassRow, ...]]:
    """Per-class tables of predictions written by `save_predictions`.

    Raises:
        DataError: The file is not a predictions file, its classes differ from those of the corpus, or it has no labels.
    """
    try:
        rows = _read(path, corpus)
    except NOT_PREDICTIONS as error:
        raise DataError(
            f"{path}: not a predictions file that can be compared ({text_of(error)}); run `slowfast evaluate` on that "
            "run first"
        ) from error
    try:
        tables = per_class.tables(rows, corpus)
    except DataError as error:  # a wrong value; the checks of the metrics do not know the file
        raise DataError(f"{path}: {error}") from error
    if unlabeled := [labels for labels in corpus.classes if labels not in tables]:
        raise DataError(
            f"{path}: no labels of {', '.join(unlabeled)} to compare by: evaluate that run on a labeled split"
        )
    return tables


def _read(path: Path, corpus: Corpus) -> Rows:
    """Read the arrays of the corpus's label sets; raise `ValueError` if their types or shapes are wrong."""
    require_bounded(path)
    with np.load(path, allow_pickle=False) as file:
        ids = _array(file, "ids", "U", None)
        count, scores, targets = len(ids), {}, {}
        for labels, names in corpus.classes.items():
            if tuple(_array(file, f"classes_{labels}", "U", None).tolist()) != names:
                raise DataError(
                    f"{path}: its classes differ from those of {corpus.name}: compare runs on the same corpus"
                )
            scores[labels] = _array(file, f"scores_{labels}", "f", count, len(names))
            if (key := f"targets_{labels}") in file:
                multi_hot = (len(names),) * (np.ndim(file[key]) == 2)
                targets[labels] = _array(file, key, "iu", count, *multi_hot)
        places = _array(file, "places", "f", count, 4) if "places" in file else None
    return Rows(ids=tuple(ids.tolist()), scores=scores, targets=targets, places=places)


def _array(file: Mapping[str, np.ndarray], name: str, kinds: str, *shape: int | None) -> np.ndarray:
    """Return an array of one of some dtype kinds and of a shape, in which None is any length."""
    array = np.asarray(file[name])  # NumPy returns the bytes of a member that is no array
    fits = array.ndim == len(shape) and all(
        wanted in (None, size) for wanted, size in zip(shape, array.shape, strict=True)
    )
    if array.dtype.kind not in kinds or not fits:
        expected = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{name}: {array.dtype} of shape {array.shape}, expected ({expected}) of kind {kinds}")
    return array


def write_submission(evaluated: Evaluated, path: Path, made_by: Provenance) -> Path:
    """Write the JSON of the EPIC-KITCHENS-100 or the EPIC-SOUNDS challenge; as ``test.json`` within a ``.zip``.

    Segments of a redacted class are in it: the challenge's evaluator leaves them out.

    Args:
        evaluated: Predictions of the split.
        path: The file.
        made_by: What it says of the networks.

    Raises:
        DataError: The corpus has no challenge, or segments of the list are missing.
    """
    rows, corpus = evaluated.unredacted or (evaluated.rows, evaluated.corpus)
    level = made_by.supervision
    listed: Sequence[str] = [*(segment.id for segment in corpus.segments), *(failure.id for failure in corpus.missing)]
    if corpus.name == "epic" and set(rows.scores) == {"verb", "noun"}:
        verb, noun = (log_probabilities(rows.scores[labels]) for labels in ("verb", "noun"))
        plain = epic_submission.submission(rows.ids, verb, noun, listed, level)
    elif corpus.name == "epic-sounds" and corpus.split == epic_sounds.DETECTION_TEST:
        raise DataError(f"--submission: {corpus.split} has whole videos, for the challenge of detection: add --events")
    elif corpus.name == "epic-sounds":
        plain = epic_submission.interaction_submission(rows.ids, rows.scores["label"], listed, level, made_by.t_mod)
    else:
        raise DataError(
            f"--submission: the challenges are EPIC-KITCHENS-100's and EPIC-SOUNDS'; {corpus.name} has "
            f"{', '.join(corpus.classes)}"
        )

    write_document(json.dumps(plain), path)
    return path


def write_document(text: str, path: Path) -> None:
    """Write a challenge's JSON document; as ``test.json`` within a ``.zip``."""

    def write(part: Path) -> None:
        with ZipFile(part, "w") as archive:
            archive.writestr(ZipInfo("test.json"), text, ZIP_DEFLATED)

    if path.suffix == ".zip":
        write_atomic(path, write)
    else:
        write_text(path, text)
